r"""Brings answers as people and models write them, in Unicode, plain text or LaTeX, into one notation: plain LaTeX.

``tidy`` changes how an answer is written and never what it says; ``exact`` reads a number as the rational that it is.
"""

import re
import unicodedata
from fractions import Fraction

from sgrpo_verl.answers.words import in_digits

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ", "0123456789+-ni")
_SUPERSCRIPT_RUN = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ]+")
_VULGAR_FRACTION = re.compile(r"(\d*)\s*([¼½¾⅐-⅞])")
_GREEK = re.compile("[α-ωΓΔΘΛΞΠΣΦΨΩ]")
_UNICODE = {
    **dict.fromkeys("−‐‑‒–—﹣－", "-"),
    "×": r"\times ",
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "∙": r"\cdot ",
    "÷": "/",
    "⁄": "/",
    "∕": "/",
    "∞": r"\infty ",
    "√": r"\sqrt ",
    "±": r"\pm ",
    "≤": r"\leq ",
    "≥": r"\geq ",
    "≠": r"\neq ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∅": r"\emptyset ",
    "∈": r"\in ",
    "°": r"^\circ ",
    "…": r"\ldots ",
    "⋯": r"\cdots ",
    "≡": r"\equiv ",
    "≈": r"\approx ",
    "∓": r"\mp ",
    "∀": r"\forall ",
    "∃": r"\exists ",
    "∉": r"\notin ",
    "⊂": r"\subset ",
    "⊆": r"\subseteq ",
    "∖": r"\setminus ",
    "→": r"\to ",
    "⟨": r"\langle ",
    "⟩": r"\rangle ",
    "∨": " or ",
    "∧": " and ",
    "′": "'",
    "’": "'",
    **{letter: rf"\mathbb{{{plain}}}" for letter, plain in zip("ℝℤℕℚℂ", "RZNQC", strict=True)},
}
# Two spellings of one sign: the first is written as the second.
_SYNONYMS = {
    **dict.fromkeys(("varnothing",), r"\emptyset "),
    **dict.fromkeys(("le", "leqslant"), r"\leq "),
    **dict.fromkeys(("ge", "geqslant"), r"\geq "),
    "ne": r"\neq ",
    "lt": "<",
    "gt": ">",
    **dict.fromkeys(("rightarrow", "longrightarrow"), r"\to "),
    **dict.fromkeys(("lor", "vee"), " or "),
    **dict.fromkeys(("land", "wedge"), " and "),
    **dict.fromkeys(("mid", "lvert", "rvert", "vert"), "|"),
    "colon": ":",
    "lbrace": r"\{",
    "rbrace": r"\}",
    "prime": "'",
    **{f"var{letter}": rf"\{letter} " for letter in ("epsilon", "phi", "theta")},
}
_SYNONYM = re.compile(rf"\\({'|'.join(_SYNONYMS)})(?![A-Za-z])")
WRAPPERS = re.compile(
    r"\\(?:text(?:rm|bf|it|sf|tt|sc|up|sl|md|normal)?|math(?:rm|bf|it|sf|tt|normal)|[mh]box|operatorname|boldsymbol|bm|emph)"
    r"\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}"
)
_SAID_TO_BE = re.compile(r"^\s*(?:the )?(?:final )?answer\s*(?:is\b|:|=)\s*", re.IGNORECASE)
_SPACING = re.compile(
    r"(?<!\\)\\(?:(?:left|right|displaystyle|limits|quad|qquad|rm|bf|it|sf|tt|[bB]igg?[lrm]?|small|[lL]arge|LARGE|huge)"
    r"(?![A-Za-z])|[!,;: ])|~"
)
# TeX's own fractions, degrees, line breaks with a distance, the digits of another base in brackets, colors, arrays in
# brackets, a set's colon, a colon without space around it.
_OLD_TEX = (
    (re.compile(r"\{([^{}]*)\\over(?![A-Za-z])([^{}]*)\}"), r"\\frac{\1}{\2}"),
    (re.compile(r"(?: ?\^ ?)?\{?\\degree(?![A-Za-z])\}?"), r"^\\circ "),
    (re.compile(r"\\\\ ?\[[\d.]+ ?(?:pt|em|ex|mm|cm)\]"), r"\\\\ "),
    (re.compile(r"\((\d+)\) ?_"), r"\1_"),
    (re.compile(r"\\(?:text)?color ?\{\w*\}"), ""),
    (re.compile(r"[(\[] ?\\begin\{array\}\{[lcr ]*\}(.*?)\\end\{array\} ?[)\]]"), r"\\begin{pmatrix}\1\\end{pmatrix}"),
    (re.compile(r"(\\\{ ?[a-z]) ?: ?"), r"\1 | "),
    (re.compile(r"\{:\}"), ":"),
)
_ONE_AND_A_COMMA = re.compile(r"^([^,;]*?)\s*(?:(?<!\\)[,;]|\\\\)\s*$")  # "5," is 5, and "1, 2," goes on
_FRACTION = re.compile(r"\\[dtc](frac|binom)(?![A-Za-z])")
_TAKES_ARGUMENTS = re.compile(r"\\(frac|binom|sqrt)(?![A-Za-z])(\s*\[[^\[\]]*\])?")
_ARGUMENT = re.compile(r"\s*(\d|[A-Za-z]|\\[A-Za-z]+)")
# Not right behind a bracket: (1,234) is a point. Nor behind a zero: 0,125 is hardly 125.
_GROUPING = re.compile(r"(?<![\d.,(\[])(?<!\\\{)([1-9]\d{0,2}(?:(?:,|\{,\}|\\,| )\d{3})+)(?!\d|,\d|\{,\}\d)")
# One dollar sign is an amount: those of a formula are close to what is inside, and no digit follows the second.
_DELIMITED_PIECE = re.compile(r"(?<!\\)\$(?!\s)([^$]*[^$\s\\])\$(?![\d$])|\\\(((?:(?!\\\().)+?)\\\)")
# A comma that LaTeX sets close to what follows, or by itself, groups digits wherever it stands: 10,\!080 and 10{,}080.
_GROUPING_IN_LATEX = re.compile(r"(?<=\d)(?<!(?<!\d)0)(?:,\s*\\!\s*|\{,\}\s*)(?=\d{3}(?!\d))")
_PLAIN_WORDS = {"pi": r"\pi ", "infinity": r"\infty ", "inf": r"\infty ", "oo": r"\infty ", "theta": r"\theta "}
_PLAIN_WORD = re.compile(r"(?<![A-Za-z\\])(pi|infinity|inf|oo|theta)(?![A-Za-z])", re.IGNORECASE)
_PLAIN_FUNCTION = re.compile(
    r"(?<![A-Za-z\\])((?:arc)?(?:sin|cos|tan)|cot|sec|csc|sinh|cosh|tanh|ln|log|exp)(?=[ (\d^_{\\]|[a-z](?![A-Za-z]))"
)
_MODULO = re.compile(r"\(\s*\\?[pb]?mod(?![A-Za-z])\s*([^()]*?)\s*\)|\\?[pb]?mod(?![A-Za-z])\s*(\{[^{}]*\}|\w+)")
_BRACKET = re.compile(r"[\[\]]")
_PLAIN_SIGNS = (("**", "^"), ("<=", r"\leq "), (">=", r"\geq "), ("!=", r"\neq "), ("+/-", r"\pm "), ("+-", r"\pm "))
_CALL = re.compile(r"\\?(?<![A-Za-z])sqrt\s*\(|\^\s*\(")
_SCIENTIFIC = re.compile(r"(?<![A-Za-z\d.\\])(\d+(?:\.\d+)?)[eE]([-+]?\d+)(?![\d.A-Za-z])")
# An exponent without braces that is surely whole: x^-1, and not x^-1/2 or e^-2x.
_NEGATIVE_EXPONENT = re.compile(r"\^ ?(- ?(?:\d+|[A-Za-z]))(?![\w.(/\\^!'])")
_SQUARE_ROOT_OF_TOKEN = re.compile(r"\\sqrt\s+(\d+|[A-Za-z](?![A-Za-z]))")

