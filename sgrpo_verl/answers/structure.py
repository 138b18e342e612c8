r"""The outer structure of a tidy answer: lists, points, sets, intervals, unions, relations; what is inside is text.

``(1,2)`` are brackets around two texts, ``x=3 or x>8`` is a list of two relations, ``2k, k\in A`` a list of a text and
a relation. What has no such structure, or more of it than is known here, is one text.
"""

import re
from dataclasses import dataclass

_TOKEN = re.compile(r"\\\{|\\\}|\\[A-Za-z]+|\\.|.", re.DOTALL)
_OPENING = {"(", "[", "{", "\\{", "\\langle", "\\begin", "\\lfloor", "\\lceil"}
_CLOSING = {")", "]", "}", "\\}", "\\rangle", "\\end", "\\rfloor", "\\rceil"}
_RELATIONS = {"=", "<", ">", "\\leq", "\\geq", "\\neq", "\\in"}
_PAIRS = {("(", ")"), ("[", "]"), ("[", ")"), ("(", "]"), ("\\{", "\\}"), ("\\langle", "\\rangle")}
_JOINED = re.compile(r"(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])")


@dataclass(frozen=True)
class Shape:
    """A piece of an answer, as text and, unless it is "text", taken apart.

    Attributes:
        kind: "text", "list", "set", "brackets", "union" or "relation".
        parts: the elements, or a relation's sides.
        marks: a list's separators, the brackets, or a relation's signs.
    """

    text: str
    kind: str = "text"
    parts: tuple["Shape", ...] = ()
    marks: tuple[str, ...] = ()


def read(text: str) -> Shape:
    """The structure of a tidy answer."""
    text = re.sub(r"^\+ ?(?![+-])", "", text.strip())
    if text.startswith("{") and _closes_at_the_end(text):  # LaTeX's own braces, which are not seen
        return read(text[1:-1])
    elements, separators = _split(text, {",", ";", "and", "or"})
    elements = [one for element in elements for one in _both_signs(element)]
    if len(elements) > 1:
        return _composed(text, "list", elements, separators or ["or"])
    sides, signs = _split(text, _RELATIONS)
    if len(sides) > 1:
        return _composed(text, "relation", sides, signs)
    pieces, cups = _split(text, {"\\cup"})
    if len(pieces) > 1:
        return _composed(text, "union", pieces, cups)
    return _bracketed(text)


def _composed(text: str, kind: str, pieces: list[str], marks: list[str]) -> Shape:
    """What is empty before, behind or between two marks makes the whole a text."""
    if not all(piece.strip() for piece in pieces):
        return Shape(text)
    return Shape(text, kind, tuple(read(piece) for piece in pieces), tuple(marks))


def _bracketed(text: str) -> Shape:
    tokens = _TOKEN.findall(text)
    if len(tokens) < 2 or (tokens[0], tokens[-1]) not in _PAIRS or not _closes_at_the_end(text):
        return Shape(text)
    inner = read(text[len(tokens[0]) : -len(tokens[-1])])
    if tokens[0] == "\\{":
        return Shape(text, "set", inner.parts if inner.kind == "list" else (inner,))
    if inner.kind == "list" and "or" not in inner.marks and "and" not in inner.marks:
        marks = ("(", ")") if tokens[0] == "\\langle" else (tokens[0], tokens[-1])
        return Shape(text, "brackets", inner.parts, marks)
    return inner if (tokens[0], tokens[-1]) == ("(", ")") and inner.text else Shape(text)


def _both_signs(element: str) -> list[str]:
    r"""``1 \pm 2`` as ``1 + 2`` and ``1 - 2``; a set has both in it, so its elements are expanded, and not the set."""
    if "\\{" in element or len(re.findall(r"\\(?:pm|mp)(?![A-Za-z])", element)) != 1:
        return [element]
    return [re.sub(r"\\(?:pm|mp)(?![A-Za-z])", sign, element) for sign in "+-"]


def _split(text: str, marks: set[str]) -> tuple[list[str], list[str]]:
    """A text cut at the marks that are in no bracket, and those marks; a bracket left open cuts nothing."""
    pieces, found, depth, start, position = [], [], 0, 0, 0
    words = {match.start(): match[0] for match in _JOINED.finditer(text)}
    while position < len(text):
        token = words.get(position) or _TOKEN.match(text, position)[0]  # type: ignore[index]  # one character at least
        depth += (token in _OPENING) - (token in _CLOSING)
        if depth < 0:
            return [text], []
        if depth == 0 and token in marks:
            pieces.append(text[start:position])
            found.append(token)
            start = position + len(token)
        position += len(token)
    if depth:
        return [text], []
    return _without_doubled([*pieces, text[start:]], found)


def _without_doubled(pieces: list[str], marks: list[str]) -> tuple[list[str], list[str]]:
    """Of ", and" the word counts."""
    kept, signs = pieces[:1], list[str]()
    for piece, mark in zip(pieces[1:], marks, strict=True):
        if signs and signs[-1] == "," and mark in ("and", "or") and not kept[-1].strip():
            kept[-1], signs[-1] = piece, mark
        else:
            kept.append(piece)
            signs.append(mark)
    return kept, signs


def _closes_at_the_end(text: str) -> bool:
    """Whether the bracket that a text opens with is closed by its last one."""
    depth, tokens = 0, _TOKEN.findall(text)
    for number, token in enumerate(tokens, start=1):
        depth += (token in _OPENING) - (token in _CLOSING)
        if depth <= 0:
            return number == len(tokens)
    return False
