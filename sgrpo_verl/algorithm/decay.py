"""From scores to rewards: which rows of a serial group are correct, and what a schedule makes of it, in exit order.

The equation of the decaying reward is in docs/method.md. ``register_reward_schedule`` adds one of
your own, which ``algorithm.sgrpo.reward=NAME`` chooses.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

RewardSchedule = Callable[[Sequence[bool], float], list[float]]
"""(correct, decay_base) → rewards. ``correct``: the group's rows in exit order, the full response last."""

_SCHEDULES: dict[str, RewardSchedule] = {}


def is_correct(score: Any, threshold: float) -> bool:
    """Whether a reward function's score, or its ``acc``, means that an answer is correct.

    Raises:
        ValueError: it is no finite number, so it says neither.
    """
    try:
        number = float("nan" if isinstance(score, str | bytes) else score)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(
            f"the reward function returned {score!r}: S-GRPO needs a finite number, or a dict whose 'acc' or 'score' "
            "is one"
        )
    return number > threshold


def register_reward_schedule(name: str) -> Callable[[RewardSchedule], RewardSchedule]:
    """Decorator: make a schedule known as ``algorithm.sgrpo.reward=name``.

    It has to be imported in the driver and in the rollout workers: name its module in ``VERL_USE_EXTERNAL_MODULES``, or
    register it from a ``verl.plugins`` entry point.

    Raises:
        ValueError: another schedule has this name already.
    """

    def register(schedule: RewardSchedule) -> RewardSchedule:
        if _SCHEDULES.get(name, schedule) is not schedule:
            raise ValueError(f"a reward schedule named {name!r} is registered already: {_SCHEDULES[name]!r}")
        _SCHEDULES[name] = schedule
        return schedule

    return register


def known_reward_schedules() -> list[str]:
    """What ``algorithm.sgrpo.reward`` may be, in alphabetical order."""
    return sorted(_SCHEDULES)


def get_reward_schedule(name: str) -> RewardSchedule:
    """The schedule registered under ``name``.

    Raises:
        ValueError: there is none; the message lists the known ones.
    """
    if name not in _SCHEDULES:
        raise ValueError(f"algorithm.sgrpo.reward={name!r} is not a known schedule; known: {known_reward_schedules()}")
    return _SCHEDULES[name]


@register_reward_schedule("decay")
def decay(correct: Sequence[bool], decay_base: float = 2.0) -> list[float]:
    """r_i = 1 / 2^(N_right − 1) for a correct row, 0 for a wrong one (S-GRPO, "Decaying reward").

    N_right counts the correct rows so far, this one included; ``decay_base`` is the 2.
    """
    rewards, n_right = [], 0
    for is_correct in correct:
        n_right += is_correct
        rewards.append(decay_base ** (1 - n_right) if is_correct else 0.0)
    return rewards


@register_reward_schedule("all_one")
def all_one(correct: Sequence[bool], decay_base: float = 2.0) -> list[float]:
    """Every correct row gets 1 (the ablation "w/o decay, all 1")."""
    return [float(is_correct) for is_correct in correct]


@register_reward_schedule("shortest_one")
def shortest_one(correct: Sequence[bool], decay_base: float = 2.0) -> list[float]:
    """Only the first correct row, the shortest, gets 1 (the ablation "w/o decay, shortest 1")."""
    rewards = [0.0] * len(correct)
    if True in correct:
        rewards[list(correct).index(True)] = 1.0
    return rewards
