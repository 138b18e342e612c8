"""Do a run's sampled thoughts ever stop early? In the paper's form, S-GRPO reinforces only what is sampled.

A thought stopped early if it ended soon after its answer was known: of its early exits at most a quarter is right,
though its own answer is.
"""

from collections.abc import Sequence
from typing import Any

SOON = 0.25  # most of the exits that may be right
ENOUGH = 128  # right responses, before anything is said
RARELY = 0.01  # share of them that stopped early
KNOWN_EARLY = 0.5  # share of their exits that are right


def right_exits(full: Sequence[dict[str, Any]]) -> list[float]:
    """The share of right exits in each group whose full response is right and closed, and which has exits.

    Args:
        full: the notes of full responses.
    """
    return [
        (notes["num_right"] - 1) / (notes["num_rows"] - 1)
        for notes in full
        if notes["correct"] and notes["closed"] and notes["num_rows"] > 1
    ]


def stopped_early(shares: Sequence[float]) -> float:
    """Of the groups with these shares of right exits, the share whose thought stopped early."""
    return sum(share <= SOON for share in shares) / len(shares)


def never_stops(shares: Sequence[float]) -> str | None:
    """A warning for a run whose thoughts go on long after the answer is known, and are never sampled otherwise.

    Args:
        shares: of right exits, of all groups so far; None is returned while they are too few.
    """
    if len(shares) < ENOUGH or stopped_early(shares) > RARELY or (known := sum(shares) / len(shares)) < KNOWN_EARLY:
        return None
    return (
        f"{known:.0%} of the early exits are right where the full response is, yet of {len(shares)} right responses "
        f"{round(stopped_early(shares) * len(shares))} stopped thinking soon after the answer was known. What is never "
        "sampled is not learnt, so thoughts may get hardly any shorter. +sgrpo=taught_stop, or "
        "algorithm.sgrpo.train_closing_tag=true with exit_prompt='</think>\n\n' and exit_sampling=lines, teaches the "
        "stop itself"
    )
