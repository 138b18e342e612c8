r"""Whether a box holds only a part of what its formula says: of ``-\boxed{6}`` and ``\boxed{3}\sqrt{2}`` it does."""

import re

from sgrpo_verl.answers.notation import exact, tidy
from sgrpo_verl.answers.units import is_unit
from sgrpo_verl.answers.words import PARTS, SCALES

NEAR = 80  # characters before and behind a box that are looked at
FORMULA = 400  # characters in which a formula around a box is looked for
_SPACING = re.compile(r"\\[,;:! ]|\\(?:left|right)(?![A-Za-z])|\\(?:text)?color\{\w*\}|~")
_GAP = re.compile(r"\\q?quad(?![A-Za-z])")
# Two units of one amount: 5 hours 30 minutes.
_SMALLER = "|".join(
    rf"(?:{one}),?(?: and)? \d+ ?(?:{smaller})"
    for one, smaller in {
        "years?": "months?",
        "weeks?": "days?",
        "days?": "hours?|hrs?",
        "hours?|hrs?|h": "minutes?|mins?|m",
        "minutes?|mins?": "seconds?|secs?|s",
        "feet|foot|ft": "inche?s?|in",
        "pounds?|lbs?": "ounces?|oz",
        "dollars?": "cents?",
    }.items()
)
# "5 or", which is a second answer unless it is the same one in another form.
_NUMBER = r"(?P<number>[-−]?\d[\d.,/]*(?P<percent> ?\\?%)?)"
_OR_BEFORE = re.compile(rf"(?<![\w.\\{{])(?<![+*/^] )(?<![+*/^])\$?{_NUMBER}\$? +or +(?:\$|\\\()?\Z")
_OR_BEHIND = re.compile(rf" *(?:\$|\\\))? *or +(?:\$|\\\()?{_NUMBER}")
# A sign (but no dash between words), a digit, the start of a root, a fraction, an exponent; what is multiplied.
_BEFORE = re.compile(
    r"(?:(?<![\d})\]-])(?<![\d})\]-] )[-−]|[$=(\[{]\s*[-−]\s*|(?<!-)[-−]\$|[\d^/√±]|(?<=[\w}])_|[\^_]\{"
    r"|\\(?:sqrt(?:\[[^\]]*\])?|[dtc]?frac(?:\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})?)\s*\{ *"
    r"|\\(?:pm|mp|sqrt|ln|log|sin|cos|tan|pi) *"
    r"|\\(?:sqrt|[dtc]?frac\{[^{}]*\})\{[^{}]*\} *"
    r"|\\boxed\{[^{}]*\} *: *\$?|[$(]\d+:|\\log_(?:\w|\{\w+\}) *"  # a ratio, a base
    # A point's earlier coordinates.
    r"|(?:[(\[]|\\\{)(?:[-+\d .,/{}]|\\[a-z]+(?![a-z])|(?<![a-z])[a-z](?![a-z]))*, *"
    r"|(?i:\b(?:minus|negative|not|never|isn't))\s+(?:\$|\\\()?)\Z"
)
# A digit, a letter, an exponent that is not degrees, a root, a number word; a unit may follow.
_NUMBER_WORDS = "|".join([*(SCALES.keys() - {"dozen"}), *(f"{part}s?" for part in PARTS.keys() - {"quarter"})])
_BEHIND = re.compile(
    r"\d|[.,:]\d|[½¼¾⅐-⅞]| \d+/\d|[A-Za-z](?![A-Za-z])|_(?=[\w{])|\^(?!\s*\{?\s*\\circ)"
    r"|/(?![A-Za-z]{2})| */ *(?=[\d($\\])|\((?![A-Za-z]{2})"
    r"| *\\(?:sqrt|pi|[dtc]?frac|pm|mp)(?![A-Za-z])"
    r"|(?:, *[-−]?[\d./]+)+ *(?:\)|\\\})"  # a point's later coordinates
    rf"| (?:{_SMALLER})\b(?! ?(?:a|per|each|every)\b)"
    rf"|(?:[ $~]|\\[ ,;)]|\\text\w*\{{)*(?:{_NUMBER_WORDS}|and a half)(?![A-Za-z-])"
)
_LETTER_BEHIND = re.compile(r" +([b-z])(?![\w'.])")
# Where the formula goes on to an equals sign, the box is the blank that was to be filled in: 3 + \boxed{5} = 8.
_BLANK = re.compile(r"[^$\n]*=")
_TERM_BEFORE = re.compile(r"(?:[\d})]|(?<![A-Za-z])[A-Za-z]) *(?:(?:[+*]|\\(?:cdot|times)) *|-)\Z")
_MINUS_BEFORE = re.compile(r"(?:[\d})]|(?<![A-Za-z])[A-Za-z]) *[-−] *\Z")
_TERM_BEHIND = re.compile(r" *(?:[-+*]|\\(?:cdot|times|div)) *(?:\d|\\[a-z])")
_LETTER_TERM_BEHIND = re.compile(r" *(?:[-+*]|\\(?:cdot|times|div)) *[A-Za-z](?![A-Za-z])|!")


def is_part(text: str, start: int, end: int, content: str) -> bool:
    """Whether what stands next to a box makes its content a part of something else.

    Args:
        start: where the box starts in the text.
        end: where it ends.
        content: what it holds.
    """
    before, behind = _plain(text[max(start - NEAR, 0) : start]), _plain(text[end : end + NEAR])
    while before.rstrip(" ").endswith("(") and behind.lstrip(" ").startswith(")"):
        before, behind = before.rstrip(" ")[:-1], behind.lstrip(" ")[1:]
    if _BEFORE.search(before) or _BEHIND.match(behind):
        return True
    if _is_other(_OR_BEFORE.search(before), content) or _is_other(_OR_BEHIND.match(behind), content):
        return True
    in_formula = _is_open(text[max(start - FORMULA, 0) : start])
    if in_formula and (letter := _LETTER_BEHIND.match(behind)) and not is_unit(letter[1]):
        return True
    if _BLANK.match(behind):
        return False
    if in_formula and (_MINUS_BEFORE.search(before) or _LETTER_TERM_BEHIND.match(behind)):
        return True
    return bool(_TERM_BEFORE.search(before) or _TERM_BEHIND.match(behind))


def _plain(text: str) -> str:
    """With plain spaces; a wide gap parts as a line break does."""
    return _SPACING.sub(" ", _GAP.sub("\n", text))


def _is_other(found: "re.Match[str] | None", content: str) -> bool:
    """Whether a number is another one than a box holds; a share in percent may be the same."""
    ours = exact(tidy(content)) if found else None
    if found is None or ours is None:
        return False
    number = exact(tidy(found["number"].rstrip(".,%\\ ")))
    return number is not None and number != ours and not (found["percent"] and number == 100 * ours)


def _is_open(text: str) -> bool:
    """Whether a text ends inside a formula."""
    for opening, closing in (("\\(", "\\)"), ("\\[", "\\]")):
        if text.rfind(opening) > text.rfind(closing):
            return True
    if text.count("$$") % 2:
        return True
    return text.rsplit("\n", 1)[-1].replace("$$", "").count("$") % 2 == 1
