r"""Numbers that are partly words, as digits: 5 million is 5000000, 2 thirds \frac{2}{3}, 5 and a half 5\frac{1}{2}."""

import re

SCALES = {
    **{"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12},
    **{"quadrillion": 10**15, "quintillion": 10**18, "dozen": 12},
}
_TO_NINETEEN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_BY_TEN = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = {word: 10 * tens for tens, word in enumerate(_BY_TEN.split(), start=2)}
NUMBERS = {**{word: value for value, word in enumerate(_TO_NINETEEN.split())}, **_TENS}
_ORDINALS = (
    "fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth "
    "seventeenth eighteenth nineteenth"
)
PARTS = {
    **{"half": 2, "halve": 2, "third": 3, "quarter": 4},
    **{word: value for value, word in enumerate(_ORDINALS.split(), start=4)},
    **{f"{ten.removesuffix('y')}ieth": value for ten, value in _TENS.items()},
    **{f"{scale}th": value for scale, value in SCALES.items() if scale != "dozen"},
}
_SCALE = re.compile(
    rf"(?<![\d.,/^_}}\\])(\d{{1,99}})(?:\.(\d{{1,99}}))? +({'|'.join(SCALES)})s?(?![A-Za-z])", re.IGNORECASE
)
_AND_A_PART = re.compile(rf"(?<![\d.,/^_}}\\])(\d+) +and +(?:a|an|one)[ -]+({'|'.join(PARTS)})(?![A-Za-z])")
_PARTS_OF = re.compile(rf"(?<![\d.,/^_}}\\])(\d+)[ -]+({'|'.join(PARTS)})s?(?![A-Za-z])")


def in_digits(text: str) -> str:
    """A text with every such number written in digits; an ordinal such as "5 fifth" says nothing else either."""
    text = _AND_A_PART.sub(lambda found: f"{found[1]}\\frac{{1}}{{{PARTS[found[2]]}}}", text)
    while found := _SCALE.search(text):
        value = int(found[1] + (found[2] or "")) * SCALES[found[3].lower()]
        whole, rest = divmod(value, scale := 10 ** len(found[2] or ""))
        number = str(whole) if not rest else f"\\frac{{{value}}}{{{scale}}}"
        text = f"{text[: found.start()]}{number}{text[found.end() :]}"
    return _PARTS_OF.sub(lambda found: f"\\frac{{{found[1]}}}{{{PARTS[found[2]]}}}", text)
