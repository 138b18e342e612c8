"""The data sets that ``sgrpo data`` knows: where each is found, its columns, and how a row becomes a problem."""

import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sgrpo_verl.answers.reading import boxed_answers, stated_answer, texts_of_json
from sgrpo_verl.data.local import Digits

Row = dict[str, Any]
LETTERS = "ABCD"
SHOWN = 80  # characters of a cell that cannot be read
BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
BOXED_LETTER = "Please reason step by step, and put the letter of the correct choice within \\boxed{}."


@dataclass(frozen=True)
class Problem:
    """A problem with its answer, or several of which any is right; ``choices`` are the letters of a multiple choice.

    Of a row in verl's own schema, ``messages``, ``data_source`` and ``extra_info`` are kept as they are, and so are the
    ``choices`` in it, which may also be texts.
    """

    text: str
    answer: str | list[str]
    choices: str | list[str] | None = ""
    difficulty: float | None = None
    messages: tuple[Row, ...] = ()
    data_source: str = ""
    extra_info: Row = field(default_factory=dict)

    @property
    def prompt(self) -> list[Row]:
        """The chat that the model is given."""
        if self.messages:
            return list(self.messages)
        return [{"role": "user", "content": f"{self.text}\n\n{BOXED_LETTER if self.choices else BOXED}"}]


class BadCell(ValueError):
    """A cell that is not what its column holds."""

    def __init__(self, column: str, what: str):
        super().__init__(what)
        self.column, self.what = column, what


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


def _text(row: Row, column: str) -> str:
    """A cell as text; some sets hold whole numbers as floats."""
    value = row.get(column)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int | float | None):
        raise BadCell(column, f"{_shown(value)} is neither a text nor a number")
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    text = "" if missing else str(value).strip()
    if re.match(r"\[?\{\s*['\"]\w+['\"]\s*:|\['", text):
        raise BadCell(column, f"{_shown(text)} is a structure that was written as a text")
    return text


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _problem(row: Row, column: str) -> Row:
    """What a problem's cell says: its text, and the messages where it is a chat, as verl has it."""
    chat = row.get(column)
    if not isinstance(chat, list | tuple):
        return {"text": _text(row, column)}
    messages = tuple(message for message in chat if isinstance(message, dict))
    texts = all(isinstance(message.get(key), str) for message in messages for key in ("role", "content"))
    if not chat or len(messages) < len(chat) or not texts or messages[-1]["role"] != "user":
        raise BadCell(column, f"{_shown(chat)} is no chat of texts that ends with a user's message")
    return {"text": messages[-1]["content"].strip(), "messages": messages}


def _kept(row: Row) -> Row:
    """What is kept of a row in verl's own schema, beside its chat."""
    extra = {} if row.get("extra_info") is None else row["extra_info"]
    if not isinstance(extra, dict):
        raise BadCell("extra_info", f"{_shown(extra)} is no dict")
    kept = {"choices": extra.get("choices", ""), "data_source": _text(row, "data_source")}
    return {**kept, "extra_info": _with_numbers(extra)}


