"""``sgrpo/*`` metrics from the tags of a batch."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgrpo_verl.hooks.metrics import (
    TAG,
    dumped_columns,
    group_notes,
    never_closed,
    no_room_for_exits,
    notes_of,
    outside_groups,
    rewarded_without_end,
    row_notes,
    serial_group_metrics,
)


def tag(
    exit_position,
    correct,
    reward,
    thought_length=10,
    closed=True,
    cut=False,
    padding=False,
    index=None,
    cached=None,
    closing_end=None,
):
    notes = row_notes(
        exit_index=index,
        exit_position=exit_position,
        kept=exit_position,
        closing_end=closing_end,
        thought_length=thought_length,
        response_length=thought_length + 5,
        closed=closed,
        answer_length=4,
        answer_cut=cut,
        cached_share=cached,
        correct=correct,
        reward=reward,
        started=0.0,
        finished=1.0,
    )
    if exit_position is None:
        notes |= group_notes([reward], [correct], [thought_length], thought_length + 5)
    return {"status": "success", TAG: notes, "is_padding": padding}


def test_means_over_groups_without_padding():
    group = group_notes([0.0, 1.0, 0.5], [False, True, True], [2, 8, 10], 15 + 4 + 4)
    full = tag(None, True, 0.5, cut=True)
    full[TAG] |= group
    tags = [
        tag(2, False, 0.0, cut=True, index=1, cached=0.5),
        tag(8, True, 1.0, index=2),
        full,
        tag(None, False, 0.0, thought_length=0, closed=False),
        tag(None, True, 1.0, padding=True),
        {"status": "success"},  # a row of verl's own, such as a multi-turn one
    ]
    assert serial_group_metrics(tags) == pytest.approx(
        {
            "sgrpo/groups": 2,
            "sgrpo/accuracy/full": 0.5,
            "sgrpo/accuracy/exits": 0.5,
            "sgrpo/accuracy/exit_1": 0,
            "sgrpo/accuracy/exit_2": 1,
            "sgrpo/reward/mean": 0.375,
            "sgrpo/num_right/mean": 1,
            "sgrpo/zero_advantage": 0.5,
            "sgrpo/thought_length/mean": 5,
            "sgrpo/response_length/full": 10,
            "sgrpo/response_cut": 0.5,
            "sgrpo/thought_closed": 0.5,
            "sgrpo/no_thought": 0.5,
            "sgrpo/no_exits": 0,
            "sgrpo/generated_tokens": 23 + 5,
            "sgrpo/generated_tokens_grpo": 3 * 15 + 5,
            "sgrpo/exit_position/share": 0.5,
            "sgrpo/exit_position/first_right": 0.8,
            "sgrpo/answer_length/mean": 4,
            "sgrpo/answer_cut": 0.5,
            "sgrpo/answer_cut_correct": 0,
            "sgrpo/prefix_cache_hit": 0.5,
            "sgrpo/early_stop": 1,
            "sgrpo/num_exits/mean": 1,
        }
    )


def test_cut_answers_that_were_correct_are_told_apart():
    metrics = serial_group_metrics(
        [tag(2, True, 1.0, cut=True, index=1), tag(8, False, 0.0, cut=True, index=2), tag(None, True, 0.5, cut=True)]
    )
    assert (metrics["sgrpo/answer_cut"], metrics["sgrpo/answer_cut_correct"]) == (1.0, 0.5)
    warning = rewarded_without_end(metrics, 32)
    assert warning.startswith("50% of the step's early exits are correct although their answer was cut at ")
    assert "answer_length=32" in warning
    assert "set algorithm.sgrpo.cut_answers=wrong" in warning
    few = [tag(2, True, 1.0, cut=True, index=1), *[tag(2, True, 1.0, index=1)] * 10, tag(None, True, 0.5)]
    assert rewarded_without_end(serial_group_metrics(few), 32) is None


def test_thoughts_without_exits_are_counted_and_warned_of():
    """For want of room: behind a long prompt, an exit prompt and an answer do not fit into the model's context."""
    full, alone = tag(None, True, 0.5), tag(None, True, 1.0)
    full[TAG] |= group_notes([1.0, 0.5], [True, True], [2, 10], 20)
    metrics = serial_group_metrics([tag(2, True, 1.0, index=1), full, alone, tag(None, True, 1.0, thought_length=0)])
    assert metrics["sgrpo/no_exits"] == pytest.approx(1 / 3)
    warning = no_room_for_exits(metrics)
    assert warning.startswith("33% of the step's groups have a thought and no early exits")
    assert "answer_length smaller" in warning
    assert no_room_for_exits(serial_group_metrics([tag(2, True, 1.0, index=1), full])) is None


