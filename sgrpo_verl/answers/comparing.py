r"""Whether two answers are the same, as a strict human marker would say; where two readings are fair, the stricter one.

- Numbers are exact: 0.33 and 0.333333 are not 1/3, and a decimal is not the root that it rounds.
- A unit counts only where both have one: 12 cm is 12, and not 12 m. Nothing is converted: 1 m is not 100 cm.
- A percent sign is a unit: 28 % is 28, and not 0.28. Degrees and currencies likewise.
- 3:4 is text, a ratio or a time: it is 3:4 alone, not 3/4 and not 6:8. Digits in another base (101_2) likewise.
- A series with dots is text as well: no two of them are compared term by term.
- An inequality for one name is the interval that it describes: x > 2 is (2, \infty).
- x = 5 is 5, but not y = 5. (2, 3) is "2, 3", but not {2, 3} and not "3, 2"; a bare list has no order of its own.
- Words are compared without regard to case.
"""

import re

from sgrpo_verl.answers.checker import check
from sgrpo_verl.answers.notation import exact, tidy

LONGEST_ANSWER = 2_000  # characters; a longer final answer is wrong, and parsing it only costs time
_KNOWN_UNITS = (
    "mm|cm|dm|km|mg|kg|ml|cl|dl|min|mins|hr|hrs|sec|secs|ms|ft|in|yd|mi|lb|lbs|oz|mph|kmh|kph|mps|ha|kw|kwh|hz|khz|pa|"
    "kpa|ev|mol|rad|deg|am|pm|usd|eur"
)
_WORDS = r"[A-Za-zµ][A-Za-zµ.'-]+(?: [A-Za-zµ.'-]+)*"
_PER = r"(?: ?/ ?[A-Za-z]+| per [A-Za-z]+)?(?: ?\^ ?\{?-?\d\}?)?"
_UNIT = re.compile(
    rf"^(?P<value>.*[\d}})])(?P<unit> ?%| ?\^ ?\{{?\\circ ?\}}?(?: ?[CF])?| ?(?:{_KNOWN_UNITS}){_PER}| {_WORDS}{_PER}"
    rf"| (?:m|g|s|h|l|L|N|J|W|V|A|K|C|F){_PER}| ?[€£¥])$"
)
_CURRENCY = re.compile(r"^(?P<sign>[-+]?) ?(?P<currency>[$€£¥])(?= ?[\d.])")
_SAME_UNITS = {
    **dict.fromkeys(("percent", "percentage", "pct"), "%"),
    **dict.fromkeys(("degree", "deg"), "degree"),
    **dict.fromkeys(("$", "usd", "dollar"), "dollar"),
    **dict.fromkeys(("€", "eur", "euro"), "euro"),
    **dict.fromkeys(("£", "pound"), "pound"),
    **dict.fromkeys(("hr", "hour", "h"), "hour"),
    **dict.fromkeys(("min", "minute"), "minute"),
    **dict.fromkeys(("sec", "second", "s"), "second"),
    **dict.fromkeys(("ft", "foot", "feet"), "foot"),
    **dict.fromkeys(("in", "inch", "inche"), "inch"),
    **dict.fromkeys(("m", "meter", "metre"), "meter"),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), "centimeter"),
    **dict.fromkeys(("km", "kilometer", "kilometre"), "kilometer"),
}
_DOTS = re.compile(r"\\[lcd]?dots|\.\.\.")
_COMPARED_AS_TEXT = re.compile(r"(?<![a-z]):|\d_")
_MATHEMATICS = re.compile(r"[\d\\+\-*/^=<>|(){}\[\]]")


def equal(answer: str, truth: str) -> bool:
    """Whether an answer says what the truth says.

    Args:
        answer: a final answer as ``reading.final_answer`` finds it, in any notation.
        truth: the ground truth, likewise.

    Raises:
        checker.CheckerError: mathematics has to be compared, and no process for it can be started.
    """
    ours, gold = tidy(answer), tidy(truth)
    if not ours or len(ours) > LONGEST_ANSWER:
        return False
    if _squeezed(ours) == _squeezed(gold):
        return True
    (ours, our_unit), (gold, its_unit) = _without_unit(ours), _without_unit(gold)
    if our_unit and its_unit and our_unit != its_unit:
        return False
    if _squeezed(ours) == _squeezed(gold):
        return True
    numbers = exact(ours), exact(gold)
    if None not in numbers:
        return numbers[0] == numbers[1]
    for text in (ours, gold):
        if _DOTS.search(text) or _COMPARED_AS_TEXT.search(text):
            return False
    if not (_MATHEMATICS.search(ours) and _MATHEMATICS.search(gold)):
        return False  # a word, a name, a letter
    return check(ours, gold)


def _squeezed(text: str) -> str:
    """Without spaces, and without braces around one character; words without their case."""
    text = re.sub(r"([_^])\{(\w)\}", r"\1\2", re.sub(r"\s", "", text))
    text = re.sub(r"^\(([A-Za-z])\)$", r"\1", text)  # a choice
    return text.casefold() if text.isalpha() else text


def _without_unit(text: str) -> tuple[str, str]:
    """A value and its unit in a form of its own, empty where it has none."""
    if currency := _CURRENCY.match(text):
        return currency["sign"] + text[currency.end() :].strip(), _SAME_UNITS.get(currency["currency"], "yen")
    found = _UNIT.match(text)
    if not found:
        return text, ""
    unit = re.sub(r"[\s{}^.]", "", found["unit"].replace("\\circ", "degree")).casefold()
    unit = unit if unit in _SAME_UNITS else unit.removesuffix("s")
    return found["value"].strip(), _SAME_UNITS.get(unit, unit)
