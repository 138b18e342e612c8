"""A reward function for verl: is the answer right? (``reward.custom_reward_function.path=pkg://sgrpo_verl.correctness``)

``answers.reading`` says what is read as a response's answer, ``answers.comparing`` when two answers are the same.
"""

from collections.abc import Sequence
from typing import Any

from sgrpo_verl.algorithm.serial_group import opens_answer
from sgrpo_verl.answers.choices import final_choice, letters_of
from sgrpo_verl.answers.comparing import equal
from sgrpo_verl.answers.notation import tidy
from sgrpo_verl.answers.reading import boxes_of, final_answer, stated_answer, texts_of_json
from sgrpo_verl.settings.config import THINK_END
from sgrpo_verl.settings.escapes import miswritten, shown

# Keys of extra_info: what is scored is an answer, without the thought before it; and the end of that thought, where it
# is a part of the same sentence as the answer.
ANSWER_ALONE = "sgrpo_answer_alone"
BEFORE_ANSWER = "sgrpo_before_answer"


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: dict[str, Any] | None = None,
    think_end: str = THINK_END,
    **kwargs: Any,
) -> float:
    r"""1.0 if the final answer of a response is right, else 0.0; bounded in time, whatever the response is.

    The arguments are verl's (``verl/utils/reward_score``). Only what follows the first ``think_end`` counts; a response
    without one counts whole. If ``think_end`` is a phrase, such as ``\boxed{``, it is a part of the answer, and a whole
    response without it has none; what stands right before a box may make it a part of something else (``-\boxed{5}``).
    An answer alone, which ``extra_info`` says it is, counts whole, whatever tags are in it.

    Args:
        data_source: named in errors.
        solution_str: the response, or its answer.
        ground_truth: a text or a number, or a list, tuple or array of them, of which any is right; a text that is a
            list of texts in JSON (``["3", "4"]``) is that list.
        extra_info: where ``choices`` in it is not empty, the problem is a multiple choice: the letters ("ABCD" or a
            list of them), or the texts of the choices. The truth is then a letter, or the text of one choice.
        think_end: what closes a thought; empty: the whole response is the answer.

    Raises:
        ValueError: the ground truth cannot be one (None, NaN, a bool, a text that says nothing, a dict, a letter that
            is no choice), or ``think_end`` came miswritten, see ``settings.escapes``.
        answers.checker.CheckerError: mathematics has to be compared, and no process for it can be started.
    """
    if why := miswritten(think_end):
        raise ValueError(f"think_end={shown(think_end)} {why}")
    info = extra_info or {}
    choices = choices_of(info.get("choices"))
    truths = acceptable_answers(ground_truth, data_source, choices)
    answer, alone = str(solution_str), info.get(ANSWER_ALONE, False)
    before = info.get(BEFORE_ANSWER, "") if alone else ""
    if think_end and opens_answer(think_end):
        thought, opening, after = answer.partition(think_end)
        answer = opening + after if opening or not alone else thought
        before += thought if opening else ""
    elif think_end:
        answer = answer.replace(think_end, "") if alone else answer.split(think_end, 1)[-1]
    if choices:
        return float(final_choice(answer, choices) in truths)
    found = final_answer(before + answer if boxes_of(answer) else answer)  # a box may be a part of what is before it
    return float(found is not None and any(equal(found, stated_answer(truth)) for truth in truths))


def acceptable_answers(ground_truth: Any, data_source: str, choices: Sequence[str] = ()) -> list[str]:
    """Every acceptable answer of a row's ground truth, as a text; of a multiple choice, the letters.

    Raises:
        ValueError: see ``compute_score``.
    """
    if hasattr(ground_truth, "tolist"):  # numpy's arrays and scalars, which parquet gives back
        ground_truth = ground_truth.tolist()
    if isinstance(ground_truth, str):
        ground_truth = texts_of_json(ground_truth) or ground_truth
    truths = list(ground_truth) if isinstance(ground_truth, list | tuple | set) else [ground_truth]
    if not truths or not all(_can_be_a_truth(truth) for truth in truths):
        raise ValueError(
            f"data_source={data_source!r}: the ground truth {ground_truth!r} ({type(ground_truth).__name__}) cannot be "
            "one; it must be a text or a number that says an answer, or a list of them (not NaN, nothing but signs, a "
            "Python list that was written as a text, or a box without a whole answer in it)"
        )
    return [_letter(str(truth), choices, data_source) if choices else str(truth) for truth in truths]


def _can_be_a_truth(truth: Any) -> bool:
    """Whether a right response is possible at all."""
    text = str(truth).strip()
    if not isinstance(truth, str | int | float) or isinstance(truth, bool) or text.casefold() == "nan":
        return False
    return not text.startswith("['") and bool(tidy(stated_answer(text)).strip("${} "))


def choices_of(choices: Any) -> list[str]:
    """The choices of a row, whatever they came as; letters in one text count one by one, none are an empty list."""
    if choices is None:
        return []
    if hasattr(choices, "tolist"):
        choices = choices.tolist()
    return [str(choice).strip() for choice in (choices if isinstance(choices, Sequence) else [choices])]


def _letter(truth: str, choices: Sequence[str], data_source: str) -> str:
    letters, texts = letters_of(list(choices))
    letter = truth.strip().strip("().").upper()
    if letter in letters:
        return letter
    for letter, text in texts.items():
        if text == truth.strip():
            return letter
    raise ValueError(f"data_source={data_source!r}: the ground truth {truth!r} is none of the choices {choices!r}")
