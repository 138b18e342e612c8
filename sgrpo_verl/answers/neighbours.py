r"""Whether a box holds only a part of what its formula says: of ``-\boxed{6}`` and ``\boxed{3}\sqrt{2}`` it does."""

import re

from sgrpo_verl.answers.units import is_unit
from sgrpo_verl.answers.words import PARTS, SCALES

NEAR = 80  # characters before and behind a box that are looked at
_SPACING = re.compile(r"\\[,;:! ]|\\(?:left|right|q?quad)(?![A-Za-z])|\\(?:text)?color\{\w*\}|~")
_NUMBER = r"[-−]?\d[\d.,/]*"
# A sign (but no dash between words), a digit, the start of a root, a fraction, an exponent; what is multiplied.
_BEFORE = re.compile(
    r"(?:(?<![\d})\]-])(?<![\d})\]-] )[-−]|[$=(\[{]\s*[-−]\s*|(?<!-)[-−]\$|[\d^/√±]|(?<=[\w}])_|[\^_]\{"
    r"|\\(?:sqrt(?:\[[^\]]*\])?|[dtc]?frac(?:\{[^{}]*\})?)\s*\{|\\(?:pm|mp|sqrt|ln|log|sin|cos|tan|pi)\s*"
    r"|\\(?:sqrt|[dtc]?frac\{[^{}]*\})\{[^{}]*\}\s*|\}\s*\{\s*"
    r"|\\boxed\{[^{}]*\}\s*:\s*\$?"  # a ratio of boxes
    rf"|(?<![\w.])\$?{_NUMBER}\$?\s+or\s+\$?"  # 5 or
    r"|[(\[](?:[-+\d\s.,/{}]|\\[a-z]+|[a-z](?![a-z]))*,\s*"  # a point's earlier coordinates
    r"|(?i:\b(?:minus|negative|not|never|isn't))\s+(?:\$|\\\()?)$"
)
# A digit, a letter, an exponent that is not degrees, a root, a number word; a unit may follow.
_NUMBER_WORDS = "|".join([*(SCALES.keys() - {"dozen"}), *(f"{part}s?" for part in PARTS.keys() - {"quarter"})])
_BEHIND = re.compile(
    r"\d|[.,:]\d|[½¼¾⅐-⅞]| \d+/\d|[A-Za-z](?![A-Za-z])|_(?=[\w{])|\^(?!\s*\{?\s*\\circ)"
    r"|/(?![A-Za-z]{2})| */ *(?=[\d($\\])|\((?![A-Za-z]{2})"
    r"| *\\(?:sqrt|pi|[dtc]?frac|pm|mp)(?![A-Za-z])"
    rf"|\s*(?:\$|\\\))?\s*or\s+(?:\$|\\\()?{_NUMBER}"
    r"| (?:hours?|hrs?|minutes?|min|days?|weeks?|years?|feet|foot|ft|pounds?|lbs?|dollars?),?(?: and)? \d+ [a-z]"
    rf"|(?:[ $~]|\\[ ,;)]|\\text\w*\{{)*(?:{_NUMBER_WORDS}|and a half)(?![A-Za-z-])"
)
_LETTER_BEHIND = re.compile(r" +([b-z])(?![\w'.])")
# Where the formula goes on to an equals sign, the box is the blank that was to be filled in: 3 + \boxed{5} = 8.
_BLANK = re.compile(r"[^$\n]*=")
_TERM_BEFORE = re.compile(r"(?:[\d})]|(?<![A-Za-z])[A-Za-z]) *(?:(?:[+*]|\\(?:cdot|times)) *|-)$")
_MINUS_BEFORE = re.compile(r"(?:[\d})]|(?<![A-Za-z])[A-Za-z]) *[-−] *$")
_TERM_BEHIND = re.compile(r" *(?:[-+*]|\\(?:cdot|times)) *(?:\d|\\[a-z]|[A-Za-z](?![A-Za-z]))")


def is_part(text: str, start: int, end: int) -> bool:
    """Whether what stands next to a box makes its content a part of something else.

    Args:
        start: where the box starts in the text.
        end: where it ends.
    """
    before, behind = text[max(start - NEAR, 0) : start], text[end : end + NEAR]
    in_formula = before.rsplit("\n", 1)[-1].count("$") % 2 == 1
    before, behind = _SPACING.sub(" ", before), _SPACING.sub(" ", behind)
    while before.rstrip(" ").endswith("(") and behind.lstrip(" ").startswith(")"):
        before, behind = before.rstrip(" ")[:-1], behind.lstrip(" ")[1:]
    if _BEFORE.search(before) or _BEHIND.match(behind):
        return True
    if in_formula and (letter := _LETTER_BEHIND.match(behind)) and not is_unit(letter[1]):
        return True
    if _BLANK.match(behind):
        return False
    minus = in_formula and _MINUS_BEFORE.search(before)
    return bool(minus or _TERM_BEFORE.search(before) or _TERM_BEHIND.match(behind))