_SPACE = re.compile(r"(?<!\d)\s|\s(?!\d)")  # 7 12 is not 712

# A number, its sign aside: whole, decimal, with repeating decimals, times a power of ten, or a fraction of two of them.
_REPEATING = r"(?P<whole>\d*)\.(?P<fixed>\d*)\\(?:overline|bar|dot)\{?(?P<repeated>\d+)\}?"
_POWER_OF_TEN = r"(?P<mantissa>\d+(?:\.\d+)?|\.\d+)(?:\\times|\\cdot|\*)10\^\{?(?P<exponent>[-+]?\d{1,4})\}?"
_PLAIN_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_RATIO = rf"\\frac\{{(?P<above>[-+]?(?:{_PLAIN_NUMBER}))\}}\{{(?P<below>[-+]?(?:{_PLAIN_NUMBER}))\}}"
_SLASH = rf"(?P<over>{_PLAIN_NUMBER})/(?P<under>{_PLAIN_NUMBER})"
_MIXED = r"(?P<units>\d+) ?\\frac\{(?P<top>\d+)\}\{(?P<bottom>\d+)\}"
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?)(?:{_REPEATING}|{_POWER_OF_TEN}|{_RATIO}|{_SLASH}|{_MIXED}|(?P<plain>{_PLAIN_NUMBER}))"
)
# Words of up to three letters that are no names, as AB and ab are.
_SHORT_WORDS = frozenset(("yes", "no", "odd", "all", "one", "two", "six", "ten", "dne"))
_MIXED_IN_PLAIN_TEXT = re.compile(r"(?<![\d.,/^])(\d+) (\d+)/(\d+)(?![\d./])")


