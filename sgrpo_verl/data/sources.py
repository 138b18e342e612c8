"""The data sets that ``sgrpo data`` knows: where each is found, its columns, and how a row becomes a problem."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sgrpo_verl.answers.reading import final_answer

Row = dict[str, Any]
LETTERS = "ABCD"
BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
BOXED_LETTER = "Please reason step by step, and put the letter of the correct choice within \\boxed{}."


@dataclass(frozen=True)
class Problem:
    """A problem with its answer, or several of which any is right; ``choices`` are the letters of a multiple choice."""

    text: str
    answer: str | list[str]
    choices: str = ""
    difficulty: float | None = None

    @property
    def prompt(self) -> str:
        return f"{self.text}\n\n{BOXED_LETTER if self.choices else BOXED}"


@dataclass(frozen=True)
class Source:
    """A data set on the hub. ``read`` takes a row that has ``columns`` and a generator for what is shuffled."""

    hub_id: str
    config: str | None
    split: str
    training: bool
    columns: tuple[str, ...]
    read: Callable[[Row, random.Random], Problem]
    ability: str = "math"


def _text(value: Any) -> str:
    """A cell as text; some sets hold whole numbers as floats."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value).strip()


def _answers(value: Any) -> str | list[str]:
    """A cell as one answer or several. If it is a whole solution, the answer is in its box or after its ``####``."""
    if isinstance(value, list | tuple):
        return [_text(one) for one in value]
    text = _text(value)
    return (final_answer(text) or "") if "\\boxed" in text or "####" in text else text


def _gsm8k(row: Row, rng: random.Random) -> Problem:
    """The answer stands behind ``####``, with commas in its thousands."""
    _, marker, answer = _text(row["answer"]).rpartition("####")
    return Problem(_text(row["question"]), answer.strip().replace(",", "") if marker else "")


def _math_train(row: Row, rng: random.Random) -> Problem:
    solution = _text(row["solution"])
    return Problem(_text(row["problem"]), (final_answer(solution) or "") if "\\boxed" in solution else "")


def _gpqa(row: Row, rng: random.Random) -> Problem:
    """The correct choice comes first in the source; here the four are shuffled."""
    correct = _text(row["Correct Answer"])
    choices = [correct, *(_text(row[f"Incorrect Answer {number}"]) for number in (1, 2, 3))]
    rng.shuffle(choices)
    listed = "\n".join(f"{letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=True))
    return Problem(f"{_text(row['Question'])}\n\n{listed}", LETTERS[choices.index(correct)] if correct else "", LETTERS)


def _columns(problem: str, answer: str, difficulty: str | None = None) -> Callable[[Row, random.Random], Problem]:
    """A reader of rows whose problem and answer are columns of their own."""

    def read(row: Row, rng: random.Random) -> Problem:
        level = _text(row.get(difficulty)) if difficulty is not None else ""
        return Problem(_text(row.get(problem)), _answers(row.get(answer)), difficulty=float(level) if level else None)

    return read


SOURCES = {
    "gsm8k": Source("openai/gsm8k", "main", "test", False, ("question", "answer"), _gsm8k),
    "math-500": Source(
        "HuggingFaceH4/MATH-500", None, "test", False, ("problem", "answer"), _columns("problem", "answer")
    ),
    "amc23": Source("math-ai/amc23", None, "test", False, ("question", "answer"), _columns("question", "answer")),
    "aime24": Source(
        "HuggingFaceH4/aime_2024", None, "train", False, ("problem", "answer"), _columns("problem", "answer")
    ),
    "gpqa-diamond": Source(
        "Idavidrein/gpqa",
        "gpqa_diamond",
        "train",
        False,
        ("Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"),
        _gpqa,
        ability="science",
    ),
    "deepmath-103k": Source(
        "zwhe99/DeepMath-103K",
        None,
        "train",
        True,
        ("question", "final_answer", "difficulty"),
        _columns("question", "final_answer", "difficulty"),
    ),
    "gsm8k-train": Source("openai/gsm8k", "main", "train", True, ("question", "answer"), _gsm8k),
    "math-train": Source(
        "DigitalLearningGmbH/MATH-lighteval", None, "train", True, ("problem", "solution"), _math_train
    ),
}
# Local files may also hold a problem and its answer as they are.
PLAIN_COLUMNS = ("problem", "answer")
read_plain = _columns(*PLAIN_COLUMNS)
