"""Reward schedules against the worked example of docs/method.md and a plain reading of the formula."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgrpo_verl.algorithm.decay import get_reward_schedule, is_correct, known_reward_schedules, register_reward_schedule

WORKED_EXAMPLE = [False, True, False, True, True]  # P_1 … P_4, full
GROUPS = st.lists(st.booleans(), max_size=20)


def test_worked_example():
    assert get_reward_schedule("decay")(WORKED_EXAMPLE, 2.0) == [0, 1, 0, 1 / 2, 1 / 4]


def test_the_ablations_on_the_worked_example():
    assert get_reward_schedule("all_one")(WORKED_EXAMPLE, 2.0) == [0, 1, 0, 1, 1]
    assert get_reward_schedule("shortest_one")(WORKED_EXAMPLE, 2.0) == [0, 1, 0, 0, 0]


@given(GROUPS, st.floats(1.01, 10))
def test_decay_is_the_formula(correct, base):
    expected = [1 / base ** (sum(correct[: i + 1]) - 1) if correct[i] else 0 for i in range(len(correct))]
    assert get_reward_schedule("decay")(correct, base) == pytest.approx(expected)


@given(GROUPS)
def test_no_schedule_rewards_a_wrong_row_or_changes_the_first_correct_one(correct):
    for name in ("decay", "all_one", "shortest_one"):
        rewards = get_reward_schedule(name)(correct, 2.0)
        assert len(rewards) == len(correct)
        assert all(reward == 0 for reward, right in zip(rewards, correct, strict=True) if not right)
        assert rewards[correct.index(True)] == 1 if any(correct) else not any(rewards)


@given(GROUPS)
def test_decay_never_rises_along_the_thought(correct):
    rewards = [reward for reward in get_reward_schedule("decay")(correct, 2.0) if reward]
    assert rewards == sorted(rewards, reverse=True)


def test_an_unknown_schedule_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"reward='halving'.*all_one.*decay.*shortest_one"):
        get_reward_schedule("halving")


def test_a_schedule_of_ones_own():
    @register_reward_schedule("only_the_full_response")
    def full_only(correct, decay_base):
        return [0.0] * (len(correct) - 1) + [float(correct[-1])]

    assert "only_the_full_response" in known_reward_schedules()
    assert get_reward_schedule("only_the_full_response")([True, True], 2.0) == [0.0, 1.0]
    with pytest.raises(ValueError, match="registered already"):
        register_reward_schedule("only_the_full_response")(lambda correct, base: [])


@pytest.mark.parametrize(
    ("score", "correct"),
    [(1, True), (0.6, True), (0.5, False), (0, False), (-3.5, False), (True, True), (False, False)],
)
def test_a_score_above_the_threshold_is_correct(score, correct):
    assert is_correct(score, 0.5) is correct
    assert is_correct(np.float32(score), 0.5) is correct
    assert is_correct(torch.tensor(score), 0.5) is correct


@pytest.mark.parametrize(
    "score", [None, float("nan"), float("inf"), -float("inf"), "1.0", "right", b"1", [1.0, 2.0], {}]
)
def test_what_is_no_number_is_neither_right_nor_wrong(score):
    with pytest.raises(ValueError, match="needs a finite number") as error:
        is_correct(score, 0.5)
    assert repr(score) in str(error.value)