def tidy(answer: str, grouped: bool = True) -> str:
    r"""An answer in plain LaTeX, on one line, with single spaces, and with its meaning unchanged.

    Unicode signs and ``pi``, ``sqrt(2)``, ``2**10``, ``1.5e3``, ``1 1/2``, ``5 million`` become LaTeX; dollar signs
    that delimit mathematics, markdown's asterisks, ``\left``, ``\text``, spacing, grouping commas and a final stop go.

    Args:
        grouped: whether 100,200 is one number; otherwise it is two.
    """
    answer = _GROUPING_IN_LATEX.sub("", _delimited(answer.strip().strip("*`").strip()))
    answer = _SUPERSCRIPT_RUN.sub(lambda run: "^{" + run[0].translate(_SUPERSCRIPTS) + "}", answer)
    answer = _VULGAR_FRACTION.sub(_spelled_out, answer)
    answer = _GREEK.sub(_greek_name, re.sub(r"^~(?=\s*\d)", "≈", answer))
    for sign, latex in _UNICODE.items():
        answer = answer.replace(sign, latex)
    answer = unicodedata.normalize("NFKC", answer).replace("\\%", "%").replace("\\$", "$").replace("\\_", "_")
    answer = _ONE_AND_A_COMMA.sub(r"\1", re.sub(r"^=\s*", "", answer.removesuffix("."))).rstrip()
    answer = _SAID_TO_BE.sub("", WRAPPERS.sub(r" \1 ", WRAPPERS.sub(r" \1 ", answer)))
    if grouped:
        answer = _GROUPING.sub(lambda number: re.sub(r"\D", "", number[1]), answer)
    answer = _FRACTION.sub(r"\\\1", _SPACING.sub(" ", answer))
    for old, latex in _OLD_TEX:
        answer = old.sub(latex, answer)
    answer = _SYNONYM.sub(lambda found: _SYNONYMS[found[1]], answer)
    answer = _braced_arguments(re.sub(r" ?\^ ?\{? ?('+) ?\}?", r"\1", answer))
    for plain, latex in _PLAIN_SIGNS:
        answer = answer.replace(plain, latex)
    answer = _PLAIN_WORD.sub(lambda word: _PLAIN_WORDS[word[1].lower()], answer)
    answer = _PLAIN_FUNCTION.sub(r"\\\1", answer)
    answer = _MODULO.sub(lambda found: f"\\pmod{{{(found[1] or found[2] or '').strip('{} ')}}}", answer)
    answer = _SCIENTIFIC.sub(r"\1 \\times 10^{\2}", answer)
    answer = _MIXED_IN_PLAIN_TEXT.sub(r"\1\\frac{\2}{\3}", _braced_calls(answer))
    answer = _NEGATIVE_EXPONENT.sub(r"^{\1}", answer)
    answer = _SQUARE_ROOT_OF_TOKEN.sub(r"\\sqrt{\1}", answer)
    answer = re.sub(r"\\mathbb\s+(\w)", r"\\mathbb{\1}", _usual_intervals(answer))
    return in_digits(re.sub(r"\s+", " ", re.sub(r"\\\{\s*\\\}", r"\\emptyset ", answer)).strip())


def squeezed(text: str) -> str:
    """What a tidy answer is compared by as a text: without spaces and needless braces, words without their case."""
    text = _SPACE.sub("", text)
    text = re.sub(r"\{(\w|\\[A-Za-z]+)\}", r"\1", text)
    text = re.sub(r"^\(([A-Za-z])\)$", r"\1", text)  # a choice
    return text.casefold() if text.isalpha() and (len(text) > 3 or text.casefold() in _SHORT_WORDS) else text


def _usual_intervals(text: str) -> str:
    """``]3,8[`` as ``(3,8)``: where the first bracket closes or the last one opens, they are of an interval."""
    brackets = _BRACKET.findall(text)
    if len(brackets) % 2 or not brackets or (brackets[0], brackets[-1]) == ("[", "]") or "(" in text:
        return text
    usual = iter([{0: {"]": "("}, 1: {"[": ")"}}[place % 2].get(one, one) for place, one in enumerate(brackets)])
    return _BRACKET.sub(lambda _: next(usual), text)


