"""A reward schedule of your own: the k-th correct row gets 1/k, which falls more slowly than 1/2^(k − 1)."""

from collections.abc import Sequence

from sgrpo_verl.decay import register_reward_schedule


@register_reward_schedule("harmonic")
def harmonic(correct: Sequence[bool], decay_base: float) -> list[float]:
    """``correct``: of the group's rows in exit order, the full response last. ``decay_base`` is not needed here."""
    rewards, n_right = [], 0
    for is_correct in correct:
        n_right += is_correct
        rewards.append(1 / n_right if is_correct else 0.0)
    return rewards
