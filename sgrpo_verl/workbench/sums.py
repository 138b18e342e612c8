"""Chained sums, such as 3+5+7=?: each line of a thought adds one number."""

import random

from sgrpo_verl.workbench.task import ALWAYS_RECHECKED, Problem, Task

NUM_TERMS = (3, 5)  # fewest and most numbers of a problem


def sum_of(*terms: int) -> Problem:
    return Problem("+".join(map(str, terms)) + "=?", str(sum(terms)), terms)


class ChainedSums(Task):
    """``steps`` are the numbers to add, each of one digit."""

    name = "sums"

    def draw(self, rng: random.Random) -> Problem:
        return sum_of(*(rng.randint(1, 9) for _ in range(rng.randint(*NUM_TERMS))))

    def solve(self, problem: Problem, slip: bool, rng: random.Random) -> tuple[str, str]:
        terms = problem.steps
        slip_at = rng.randrange(1, len(terms)) if slip else 0
        total, lines = terms[0], []
        for position, term in enumerate(terms[1:], start=1):
            result = total + term
            if position == slip_at:
                result += rng.choice((-2, -1, 1, 2))
            lines.append(f"{total}+{term}={result}\n")
            total = result
        return "".join(lines), str(total)

    def so_far(self, problem: Problem, whole_lines: list[str]) -> str:
        return whole_lines[-1].split("=")[1] if whole_lines else str(problem.steps[0])


class AlwaysRecheckedSums(ChainedSums):
    """The same problems, but every lesson checks at least once: no thought ever ends after the first pass."""

    name = "rechecked_sums"
    recheck_probability = ALWAYS_RECHECKED
