"""Swapped digits, such as 3142:ab,cd,ac=?: each line of a thought swaps the digits at two of the places a, b, c, d."""

import random

from sgrpo_verl.workbench.task import Problem, Task

PLACES = "abcd"
NUM_SWAPS = (3, 5)  # fewest and most swaps of a problem


def swap(digits: str, pair: str) -> str:
    first, second = (PLACES.index(place) for place in pair)
    swapped = list(digits)
    swapped[first], swapped[second] = digits[second], digits[first]
    return "".join(swapped)


def swaps_of(digits: str, *pairs: str) -> Problem:
    answer = digits
    for pair in pairs:
        answer = swap(answer, pair)
    return Problem(f"{digits}:{','.join(pairs)}=?", answer, (digits, pairs))


class Swaps(Task):
    """``steps`` are the digits, all different, and the pairs of places, no two running the same."""

    name = "swaps"

    def draw(self, rng: random.Random) -> Problem:
        digits = "".join(rng.sample("123456789", len(PLACES)))
        pairs: list[str] = []
        for _ in range(rng.randint(*NUM_SWAPS)):
            pair = _draw_pair(rng)
            while pairs and pair == pairs[-1]:
                pair = _draw_pair(rng)
            pairs.append(pair)
        return swaps_of(digits, *pairs)

    def solve(self, problem: Problem, slip: bool, rng: random.Random) -> tuple[str, str]:
        digits, pairs = problem.steps
        slip_at = rng.randrange(len(pairs)) if slip else -1
        lines = []
        for position, pair in enumerate(pairs):
            done = pair
            while position == slip_at and done == pair:
                done = _draw_pair(rng)
            digits = swap(digits, done)
            lines.append(f"{pair}:{digits}\n")
        return "".join(lines), digits

    def so_far(self, problem: Problem, whole_lines: list[str]) -> str:
        return whole_lines[-1].split(":")[1] if whole_lines else problem.steps[0]


def _draw_pair(rng: random.Random) -> str:
    return "".join(sorted(rng.sample(PLACES, 2)))