@given(st.lists(st.booleans(), min_size=1, max_size=9))
def test_the_first_right_answer_is_as_early_as_the_first_right_row(correct):
    positions = [10 * (number + 1) for number in range(len(correct))]
    first_right = group_notes([0.0] * len(correct), correct, positions, 0)["first_right"]
    assert first_right == (positions[correct.index(True)] if any(correct) else None)


def test_where_nothing_is_right_or_nothing_was_thought_there_is_no_first_right_answer():
    no_thought = tag(None, True, 1.0, thought_length=0)
    no_thought[TAG] |= group_notes([1.0], [True], [0], 3)
    assert "sgrpo/exit_position/first_right" not in serial_group_metrics([no_thought])
    metrics = serial_group_metrics([tag(2, False, 0.0, index=1), tag(None, False, 0.0)])
    assert "sgrpo/exit_position/first_right" not in metrics
    only_full = serial_group_metrics([tag(2, False, 0.0, index=1), tag(None, True, 1.0)])
    assert only_full["sgrpo/exit_position/first_right"] == 1


def test_rows_outside_serial_groups_are_told_and_a_dataset_of_them_alone_is_an_error():
    verls, padding = {"status": "success"}, tag(None, True, 1.0, padding=True)
    assert outside_groups([tag(None, True, 1.0), padding], None) is None
    both = {"tool_agent", "single_turn_agent"}
    said = outside_groups([verls, verls, tag(None, True, 1.0), padding], both)
    said_of = "rows of the dataset whose agent_name"
    assert said.startswith(f"2 of the first step's 3 rows belong to no serial group: {said_of}")
    for agents in (both, None):
        assert outside_groups([verls, verls, padding], agents).startswith("2 of the first step's 2 rows"), "this time"
    with pytest.raises(ValueError, match=r"^data\.train_files: all rows .*agent_name=tool_agent\).*single_turn_agent$"):
        outside_groups([verls, verls, padding], {"tool_agent"})


def test_no_serial_groups_no_metrics():
    assert serial_group_metrics([{"status": "success"}]) == {}


def test_groups_without_a_thought_only():
    assert "sgrpo/accuracy/exits" not in serial_group_metrics([tag(None, True, 1.0, thought_length=0)])


def test_the_dumps_columns_follow_its_order():
    tags = {
        "a_0_0": tag(3, True, 1.0, index=1),
        "a_0_1": tag(None, False, 0.0),
        "b_0_0": {"status": "success"},
        "pad_0_0": tag(3, True, 1.0, index=1, padding=True),
    }
    notes = {key: notes_of(one) for key, one in tags.items()}
    columns = dumped_columns(["b_0_0", "a_0_1", "a_0_0", "pad_0_0"], notes)
    assert columns["exit_index"] == [None, None, 1, None]
    assert columns["exit_position"] == [None, None, 3, None]
    assert columns["correct"] == [None, False, True, None]


def test_a_closing_phrase_that_never_comes_is_told_with_what_comes_instead():
    metrics = {"sgrpo/groups": 16.0, "sgrpo/thought_closed": 0.0}
    settings = SimpleNamespace(think_end="Final \\answer:", score="answer")
    warning = never_closed(metrics, settings, lambda: ["so the answer is 18.", "\\boxed{18}\n"])
    assert "none of the first step's 16 full responses closes its thought" in warning
    assert "algorithm.sgrpo.think_end='Final \\answer:' is in none of them" in warning, "one backslash, as it was read"
    assert warning.endswith("The responses end with 'so the answer is 18.', '\\boxed{18}\\n'")
    assert "counts as wrong" in warning
    settings.score = "response"
    assert "counts as wrong" not in never_closed(metrics, settings, list), "it may be right by its text"

    def unread():
        raise AssertionError("responses are read for a warning alone")

    assert never_closed({**metrics, "sgrpo/thought_closed": 0.06}, settings, unread) is None
    assert never_closed({}, settings, unread) is None, "a step without serial groups"