def _with_numbers(value: Any) -> Any:
    """Whatever JSON holds, with numbers as numbers: only an answer's own digits matter."""
    if isinstance(value, dict):
        return {key: _with_numbers(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_numbers(one) for one in value]
    return float(value) if isinstance(value, Digits) else value


def _difficulty(row: Row, column: str) -> float | None:
    """A number; of a row in verl's own schema, also what ``extra_info`` says. None where there is none."""
    extra = row.get("extra_info")
    text = _text(row, column) or (_text(extra, column) if isinstance(extra, dict) else "")
    try:
        if text and not math.isfinite(float(text)):
            raise ValueError
    except ValueError:
        raise BadCell(column, f"{_shown(text)} is no number") from None
    return float(text) if text else None


def _answers(row: Row, column: str) -> str | list[str]:
    """A cell as one answer or several: a solution's box or what follows its ``####``, a list, verl's ``reward_model``.

    A text that is a list of texts in JSON (``["3", "4"]``) is that list.
    """
    value = row.get(column)
    if isinstance(value, dict):
        if "ground_truth" not in value:
            raise BadCell(column, f"{_shown(value)} has no ground_truth")
        return _answers({column: value["ground_truth"]}, column)
    if isinstance(value, list | tuple):
        return [_text({column: one}, column) for one in value]
    text = _text(row, column)
    if several := texts_of_json(text):
        return several
    if boxed := boxed_answers(text):
        return _only(boxed, column)
    return stated_answer(text) if re.search(r"####|\\(?:boxed|fbox)\b", text) else text


def _only(boxed: list[str], column: str) -> str:
    if len(boxed) > 1:
        raise BadCell(column, f"several boxes stand apart, so which is the answer? {'; '.join(boxed)}")
    return boxed[0]


def _gsm8k(row: Row, rng: random.Random) -> Problem:
    """The answer stands behind ``####``, with commas in its thousands."""
    solution = _text(row, "answer")
    _, marker, answer = solution.rpartition("####")
    if solution and not marker:
        raise BadCell("answer", f"there is no #### with the answer behind it in {_shown(solution)}")
    return Problem(_text(row, "question"), answer.strip().split("\n")[0].strip().replace(",", ""))


def _math_train(row: Row, rng: random.Random) -> Problem:
    boxed = boxed_answers(_text(row, "solution"))
    if not boxed:
        raise BadCell("solution", "empty answer: there is no \\boxed{…} or \\fbox{…} in it")
    return Problem(_text(row, "problem"), _only(boxed, "solution"))


def _gpqa(row: Row, rng: random.Random) -> Problem:
    """The correct choice comes first in the source; here the four are shuffled."""
    correct = _text(row, "Correct Answer")
    choices = [correct, *(_text(row, f"Incorrect Answer {number}") for number in (1, 2, 3))]
    for number, choice in enumerate(choices):
        if number and (not choice or choice in choices[:number]):
            raise BadCell(f"Incorrect Answer {number}", f"{_shown(choice)} is empty or another choice's text")
    rng.shuffle(choices)
    listed = "\n".join(f"{letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=True))
    return Problem(f"{_text(row, 'Question')}\n\n{listed}", LETTERS[choices.index(correct)] if correct else "", LETTERS)


def reader_of(problem: str, answer: str, difficulty: str | None = None) -> Callable[[Row, random.Random], Problem]:
    """A reader of rows whose problem and answer are columns of their own."""

    def read(row: Row, rng: random.Random) -> Problem:
        asked = _problem(row, problem)
        kept = _kept(row) if "messages" in asked else {}
        level = None if difficulty is None else _difficulty(row, difficulty)
        return Problem(**asked, **kept, answer=_answers(row, answer), difficulty=level)

    return read


SOURCES = {
    "gsm8k": Source("openai/gsm8k", "main", "test", False, ("question", "answer"), _gsm8k),
    "math-500": Source(
        "HuggingFaceH4/MATH-500", None, "test", False, ("problem", "answer"), reader_of("problem", "answer")
    ),
    "amc23": Source("math-ai/amc23", None, "test", False, ("question", "answer"), reader_of("question", "answer")),
    "aime24": Source(
        "HuggingFaceH4/aime_2024", None, "train", False, ("problem", "answer"), reader_of("problem", "answer")
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
        reader_of("question", "final_answer", "difficulty"),
    ),
    "gsm8k-train": Source("openai/gsm8k", "main", "train", True, ("question", "answer"), _gsm8k),
    "math-train": Source(
        "DigitalLearningGmbH/MATH-lighteval", None, "train", True, ("problem", "solution"), _math_train
    ),
}
# Local files may also hold a problem and its answer as they are.
PLAIN_COLUMNS = ("problem", "answer")
# verl's own schema.
VERL_COLUMNS = ("prompt", "reward_model")
DIFFICULTY = "difficulty"  # of a set that can be filtered by it
