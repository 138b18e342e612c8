"""Finds the letter that a response to a multiple-choice question ends with; two letters, or half a word, are none."""

import re

from sgrpo_verl.answers.comparing import LONGEST_ANSWER
from sgrpo_verl.answers.notation import WRAPPERS, tidy
from sgrpo_verl.answers.reading import LONGEST_PROSE, TAGGED, boxes_of, joined_boxes

_CHOSEN = re.compile(
    r"\b(?:answers?\b(?! (?:choice|option))[*_\s]*(?:[^.:=\n$\\]{0,40}?\b(?=is\b|(?:would|must|should|will) be\b))?"
    r"|(?:option|choice)\b[*_\s]*)"
    r"(?:(?:is|are|would be|must be|should be|will be|therefore|thus|then|clearly|:|=)[\s:,*]*)+"
    r"(?:(?:option|choice)\b[\s:]*)?",
    re.IGNORECASE,
)
# Formatting that says nothing: bold, delimiters of mathematics, spacing.
_FORMATTING = re.compile(r"(?<!\w)\*+|\*+(?!\w)|\$|\\[()\[\]]|\\(?:q?quad(?![A-Za-z])|[,;:! ])|~")
_OPENING = r"(?:[\s(\[{:]|\\(?:text|math)[a-z]*\{|(?P<named>(?i:option|choice)\b)|(?i:answer|is)\b)*"
# What makes a letter the name of a choice, whatever follows: "B)", "B.", "B:"; not a.m.
_MARKED = re.compile(r"[\s}]*(?:[)\]:]|\.(?![A-Za-z](?:\.|$)))")
# Without such a mark, only a reason may follow: "A proton", "d orbitals" and "C_6" are no choices.
_REASONED = re.compile(
    r"[\s)\]}.]*(?:$|[,;—–\n]|\s-\s|\s\(|\s(?:because|since|as|due|so|from|while|whereas|which|therefore|thus|hence)\b"
    r"|\s(?:is|was) (?:the )?(?:correct|right|best|true|answer|one)\b)"
)
_REMARK = re.compile(r"[\s*]*[a-z]{2,}")
_FORMULA = re.compile(
    r"(?![\s}]*[)\].:][\s}]+(?:-\d|\\(?:[dtc]?frac|sqrt|pi)))"  # (A) \frac12
    r"(?:\(|[ )\]}]*(?:[=<>^+*/_-](?![\])])|\\(?!text)))"  # A(x), A = \pi r^2, A \cup B
)


def final_choice(text: str, choices: list[str]) -> str | None:
    r"""The letter that a response to a multiple-choice question ends with; None if there is none.

    The last box if it holds the text of one choice, or starts with a letter that names one ("B", "\text{B) 3 m}", but
    not "a proton"); without such a box, or behind it, the letter after the last "answer is", "answer:" or "option is";
    else a last line that is nothing but a letter. Two letters ("A, C", "A or C") are none.

    Args:
        text: a response, or what follows its thought.
        choices: letters ("A", "B", …), or the texts of the choices, whose letters follow their order.
    """
    letters, texts = letters_of(choices)
    boxes = boxes_of(text)
    if boxes:
        if found := _choice_of(joined_boxes(text, boxes) or "", letters, texts):
            return found
        text = text[boxes[-1][1] :]
    elif tagged := TAGGED.findall(text):
        return _choice_of(tagged[-1], letters, texts)
    prose = text[-LONGEST_PROSE:].replace("`", "").strip()
    said = [prose[one.end() :] for one in _CHOSEN.finditer(prose)]
    for rest in reversed(said):
        found = _choice_in(rest, letters) or _choice_with_text(rest.split("\n")[0].strip(" *"), texts)
        if found or not _REMARK.match(rest):  # "the answer is clear" is none, and hides none
            return found
    if said:
        return None
    last_line = prose.split("\n")[-1].strip("# ")
    return None if boxes else _choice_in(last_line, letters, re.IGNORECASE, alone=True)


def _choice_of(content: str, letters: list[str], texts: dict[str, str]) -> str | None:
    """The choice whose text or letter a box holds; none where the two are different choices."""
    if said := list(_CHOSEN.finditer(content)):
        content = content[said[-1].end() :].rstrip("} ")
    letter = _choice_in(content, letters, re.IGNORECASE)
    behind = re.match(r"[^A-Za-z]*[A-Za-z][\s)\].:}]+", plain := _without_formatting(content)) if letter else None
    texts_named = {_choice_with_text(content, texts), _choice_with_text(plain[behind.end() :] if behind else "", texts)}
    found = {letter, *texts_named} - {None}
    return found.pop() if len(found) == 1 else None


def _choice_in(content: str, letters: list[str], flags: int = 0, alone: bool = False) -> str | None:
    r"""The one letter that a text starts with: "B", "(B) 3 m", "\text{B}"; not "A, C", "A or C" or "A = \pi r^2"."""
    content = _without_formatting(content)
    one = rf"[{''.join(letters)}](?![A-Za-z0-9'_])"
    found = re.match(rf"{_OPENING}(?P<letter>{one})", content, flags)
    if not found:
        return None
    rest = content[found.end() :]
    if _FORMULA.match(rest) or _another(rest, one, flags):
        return None
    if alone and not re.fullmatch(r"[\s).\]}]*", rest):
        return None
    return found["letter"].upper() if found["named"] or _MARKED.match(rest) or _REASONED.match(rest) else None


def _without_formatting(content: str) -> str:
    content = _FORMATTING.sub(" ", WRAPPERS.sub(r"\1", WRAPPERS.sub(r"\1", content)))
    return re.sub(r"\n\s+", "\n", re.sub(r"[^\S\n]+", " ", content))[:LONGEST_ANSWER]


def _another(rest: str, one: str, flags: int) -> bool:
    """Whether a second choice, or a doubt, comes right behind the first; of "(B) A proton", A is an article."""
    close, opening = r"[ )\]}\\]*", r"[ (\[{\\]*"
    if re.match(rf"{close}(?:,| ?\() ?(?:and )?not {opening}{one}", rest, flags):
        return False
    doubts = rf"(?:and|or|not|nor|maybe|perhaps|possibly)\b|(?:to|through) {opening}{one}"
    joined = (
        rf"(?:[, (]*\b(?:{doubts})|\s+(?:and|or)\s+{opening}{one}|\?"
        rf"|(?:[,;/&+–-]|\\&|:){opening}{one}| {opening}{one}(?! \w\w))"
    )
    return bool(re.match(close + joined, rest, flags))


def letters_of(choices: list[str]) -> tuple[list[str], dict[str, str]]:
    """The letters of a multiple choice, and the text of each where texts are given."""
    if all(len(choice) == 1 and choice.isalpha() for choice in choices):
        return [choice.upper() for choice in choices], {}
    letters = [chr(ord("A") + number) for number in range(len(choices))]
    return letters, dict(zip(letters, choices, strict=True))


def _choice_with_text(content: str, texts: dict[str, str]) -> str | None:
    if not 0 < len(content) <= LONGEST_ANSWER:
        return None
    fitting = [letter for letter, text in texts.items() if tidy(text).casefold() == tidy(content).casefold()]
    return fitting[0] if len(fitting) == 1 else None
