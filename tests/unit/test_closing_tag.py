"""The closing tag's probability, its training, and the warning for a run whose samples never stop early."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgrpo_verl.hooks.closing_tag import stop_probability, train_tag
from sgrpo_verl.hooks.early_stop import ENOUGH, known_of, never_stops, stopped_early


def row_of(advantage, thought, inserted, answer):
    """An early exit's fields as verl has them after its advantages: 0 where the mask is."""
    mask = torch.tensor([*[1] * thought, *[0] * inserted, *[1] * answer])
    advantages = mask * torch.tensor(advantage)
    return {"advantages": advantages, "returns": advantages, "response_mask": mask, "loss_mask": mask}


ROWS = st.builds(row_of, st.floats(-1, 1, width=32), st.integers(1, 9), st.integers(1, 5), st.integers(1, 4))


class TestTrainTag:
    @given(ROWS, st.integers(1, 5), st.floats(0.1, 3))
    def test_the_tag_alone_gets_its_rows_advantage(self, row, length, weight):
        start = int((row["response_mask"] == 0).nonzero()[0])
        end = min(start + length, start + int((row["response_mask"] == 0).sum()))
        before = {name: field.clone() for name, field in row.items()}
        trained = train_tag(row, start, end, -15.0, weight, 0.0)
        for name, field in trained.items():
            tag = torch.zeros(len(field), dtype=torch.bool)
            tag[start:end] = True
            assert torch.equal(field[~tag], before[name][~tag])
            expected = weight * before["advantages"][0] if name in ("advantages", "returns") else torch.tensor(1)
            torch.testing.assert_close(field[tag], expected.to(field.dtype).expand(end - start))
        assert all(torch.equal(row[name], before[name]) for name in row)  # of TransferQueue's own tensors

    def test_a_wrong_exit_lowers_no_probability_below_the_floor(self):
        for advantage, probability, trained in ((-0.4, 0.009, 0), (-0.4, 0.011, 1), (0.4, 0.009, 1), (-0.4, 0.0, 0)):
            row = row_of(advantage, 3, 2, 2)
            log_prob = math.log(probability) if probability else -math.inf
            assert train_tag(row, 3, 4, log_prob, 1.0, 0.01)["response_mask"].sum() == 5 + trained

    def test_a_row_that_verl_has_rejected_stays_untrained(self):
        row = row_of(0.5, 3, 2, 2)
        row = {name: torch.zeros_like(field) for name, field in row.items()}
        assert not train_tag(row, 3, 4, -1.0, 1.0, 0.0)["response_mask"].any()


def test_stop_probability_is_a_plain_mean_of_each_side():
    found = stop_probability([math.log(0.5), math.log(0.1), -15.0], [True, True, False])
    assert found == pytest.approx(
        {"sgrpo/stop_probability/right": 0.3, "sgrpo/stop_probability/wrong": math.exp(-15.0)}
    )
    assert stop_probability([-1.0], [False]).keys() == {"sgrpo/stop_probability/wrong"}


def full(first_right, length, num_rows=9, correct=True, closed=True):
    return {
        **{"first_right": first_right, "thought_length": length, "num_rows": num_rows},
        **{"correct": correct, "closed": closed},
    }


class TestNeverStops:
    def test_only_right_closed_responses_with_exits_say_something(self):
        notes = [full(30, 90), full(9, 90, correct=False), full(9, 90, closed=False), full(20, 20, num_rows=1)]
        assert known_of(notes) == [(30, 90)]

    def test_a_thought_that_found_its_answer_late_did_not_stop_early(self):
        assert stopped_early([(30, 90), (31, 60), (70, 70)]) == 0
        assert stopped_early([(30, 90), (31, 60), (30, 31)]) == pytest.approx(1 / 2)

    @given(st.lists(st.tuples(st.integers(1, 99), st.integers(0, 99)), min_size=1))
    def test_it_is_a_share(self, drawn):
        assert 0 <= stopped_early([(first, first + more) for first, more in drawn]) <= 1

    def test_it_names_the_setting_where_no_thought_stops_though_answers_are_known_early(self):
        assert never_stops([(30, 90)] * (ENOUGH - 1), "</think>") is None
        warning = never_stops([(30, 90)] * ENOUGH, "</think>")
        assert "known after 33% of the thought, but none of the thoughts stopped there" in warning
        assert "+sgrpo=taught_stop" in warning
        assert "algorithm.sgrpo.train_closing_tag=true" in warning
        assert never_stops([(70, 90)] * ENOUGH, "</think>") is None, "answers are known late"
        assert never_stops([(30, 90)] * ENOUGH + [(29, 30)] * 9, "</think>") is None, "some stop by themselves"
