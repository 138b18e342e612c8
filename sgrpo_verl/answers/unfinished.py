r"""Whether an answer is a calculation that is left to be done: 100 - (15 + 23) where a number is asked for, and not 62.

Whoever rewards it teaches a policy to copy a problem's numbers into a formula as early as it can: an instruct model did
so within ten steps of training (docs/evidence/instruct.md). What is customary as a result stays one: a reduced
fraction, a mixed number, a root, a power, a factorial, and a product with one of them, such as 3 \cdot 2^{10}.
"""

import re

from sgrpo_verl.answers.notation import exact

_RATIO = re.compile(r"[-+]?(?:\\frac\{(.*?)\}\{(.*?)\}|(.*?)/(.*?))")
_SUM = r"[\dQBF][-+]"
_PRODUCT = r"[\dQB](?:\\times|\\cdot|\\div|[*/])[-+]?[\d.QB]|[\dQB]B|B[\d.Q]"
_OPERATION = re.compile(f"{_SUM}|{_PRODUCT}")
# What has neither braces nor brackets inside, and the letter that stands for it once its inside is seen to be a result.
_INNERMOST = {
    re.compile(r"\\frac\{([^{}()]*)\}\{([^{}()]*)\}"): "Q",
    re.compile(r"(?:[\d.]+|[QBF])\^(?:\{([^{}()]*)\}|\d)"): "F",
    re.compile(r"\\sqrt(?:\[\d+\])?\{([^{}()]*)\}|\\binom\{([^{}()]*)\}\{([^{}()]*)\}|(?:\d+|B)!"): "F",
    re.compile(r"\(([^{}()]*)\)"): "B",
    # Braces that are not seen.
    re.compile(r"(?:(?<=\\times)|(?<=\\cdot)|(?<=\\div)|(?<![A-Za-z}\]^_\\]))\{([^{}()]*)\}"): r"\1",
}
_NAMED_OPERATION = re.compile(r"\\(?:sum|prod|int|lim|gcd|lcm)(?![A-Za-z])")
_ENTRY = re.compile(r"\\(?:begin|end)\{\w+\}|\\\\|&")


def is_unfinished(answer: str, truth: str) -> bool:
    """Whether the truth is a number, and the answer is a calculation that may lead to it.

    Args:
        answer: tidy (``notation.tidy``), without its unit.
        truth: likewise.
    """
    if exact(truth) is None:
        entries = [_ENTRY.split(one) for one in (answer, truth)]  # of matrices
        return len(entries[0]) == len(entries[1]) > 1 and any(
            is_unfinished(*(entry.strip() for entry in pair)) for pair in zip(*entries, strict=True)
        )
    text = re.sub(r"\s|_(?:\d+|\w|\{[^{}]*\})", "", answer)  # a base of a logarithm is no factor
    if (number := exact(answer)) is None:
        return _has_operation(text)
    ratio = _RATIO.fullmatch(text)
    if ratio is None or _RATIO.fullmatch(re.sub(r"\s", "", truth)):
        return False
    return str(number.denominator) != (ratio[2] or ratio[4])


def _has_operation(text: str) -> bool:
    """Whether numbers are added, subtracted, multiplied or divided anywhere in a text, also inside of brackets."""
    if _NAMED_OPERATION.search(text):
        return True
    inside: list[str] = []

    def letter_of(found: re.Match) -> str:
        inside.extend(filter(None, found.groups()))
        return found.expand(_INNERMOST[found.re])

    before = ""
    while text != before:
        before = text
        for pattern in _INNERMOST:
            text = pattern.sub(letter_of, text)
    return any(map(_OPERATION.search, (*inside, text)))