def exact(answer: str) -> Fraction | None:
    r"""The number that a tidy answer is, as an exact rational; None if it is not one number.

    ``1.5e3``, ``\frac{3}{4}``, ``3/4``, ``3\frac{1}{2}``, ``0.\overline{3}``, ``.5``, ``2 \times 10^{-3}``, ``(073)``.
    """
    text = _SPACE.sub("", answer)
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
        if not re.fullmatch(rf"[-+]?(?:{_PLAIN_NUMBER})", text):  # as in a contest's answer sheet, and nothing else
            return None
    found = _NUMBER.fullmatch(text)
    if not found:
        return None
    part = found.groupdict()
    try:
        if part["plain"] is not None:
            value = Fraction(part["plain"].rstrip("."))
        elif part["repeated"] is not None:
            scale = 10 ** len(part["fixed"])
            value = Fraction(int((part["whole"] or "0") + part["fixed"]), scale)
            value += Fraction(int(part["repeated"]), scale * (10 ** len(part["repeated"]) - 1))
        elif part["mantissa"] is not None:
            value = Fraction(part["mantissa"]) * Fraction(10) ** int(part["exponent"])
        elif part["above"] is not None:
            value = Fraction(part["above"].rstrip(".")) / Fraction(part["below"].rstrip("."))
        elif part["over"] is not None:
            value = Fraction(part["over"].rstrip(".")) / Fraction(part["under"].rstrip("."))
        else:
            value = int(part["units"]) + Fraction(int(part["top"]), int(part["bottom"]))
    except (ZeroDivisionError, ValueError):  # a numeral of more digits than Python converts is no number that we read
        return None
    return -value if part["sign"] == "-" else value


def balanced(text: str) -> str | None:
    """The content of the braces that ``text`` starts with; None where they are never closed: an answer cut in half."""
    return _between(text, "{", "}")


def _between(text: str, opening: str, closing: str) -> str | None:
    depth = 0
    for position, character in enumerate(text):
        depth += (character == opening) - (character == closing)
        if depth == 0:
            return text[1:position]
    return None


def _delimited(answer: str) -> str:
    """Without delimiters of mathematics: those around the whole of it, else those around pieces ("$1$ and $2$")."""
    for opening, closing in (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")):
        inner = answer[len(opening) : len(answer) - len(closing)]
        whole = answer.removesuffix(".").rstrip() if answer.rstrip().endswith(f"{closing}.") else answer
        inner = whole[len(opening) : len(whole) - len(closing)]
        one = inner.strip() and not re.search(r"\$|\\[(\[]", inner)
        if one and whole.startswith(opening) and whole.endswith(closing):
            return inner.strip()
    return _DELIMITED_PIECE.sub(lambda found: f" {found[1] or found[2]} ", answer)


def _greek_name(found: re.Match[str]) -> str:
    name = unicodedata.name(found[0]).split()[-1].replace("LAMDA", "LAMBDA")
    return rf"\{name.title() if found[0].isupper() else name.lower()} "


def _spelled_out(found: re.Match[str]) -> str:
    """½ as a fraction, 2½ as a mixed number."""
    above, below = unicodedata.normalize("NFKC", found[2]).split("⁄")
    return f"{found[1]}\\frac{{{above}}}{{{below}}}"


def _braced_arguments(text: str) -> str:
    r"""``\frac12``, ``\frac{\sqrt2}3``, ``\sqrt2`` with each argument in braces; in "\sqrt 12" people mean 12."""
    start = 0
    while found := _TAKES_ARGUMENTS.search(text, start):
        end, arguments = found.end(), []
        for _ in range(1 if found[1] == "sqrt" else 2):
            rest = text[end:].lstrip()
            if rest.startswith("{") and (inner := balanced(rest)) is not None:
                end, argument = len(text) - len(rest) + len(inner) + 2, inner
            elif (one := _ARGUMENT.match(text, end)) and not (found[1] == "sqrt" and text[end].isspace()):
                end, argument = one.end(), one[1]
            else:
                break
            arguments.append(f"{{{argument}}}")
        else:
            text = f"{text[: found.end()]}{''.join(arguments)}{text[end:]}"
        start = found.end()
    return text


def _braced_calls(text: str) -> str:
    r"""``sqrt(…)`` as ``\sqrt{…}`` and ``^(…)`` as ``^{…}``, whatever parentheses are inside."""
    start = 0
    while found := _CALL.search(text, start):
        opening = found.end() - 1
        inner = _between(text[opening:], "(", ")")
        name = "^" if found[0].startswith("^") else "\\sqrt"
        if inner is None:
            start = found.end()
            continue
        text = f"{text[: found.start()]}{name}{{{inner}}}{text[opening + len(inner) + 2 :]}"
        start = found.start() + len(name) + 1
    return text
