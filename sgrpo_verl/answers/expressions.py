r"""Reads one expression with latex2sympy (math-verify's parser), whole or not at all.

What is not read whole is not read. latex2sympy skips what it does not need: the prime of f', the base of 101_2,
degrees, what is behind an approximation. So each number of the text is given to it as a prime of its own, and each name
that it would change as one that it does not; all of them must be in what it returns. Signs that it knows nothing of,
words, and whatever else is not listed here make the text unread.
"""

import re
from functools import lru_cache
from typing import Any

import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy
from sympy import Basic, MatrixBase, Rational, Symbol
from sympy.core.function import AppliedUndef

_CONFIG = ConversionConfig(lowercase_symbols=False)
FIRST_PRIME = 10_007  # beyond the numbers that latex2sympy puts in itself
_GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho varrho sigma tau upsilon phi chi psi "
    "omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar pi"
)
_FUNCTIONS = "sin cos tan cot sec csc sinh cosh tanh arcsin arccos arctan log ln exp max min sqrt frac binom sum prod"
_SIGNS = "times cdot div infty lfloor rfloor lceil rceil begin end circ overline"
_GREEK = frozenset(_GREEK_NAMES.split())
_ACCENTS = frozenset(("bar", "vec", "hat", "tilde", "dot"))
_KNOWN = {*_GREEK, *_ACCENTS, *_FUNCTIONS.split(), *_SIGNS.split()}
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_MATRIX = re.compile(r"\\(?:begin|end)\{[pbv]?matrix\}")
_CHARACTERS = re.compile(r"[\w\s+\-*/^=(),.\[\]{}|!&\\']*", re.ASCII)
# A digit may follow these at once (3\cdot2, \log_{2}8); behind a letter's name it is as likely a subscript.
_BEFORE_A_DIGIT = re.compile(r"(\\(?:times|cdot|div|(?:arc)?(?:sin|cos|tan)|cot|sec|csc|ln|log(?:_\{\w+\})?))(?=\d)")
_PLAIN_BASE = re.compile(r"\\log ?_ ?(\d+) ?(?=\()")
# What may multiply what stands before it. 1/2x may be half of x, or 1 over 2x, and is not read. These are plain:
# 1/2 x with a space, a complex number 1/2 + 3/4i, a line 3/4x + 2, a volume 4/3\pi r^3.
_FACTOR = r"(?:[A-Za-z]|\\(?!times|cdot|div|end|rfloor|rceil|circ)[A-Za-z])"
_FRACTION_OF = re.compile(
    rf"(?<=[^\s/]/)\d+ (?={_FACTOR})|^-? ?\d+(?:/\d+)? ?[-+] ?\d+/\d+(?=i$)"
    r"|^-? ?\d+/\d+(?=[a-dfghj-z] ?[-+] ?\d+(?:/\d+)?$)|^-? ?\d+/3(?=\\pi ?[A-Za-z] ?\^)"
)
_LETTER_TIMES_POWER = re.compile(r"(?<![A-Za-z\\_])([A-Za-z])(?=\d+ ?\^)")  # n2^{n-1}
_UNREAD = re.compile(
    r"--|!!|\d ?_|\d \d|[A-Za-z]\d|\\frac ?\{ ?d"  # what latex2sympy takes for something else
    r"|\\(?:sin|cos|tan|cot|sec|csc|ln|log|exp) ?(?!\()[^-+()]*(?:/|\\cdot|\\times|\*)"  # \sin x/2 is either
    rf"|/ ?\d+ ?{_FACTOR}|/ ?\([^()]*\) ?(?:\(|{_FACTOR})"
    r"|[fghFGH] ?\^[^()]*\(|[A-Z\d}] ?\\times ?[A-Z]"  # an inverse or a power of f; a product of groups
    r"|(?<![\\A-Za-z])(?:[A-Za-z]{4,}|[A-Za-z]+ [A-Za-z]{2,}|[A-Za-z]{2,} [A-Za-z]"  # words
    r"|(?:erfc?|erfi|sgn|sign|lcm|gcd|det|tr|Re|Im|arg|deg|dim|ker|Res|Li|Ei|Si|Ci|adj|sup|inf|[vV]ar|Cov|curl|div)"
    r"(?![A-Za-z]))"
)
_NAME = re.compile(
    r"\\acute\{[^}]*\}|\\(?:begin|end)\{\w+\}"
    r"|(?P<base>\\[A-Za-z]+|[A-Za-z])(?P<sub> ?_ ?(?:[A-Za-z\d]|\\[A-Za-z]+|\{[^{}]*\}))?(?P<primes> ?'+)?"
)
_TAKEN = re.compile(rf"acute\{{[^}}]*\}}|{'|'.join(sorted(_GREEK | _ACCENTS, key=len, reverse=True))}|[A-Za-z]")
_DECIMAL = re.compile(r"(?<![\w.])(\d*)\.(\d+)(?![\d.])")
_DEGREES = re.compile(r"(\d+|\\frac\{\d+\}\{\d+\}) ?\^ ?\{? ?\\circ ?\}?")
_MIXED = re.compile(r"(?<![\w.}^])(\d+) ?\\frac\{(\d+)\}\{(\d+)\}")
_INVERSE = re.compile(r"\\(sin|cos|tan) ?\^ ?\{? ?-1 ?\}?(?!\d)")
_BASE = "\\acute{base}"  # of a logarithm that does not say: whichever it is, it is the same one


