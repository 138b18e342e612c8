r"""Finds a response's final answer, as text. If it cannot be read as one whole answer, there is none.

In this order: the last ``\boxed{…}``, with those before it that it is joined to ("\boxed{2} or \boxed{9}" are a list
of two); the last ``<answer>…</answer>``; what follows the last ``####``; what is said to be the answer ("The answer is
…", "Answer: …"); and of a text that says none, its last formula or the number that it ends on. A piece is never taken
for the whole: of "The answer is 3/4" the answer is 3/4, and neither 3 nor 4. An empty box is none.
"""

import json
import re
from itertools import pairwise

from sgrpo_verl.answers.neighbours import is_part
from sgrpo_verl.answers.prose import SAID, last_formula_or_number, said_last, statement

LONGEST_PROSE = 10_000  # characters searched from the end
_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
TAGGED = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL)
# Of an answer, without the other: a response may be cut, and an answer begin behind the tag that opens it.
_ANSWER_TAG = re.compile(
    r"</?(?:answer|ans|final\w*|solution|result|response|output|conclusion)\b[^<>\n]{0,40}>", re.IGNORECASE
)
# A line of markdown that text follows, and no answer: "#### Step 2".
_HEADING = re.compile(
    r"#*[\s*\d.]*(?:step|solution|explanation|(?:final )?answer|reasoning|conclusion|summary|verification|check|notes?"
    r"|result|part|case|approach|method|analysis|calculations?)\b(?!.*[:=][\s*]*[-\d$\\]).*\n\s*\S",
    re.IGNORECASE,
)
# Between two boxes that are one answer together, once it is plain text: x = \boxed{1} and x = \boxed{3}.
_JOINT = re.compile(
    r"\s*(?:(?:[,;/&]|\b(?:and|or|maybe|perhaps|possibly|else|also|either|alternatively|both)\b)\s*)+"
    r"(?:\\?[A-Za-z][\w{}]{0,8}\s*=\s*)?|[^\S\n]*",
    re.IGNORECASE,
)
# Formatting between two boxes, and what it says.
_JOINT_FORMATTING = (
    (re.compile(r"\\(?:text|textbf|textrm|mathrm|mbox)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\(?:lor|vee)(?![A-Za-z])|∨"), " or "),
    (re.compile(r"\\(?:land|wedge)(?![A-Za-z])|∧"), " and "),
    (re.compile(r"\\(?:q?quad(?![A-Za-z])|[,;:! ()\[\]\\])|[$*()\[\]~]"), " "),
)
# Between a box that is a step, or a mistake, and the one that it leads to.
_LED_ON = re.compile(
    r"\b(?:then|no|not|wait|instead|finally|so|hence|thus|therefore|actually|answer|gives?|becomes|simplif\w+)\b",
    re.IGNORECASE,
)
_UNBRACED = re.compile(r"\\(?:[dt]?frac|sqrt)\s*(?:\{[^{}]*\}|\d)\s*(?:\{[^{}]*\}|\d)?|\\[A-Za-z]+|-?[\d.,/]*\d|\S")


def final_answer(text: str) -> str | None:
    r"""The answer that a response ends with; None if there is none.

    Args:
        text: a response, or what follows its thought.
    """
    if boxes := boxes_of(text):
        return joined_boxes(text, boxes)
    if tagged := TAGGED.findall(text):
        return final_answer(tagged[-1]) if SAID.search(tagged[-1]) else tagged[-1].strip() or None
    text = _ANSWER_TAG.sub("\n", text)
    marked = [one.strip() for one in text.split("####")[1:]]
    if marked := [one for one in marked if not _HEADING.match(one)]:
        return marked[-1].split("\n")[0].strip() or None
    prose = text[-LONGEST_PROSE:].replace("`", "").strip()
    if (said := said_last(prose)) is not None:
        return statement(said)
    return last_formula_or_number(prose)


def boxes_of(text: str) -> list[tuple[int, int, str | None]]:
    r"""Start, end and content of each box that is not empty; None for what is never closed.

    ``\boxed5`` and ``\boxed \frac12`` hold what comes next, as TeX has it.
    """
    found: list[tuple[int, int, str | None]] = []
    closed = _closed_braces(text)
    for box in _BOX.finditer(text):
        if not text.startswith("{", box.end()):
            unbraced = _UNBRACED.match(text, box.end())
            found.append((box.start(), unbraced.end() if unbraced else box.end(), unbraced[0] if unbraced else None))
        elif (end := closed.get(box.end())) is None:
            found.append((box.start(), len(text), None))
        elif content := text[box.end() + 1 : end].strip():
            found.append((box.start(), end + 1, content))
    return found


def _closed_braces(text: str) -> dict[int, int]:
    """Where each opening brace that is closed is closed; in one pass, because a response may open thousands."""
    closed, opened = {}, []
    for brace in re.finditer(r"[{}]", text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened:
            closed[opened.pop()] = brace.start()
    return closed


def joined_boxes(text: str, boxes: list[tuple[int, int, str | None]]) -> str | None:
    """The last box, with those before it that nothing but "and", "or" or a comma parts from it, as one list."""
    start, _, content = boxes[-1]
    contents = [content]
    for before, end, content in reversed(boxes[:-1]):
        if not _joins(text, end, start):
            break
        start = before
        contents.insert(0, content)
    if None in contents:
        return None
    answer = str(contents[0]) if len({*contents}) == 1 else ", ".join(map(str, contents))
    return None if is_part(text, start, boxes[-1][1], answer) else answer


def _joins(text: str, start: int, end: int) -> bool:
    """Whether what stands between two boxes makes them one list; a box inside another one is in none."""
    between = text[start:end]
    for formatting, plain in _JOINT_FORMATTING:
        between = formatting.sub(plain, between)
    return start <= end and bool(_JOINT.fullmatch(between))


def boxed_answers(text: str) -> list[str]:
    """What a text boxes: one answer, as ``final_answer`` has it, and boxes that neither join it nor lead to it."""
    boxes = boxes_of(text)
    if not boxes:
        return []
    answer = joined_boxes(text, boxes)
    apart = []
    for (_, end, content), (start, _, _) in pairwise(boxes):
        if not _joins(text, end, start) and not _LED_ON.search(text, end, start) and content != answer:
            apart.append(str(content))
    return [*dict.fromkeys(apart), *([answer] if answer else [])]


def texts_of_json(truth: str) -> "list[str]":
    """The texts of a JSON list that begins with one, ``["3", "4"]``; none for all else, such as the interval [3, 4]."""
    if not truth.lstrip().startswith('["'):
        return []
    try:
        found = json.loads(truth)
    except json.JSONDecodeError:
        return []
    plain = all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in found)
    return [str(one) for one in found] if plain and all(str(one).strip() for one in found) else []


def stated_answer(truth: str) -> str:
    """A ground truth as an answer: of one that is a sentence, or holds a box or ``####``, what it states.

    It is empty where nothing follows the ``####``, and where a box holds no answer, or only a part of one.
    """
    if boxes := boxes_of(truth):
        return joined_boxes(truth, boxes) or ""
    if "####" in truth or TAGGED.search(truth):
        return final_answer(truth) or ""
    if _BOX.search(truth):
        return ""
    return (final_answer(truth) or truth) if SAID.search(truth) else truth
