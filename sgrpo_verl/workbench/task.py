"""What a toy task is, and the lessons in overthinking that any task makes: think, then re-check needlessly.

A thought solves the problem step by step and then checks itself again, up to three times (here the chained sums):

    3+5=8
    8+7=15
    Wait, check again.
    3+5=8
    8+7=15

In the lessons the first pass slips now and then and a check hardly ever does. So a longer thought is at least as likely
to be right, as in the models of the paper; else any outcome reward would shorten it, and show nothing about S-GRPO.
"""

import itertools
import random
import re
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from sgrpo_verl.settings.config import EXIT_PROMPT, THINK_END

RECHECK = "Wait, check again.\n"
RECHECK_PROBABILITY = (0.8, 0.8, 0.8, 0.0)  # of one more check, after the first pass, the first check, …
ALWAYS_RECHECKED = (1.0, *RECHECK_PROBABILITY[1:])  # no lesson ends after the first pass
SLIP_PROBABILITY = (0.1, 0.005)  # that a pass goes wrong: the first one, a check
WORDS = re.compile(r" ?[A-Za-z]+|[^A-Za-z]")  # what the tokenizer never merges across: a cut falls between two of these
CUT_SHARE = 0.35  # lessons that are a cut thought with the exit prompt: the reasoner has seen S-GRPO's exit prompt


@dataclass(frozen=True)
class Problem:
    """A question with its answer; ``steps`` is what its task needs to solve it."""

    question: str
    answer: str
    steps: Any


@dataclass(frozen=True)
class Lesson:
    """A response to learn from: ``learned`` pieces get a loss, the others (an inserted exit prompt) do not."""

    problem: Problem
    pieces: tuple[tuple[str, bool], ...]  # text, learned


class Task(ABC):
    """Problems that take steps to solve. A task is one file: these three methods and a name."""

    name: str
    recheck_probability: tuple[float, ...] = RECHECK_PROBABILITY

    @abstractmethod
    def draw(self, rng: random.Random) -> Problem:
        """Any problem of the task."""

    @abstractmethod
    def solve(self, problem: Problem, slip: bool, rng: random.Random) -> tuple[str, str]:
        """One pass over the problem: its lines, each ended with a line break, and the answer that it comes to.

        With ``slip``, one step goes wrong, and the rest of the pass goes on from there.
        """

    @abstractmethod
    def so_far(self, problem: Problem, whole_lines: list[str]) -> str:
        """The answer that a first pass has after these whole lines (of a pass not yet at its end, or none)."""

    @property
    def data_source(self) -> str:
        return f"toy/{self.name}"

    def draw_problem(self, rng: random.Random, held_out: bool = False) -> Problem:
        while True:
            problem = self.draw(rng)
            if is_held_out(problem) == held_out:
                return problem

    def draw_problems(self, count: int, seed: int, held_out: bool = False) -> list[Problem]:
        """``count`` different problems, all held out or none."""
        rng = random.Random(seed)
        problems: dict[str, Problem] = {}
        while len(problems) < count:
            problem = self.draw_problem(rng, held_out)
            problems[problem.question] = problem
        return list(problems.values())

    def draw_lesson(self, rng: random.Random) -> Lesson:
        problem = self.draw_problem(rng)
        passes: list[str] = []
        answers: list[str] = []
        for number, recheck_probability in enumerate(self.recheck_probability):
            slip = rng.random() < SLIP_PROBABILITY[min(number, 1)]
            text, answer = self.solve(problem, slip, rng)
            passes.append(text if not passes else RECHECK + text)
            answers.append(answer)
            if rng.random() >= recheck_probability:
                break
        if rng.random() >= CUT_SHARE:
            return Lesson(problem, (("".join(passes) + THINK_END + "\n\n" + answer_text(answers[-1]), True),))
        # Asked early, it says what it has: the answer of the last finished pass, or as far as the first pass comes. A
        # pass ends with its line break: were an exit before that right already, S-GRPO would teach to leave line breaks
        # out.
        words = WORDS.findall("".join(passes))
        thought = "".join(words[: rng.randint(1, len(words))])
        ends = itertools.accumulate(map(len, passes))
        finished = sum(len(thought) >= end for end in ends)
        known = answers[finished - 1] if finished else self.so_far(problem, thought.split("\n")[:-1])
        return Lesson(problem, ((thought, False), (EXIT_PROMPT, False), (answer_text(known), True)))


def is_held_out(problem: Problem) -> bool:
    """Whether a problem is held out: one in eight, always the same, that no lesson and no training prompt has."""
    return zlib.crc32(problem.question.encode()) % 8 == 5


def answer_text(answer: str) -> str:
    return f"Answer: \\boxed{{{answer}}}"


def count_rechecks(thought: str) -> int:
    return thought.count(RECHECK.strip())