class Unread(ValueError):
    """A text that cannot be read as one whole expression."""


@lru_cache(maxsize=1000)
def expression(text: str) -> Any:
    """The sympy expression or matrix that a tidy text is, decimals as the rationals that they are.

    Raises:
        Unread: part of the text is not in it, or it cannot be read.
    """
    text = _BEFORE_A_DIGIT.sub(r"\1 ", _PLAIN_BASE.sub(r"\\log_{\1}", text))
    text = _LETTER_TIMES_POWER.sub(r"\1 \\cdot ", text)
    text = _FRACTION_OF.sub(r"\g<0>\\cdot ", text)
    words = _MATRIX.sub("[", text)
    commands = {*_COMMAND.findall(words.replace("\\\\", " "))}
    if not text or not commands <= _KNOWN or not _CHARACTERS.fullmatch(text) or _UNREAD.search(_unsubscripted(words)):
        raise Unread(text)
    latex = _prepared(text)
    found = [name[0] for name in _NAME.finditer(latex) if _is_name(name)]
    if "'" in _NAME.sub("", latex) or "\\circ" in latex:
        raise Unread(text)
    names = {*_TAKEN.findall(" ".join(found))}
    numbers: list[int] = []
    primed = _with_primes(latex, numbers)
    try:
        with sympy.evaluate(False):
            value = latex2sympy(primed, normalization_config=None, conversion_config=_CONFIG)
        if not isinstance(value, sympy.Expr | MatrixBase) or not names <= _names_in(value):
            raise Unread(text)
        value = _with_numbers(value, numbers, text)
        if value.has(sympy.zoo, sympy.nan):
            raise Unread(text)
        return value
    except Unread:
        raise
    except Exception as error:  # latex2sympy and sympy raise whatever they come upon
        raise Unread(text) from error


def _unsubscripted(text: str) -> str:
    return re.sub(r"(?<=[A-Za-z])_(?:\w|\{[^{}]*\})", "", text)


def _prepared(text: str) -> str:
    """What latex2sympy would take for something else, in a way that it does not."""
    latex = _DECIMAL.sub(lambda found: f"\\frac{{{int(found[1] + found[2])}}}{{1{'0' * len(found[2])}}}", text)
    latex = _DEGREES.sub(r"(\\frac{\1\\pi}{180})", latex)
    latex = _MIXED.sub(lambda found: f"\\frac{{{int(found[1]) * int(found[3]) + int(found[2])}}}{{{found[3]}}}", latex)
    latex = _INVERSE.sub(r"\\arc\1 ", latex)
    latex = re.sub(r"\\log(?![A-Za-z]| ?_)", lambda _: f"\\log_{{{_BASE}}}", latex)
    latex = _NAME.sub(_as_name, latex.replace("\\overline", "\\bar"))
    return re.sub(r"(?<=\d) ?(?=\()", r"\\cdot ", latex)  # 2(3) is no mixed number


def _as_name(found: re.Match[str]) -> str:
    """A letter with its subscript and primes as one name; so is what latex2sympy would read as a sign."""
    base = found["base"]
    if base is None or (base.startswith("\\") and base[1:] not in _GREEK):
        return found[0]
    changed = base in ("I", "d", "\\gamma")
    if not (found["sub"] or found["primes"] or changed):
        return "\\pi " if base == "\\pi" else f" {base} " if base == "i" else found[0]
    name = re.sub(r"[\s{}\\^]", "", found[0])
    return f"\\acute{{{name}}}"


def _is_name(found: re.Match[str]) -> bool:
    return not found[0].startswith("\\") or found[0].startswith("\\acute") or found[0][1:] in _GREEK | _ACCENTS


def _names_in(value: Any) -> set[str]:
    named = [symbol.name for symbol in value.atoms(Symbol)]
    named += [str(function.func) for function in value.atoms(AppliedUndef)]
    named += ["e"] if value.has(sympy.exp, sympy.E) else []
    named += ["pi"] if value.has(sympy.pi) else []
    named += ["Gamma"] if value.has(sympy.gamma) else []
    return {*_TAKEN.findall(" ".join(named))}


def _with_primes(latex: str, numbers: list[int]) -> str:
    """Each number replaced by a prime, the n-th by ``_prime(n)``, and the numbers themselves."""

    def replaced(found: re.Match[str]) -> str:
        if not found[0].isdigit():
            return found[0]
        numbers.append(int(found[0]))
        return str(_prime(len(numbers) - 1))

    return re.sub(r"\\acute\{[^}]*\}|\d+", replaced, latex)


@lru_cache(maxsize=1000)
def _prime(place: int) -> int:
    return FIRST_PRIME if place == 0 else int(sympy.nextprime(_prime(place - 1)))


def _with_numbers(value: Any, numbers: list[int], text: str) -> Any:
    """The value with its primes replaced by the numbers that they stand for; each of them must be there."""
    given = {_prime(place): number for place, number in enumerate(numbers)}
    seen: set[int] = set()
    replaced: dict[Basic, Basic] = {}
    for atom in value.atoms(sympy.Number):
        if not isinstance(atom, Rational):
            continue
        above, below = abs(int(atom.p)), int(atom.q)
        seen |= {above, below}
        if {above, below} & given.keys():
            whole = given.get(above, above) * (-1 if atom.p < 0 else 1)
            replaced[atom] = Rational(whole, given.get(below, below))
    if not given.keys() <= seen:
        raise Unread(text)
    return value.xreplace(replaced)
