r"""Whether a box holds only a part of what its formula says: of ``-\boxed{6}`` and ``\boxed{3}\sqrt{2}`` it does."""

import re

from sgrpo_verl.answers.words import PARTS, SCALES

NEAR = 80  # characters before and behind a box that are looked at
# A sign (but no dash between words), a digit, the start of a root, a fraction, an exponent.
_BEFORE = re.compile(
    r"(?:(?<![\d})\]-])(?<![\d})\]-] )[-−]|[$=(\[{]\s*[-−]\s*|(?<!-)[-−]\$|[\d^/√±]|(?<=[\w}])_|[\^_]\{"
    r"|\\(?:sqrt(?:\[[^\]]*\])?|[dtc]?frac(?:\{[^{}]*\})?)\s*\{|\\(?:pm|mp|sqrt|ln|log|sin|cos|tan)\s*)$"
)
# A digit, a letter, an exponent that is not degrees, a root, a number word; a unit may follow.
_NUMBER_WORDS = "|".join([*(SCALES.keys() - {"dozen"}), *(f"{part}s?" for part in PARTS.keys() - {"quarter"})])
_BEHIND = re.compile(
    r"\d|[.,:]\d|[A-Za-z](?![A-Za-z])|_(?=[\w{])|\^(?!\s*\{?\s*\\circ)|/(?![A-Za-z]{2})|\((?![A-Za-z]{2})"
    r"| *\\(?:sqrt|pi|[dtc]?frac|pm|mp|left)(?![A-Za-z])"
    rf"|(?:[ $~]|\\[ ,;)]|\\text\w*\{{)*(?:{_NUMBER_WORDS}|and a half)(?![A-Za-z-])"
)
# Where the formula goes on to an equals sign, the box is the blank that was to be filled in: 3 + \boxed{5} = 8.
_BLANK = re.compile(r"[^$\n]*=")
_TERM_BEFORE = re.compile(r"(?:[\d})]|(?<![A-Za-z])[A-Za-z]) *(?:(?:[+*]|\\(?:cdot|times)) *|-)$")
_TERM_BEHIND = re.compile(r" *(?:[-+*]|\\(?:cdot|times)) *(?:\d|\\[a-z])")


def is_part(text: str, start: int, end: int) -> bool:
    """Whether what stands next to a box makes its content a part of something else.

    Args:
        start: where the box starts in the text.
        end: where it ends.
    """
    before, behind = text[max(start - NEAR, 0) : start], text[end : end + NEAR]
    if _BEFORE.search(before) or _BEHIND.match(behind):
        return True
    return not _BLANK.match(behind) and bool(_TERM_BEFORE.search(before) or _TERM_BEHIND.match(behind))
