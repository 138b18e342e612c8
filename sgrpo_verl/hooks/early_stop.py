"""Do a run's sampled thoughts ever stop early? In the paper's form, S-GRPO reinforces only what is sampled.

One thought of a prompt is no proof: it may end late because its answer was found late. So only those groups count whose
answer was known as early as in half of all groups. Of these, a thought stopped early if its answer was first known in
its last quarter.
"""

from collections.abc import Sequence
from statistics import mean, median
from typing import Any

from sgrpo_verl.algorithm.serial_group import opens_answer
from sgrpo_verl.settings.escapes import shown

LAST = 0.75  # of a thought, where its last quarter begins
ENOUGH = 128  # right responses, before anything is said
RARELY = 0.05  # share of thoughts that stopped early
EARLY = 0.6  # of a thought, the mean place at which the answer was known

Known = tuple[int, int]  # the position of a group's first correct row, and the length of its thought, in tokens


def known_of(full: Sequence[dict[str, Any]]) -> list[Known]:
    """Where the answer was first known, in each group with exits whose full response is right and closed.

    Args:
        full: the notes of full responses.
    """
    return [
        (notes["first_right"], notes["thought_length"])
        for notes in full
        if notes["correct"] and notes["closed"] and notes["num_rows"] > 1
    ]


def stopped_early(known: Sequence[Known]) -> float:
    """The share of thoughts that stopped early, of those whose answer was known as early as in half of the groups."""
    half = median(first for first, _ in known)
    early = [(first, length) for first, length in known if first <= half]
    return mean(first >= LAST * length for first, length in early)


def never_stops(known: Sequence[Known], think_end: str) -> str | None:
    """A warning for a run whose thoughts go on long after the answer is known, and are hardly ever sampled otherwise.

    Args:
        known: of all groups so far; None is returned while they are too few.
        think_end: what closes a thought.
    """
    if len(known) < ENOUGH or (place := mean(first / length for first, length in known)) > EARLY:
        return None
    if (share := stopped_early(known)) > RARELY:
        return None
    exit_prompt = think_end if opens_answer(think_end) else f"{think_end}\n\n"
    return (
        f"in the first {len(known)} right responses the answer was known after {place:.0%} of the thought, but "
        f"{'none' if share == 0 else f'only {share:.1%}'} of the thoughts stopped there. What is never sampled is not "
        "learnt, so thoughts may get hardly any shorter. +sgrpo=taught_stop teaches the stop itself; it is "
        f"algorithm.sgrpo.train_closing_tag=true with exit_prompt={shown(exit_prompt)} and exit_sampling=lines"
    )
