r"""Whether two answers are the same mathematics, exactly: taken apart by ``structure``, then compared piece by piece.

``python -m sgrpo_verl.answers.mathematics BYTES`` answers a line of JSON ``[answer, truth]`` with ``equal`` or
``different``, within so much address space; see ``checker``.

Pieces are equal as normalized texts, or as expressions that were read whole (``expressions``). Numbers are rationals or
exact expressions, and two constants are equal if they agree in 50 digits relative to their size. (math-verify's own
comparison rounds: 0.333333 is 1/3 to it, and 1/2^98 is 1/2^99.)
"""

import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import sympy
from sympy import MatrixBase, Symbol

from sgrpo_verl.answers.expressions import Unread, expression
from sgrpo_verl.answers.notation import exact, squeezed
from sgrpo_verl.answers.regions import region, same_region
from sgrpo_verl.answers.structure import Shape, read
from sgrpo_verl.answers.unfinished import is_unfinished
from sgrpo_verl.answers.units import without_unit

DIGITS = 60
LONGEST_LIST = 8  # elements whose order may differ where each pair of them has to be compared
# A series with dots, a ratio or a time, another base, a date.
_COMPARED_AS_TEXT = re.compile(r"\\[lcd]?dots|\.\.\.|:|\d_|\d{4}-\d\d?-\d|\d/\d\d?/\d{4}")
_MATHEMATICS = re.compile(r"[\d\\+\-*/^=<>|(){}\[\]!]")
_LETTER = r"(?:\\(?!frac|sqrt|left)[A-Za-z]+ ?|[A-Za-z])(?:_ ?(?:\w|\{[^{}]*\}))?'*"
_NAME = re.compile(
    rf"{_LETTER}|{_LETTER}\((?:{_LETTER}|\d+)(?:, ?(?:{_LETTER}|\d+))*\)|[fghFGHP]'*\([^=<>]*\)|\\angle ?[A-Z]{{1,3}}"
    r"|(?:P|E|\\mathbb\{[PE]\}|[vV]ar) ?(?:\([^()]*\)|\[[^\[\]]*\])|\\frac\{d ?[A-Za-z]?\}\{d ?[A-Za-z]\}"
    r"|[A-Z][a-z]+|[A-Z]{2,3}|[a-z]{5,}"
)
_UNNAMED = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc|ln|log|exp|infty|pi)(?![A-Za-z])|[ei]")


def same(answer: str, truth: str) -> bool:
    """Whether two tidy answers (``notation.tidy``) are equal; what cannot be read is equal to its own text only."""
    return _equal(read(truth), read(answer))


def _equal(gold: Shape, ours: Shape) -> bool:
    if squeezed(gold.text) == squeezed(ours.text):
        return True
    if _several_names(gold) or _several_names(ours):
        gold, ours = _one_by_one(gold), _one_by_one(ours)
    gold, ours = _without_name(gold, ours)
    kinds = {gold.kind, ours.kind}
    if _several_names(gold) != _several_names(ours):
        return False
    if kinds == {"text"}:
        return _same_text(gold.text, ours.text)
    if kinds <= {"list", "set"}:
        same_elements = _joined_alike(gold, ours) and _same_elements(gold.parts, ours.parts)
        return same_elements or ("set" not in kinds and _same_region(gold, ours))
    if kinds <= {"list", "brackets"} and _points(gold, ours):
        return _all_equal(gold.parts, ours.parts)
    if kinds == {"union"} and _same_elements(gold.parts, ours.parts):
        return True
    if kinds == {"relation"} and _same_relation(gold, ours):
        return True
    return kinds != {"brackets"} and _same_region(gold, ours)


def _without_name(gold: Shape, ours: Shape) -> tuple[Shape, Shape]:
    """``x = 5`` beside ``5`` is 5, and two equations for the same name are compared by what they say of it."""
    named, ours_named = _assignment(gold), _assignment(ours)
    if named and ours_named:
        same_name = squeezed(named[0]) == squeezed(ours_named[0])
        return (named[1], ours_named[1]) if same_name else (gold, ours)
    if named and ours.kind != "relation":
        return named[1], ours
    if ours_named and gold.kind != "relation":
        return gold, ours_named[1]
    if gold.kind != "relation" and _is_working(ours):
        return gold, ours.parts[-1]
    return gold, ours


def _assignment(shape: Shape) -> tuple[str, Shape] | None:
    r"""The name and the value of ``x = 5``, ``f(x) = 2x``, ``(x, y) = (1, 2)`` or ``x \in A``; None if it is none."""
    if shape.kind != "relation" or (set(shape.marks) != {"="} and shape.marks != ("\\in",)):
        return None
    first, *others = shape.parts
    if len(others) == 1 and shape.marks == ("=",) and _is_name(others[0]) and not _is_name(first):
        return others[0].text, first
    if any(_is_name(side) for side in others[:-1]):  # x = y = 5 says more than x = 5
        return None
    names = [part.text.strip() for part in first.parts] if first.kind == "brackets" else []
    named = _is_name(first) or (names and all(map(_is_name, first.parts)) and names == sorted(names))
    value = others[-1].text
    itself = re.search(rf"(?<![\\A-Za-z]){re.escape(first.text.strip())}(?![A-Za-z])", value)
    # a = b says something of both, and y = 2y of y.
    return (
        (first.text, others[-1]) if named and not itself and (")" in first.text or not _is_name(others[-1])) else None
    )


def _several_names(shape: Shape) -> bool:
    """``x = 1, y = 2``: no list of values, and no set. ``x_1 = 1, x_2 = 2`` is one, of a single unknown."""
    named = filter(None, (_assignment(part) for part in shape.parts if "=" in part.marks))
    return shape.kind == "list" and len({squeezed(name).split("_")[0] for name, _ in named}) > 1


def _one_by_one(shape: Shape) -> Shape:
    """``(x, y) = (1, 2)`` as ``x = 1, y = 2``."""
    if shape.kind != "relation" or shape.marks != ("=",) or {part.kind for part in shape.parts} != {"brackets"}:
        return shape
    names, values = (part.parts for part in shape.parts)
    if len(names) != len(values) or not all(map(_is_name, names)):
        return shape
    parts = [Shape(f"{a.text}={b.text}", "relation", (a, b), ("=",)) for a, b in zip(names, values, strict=True)]
    return Shape(shape.text, "list", tuple(parts), (",",) * (len(parts) - 1))


def _is_name(shape: Shape) -> bool:
    text = shape.text.strip()
    return bool(_NAME.fullmatch(text)) and not _UNNAMED.match(text)


def _is_working(shape: Shape) -> bool:
    """A last step: 2 + 3 = 5, of numbers alone and true."""
    if shape.kind != "relation" or set(shape.marks) != {"="} or any(side.kind != "text" for side in shape.parts):
        return False
    try:
        values = [expression(without_unit(side.text)[0]) for side in shape.parts]
    except Unread:
        return False
    return not any(value.free_symbols for value in values) and all(_same_value(values[-1], one) for one in values)


def _same_text(gold: str, ours: str) -> bool:
    """Whether two pieces without structure are equal: as texts, as numbers, or as expressions that are read whole."""
    (ours, our_unit), (gold, its_unit) = without_unit(ours), without_unit(gold)
    if our_unit and its_unit and our_unit != its_unit:
        return False
    if squeezed(ours) == squeezed(gold):
        return True
    if is_unfinished(ours, gold):
        return False
    numbers = exact(ours), exact(gold)
    if None not in numbers:
        return numbers[0] == numbers[1]
    for text in (ours, gold):
        if _COMPARED_AS_TEXT.search(text) or not _MATHEMATICS.search(text):
            return False
    try:
        return _same_value(expression(gold), expression(ours))
    except Unread:
        return False


def _same_value(gold: Any, ours: Any) -> bool:
    gold, ours = gold.doit(), ours.doit()
    if isinstance(gold, MatrixBase) or isinstance(ours, MatrixBase):
        shapes = [value.shape for value in (gold, ours) if isinstance(value, MatrixBase)]
        same_shape = len(shapes) == 2 and shapes[0] == shapes[1]
        return same_shape and all(_same_value(*pair) for pair in zip(gold.flat(), ours.flat(), strict=True))
    gold, ours = _plain(gold), _plain(ours)
    if gold == ours:
        return True
    if (gold.is_Rational and ours.is_Rational) or gold.is_finite is False or ours.is_finite is False:
        return False
    if gold.free_symbols or ours.free_symbols:
        return gold.free_symbols == ours.free_symbols and bool(sympy.simplify(gold - ours) == 0)
    difference = abs(sympy.N(gold - ours, DIGITS))
    return bool(difference < abs(sympy.N(gold, DIGITS)) * sympy.Rational(10) ** (10 - DIGITS))


def _plain(value: sympy.Expr) -> sympy.Expr:
    """Evaluated, with i for the imaginary unit."""
    return value.doit().xreplace({Symbol("i"): sympy.I}).doit()


def _points(gold: Shape, ours: Shape) -> bool:
    """Whether two pieces can be the same point or interval: (2, 3) and "2, 3", but neither [2, 3] nor [2, 3)."""
    both = (gold, ours)
    marks = {
        shape.marks if shape.kind == "brackets" and len(shape.parts) == 2 else ("(", ")") for shape in (gold, ours)
    }
    plain = all(mark in (",", ";") for shape in both if shape.kind == "list" for mark in shape.marks)
    return plain and len(marks) == 1


def _joined_alike(gold: Shape, ours: Shape) -> bool:
    """Of numbers, "and" lists the same as "or"; of conditions it does not."""
    words = [{*shape.marks} & {"and", "or"} for shape in (gold, ours) if shape.kind == "list"]
    if len(words) < 2 or words[0] == words[1] or not all(words):
        return True
    return all(re.search(r"\d", part.text) and {*part.marks} <= {"="} for part in gold.parts if part.kind != "brackets")


def _same_relation(gold: Shape, ours: Shape) -> bool:
    """Whether two relations have the same sides, perhaps turned round; of two equations, whether one is a multiple."""
    gold_signs, gold_sides = _turned(gold)
    signs, sides = _turned(ours)
    if gold_signs != signs:
        return False
    if _all_equal(gold_sides, sides):
        return True
    if set(signs) > {"="} or set(signs) > {"\\neq"} or len(signs) > 1 or signs[0] == "\\in":
        return False
    if signs[0] in ("=", "\\neq") and _all_equal(gold_sides, sides[::-1]):
        return True
    return not _is_solved(gold_sides) and _proportional(gold_sides, sides, signs[0])


def _is_solved(sides: Sequence[Shape]) -> bool:
    """``x = 5`` and ``x > 5``: what has still to be solved, such as 3x + 7 = 22, is not the same answer."""
    for name, value in (sides, sides[::-1]):
        if _is_name(name) and value.kind == "text":
            try:
                return not expression(value.text).free_symbols
            except Unread:
                return False
    return False


def _turned(shape: Shape) -> tuple[tuple[str, ...], tuple[Shape, ...]]:
    r"""Signs and sides, with > and \geq as < and \leq."""
    if set(shape.marks) <= {">", "\\geq"}:
        return tuple({">": "<", "\\geq": "\\leq"}[sign] for sign in shape.marks[::-1]), shape.parts[::-1]
    return shape.marks, shape.parts


def _proportional(gold: Sequence[Shape], ours: Sequence[Shape], sign: str) -> bool:
    r"""``x + y = 5`` and ``5 - x = y``: one is a multiple of the other, of an inequality a positive one."""
    if any(side.kind != "text" for side in (*gold, *ours)):
        return False
    try:
        differences = [_plain(expression(left.text) - expression(right.text)) for left, right in (gold, ours)]
    except (Unread, TypeError):
        return False
    if any(not difference.free_symbols for difference in differences):
        return False
    ratio = sympy.simplify(differences[0] / differences[1])
    return bool(ratio.is_number and ratio.is_finite and ratio != 0 and (sign in ("=", "\\neq") or ratio.is_positive))


def _same_region(gold: Shape, ours: Shape) -> bool:
    """An inequality for one name beside the interval that it describes, and unions of such."""
    try:
        return same_region(region(gold), region(ours), _same_value)
    except Unread:
        return False


def _all_equal(gold: Sequence[Shape], ours: Sequence[Shape]) -> bool:
    return len(gold) == len(ours) and all(_equal(one, other) for one, other in zip(gold, ours, strict=True))


def _same_elements(gold: Sequence[Shape], ours: Sequence[Shape]) -> bool:
    """Whether each element has an equal of its own, in whatever order; of a long list, only in the same or sorted."""
    if len(gold) != len(ours):
        return False
    if len(gold) > LONGEST_LIST:
        if _all_equal(gold, ours):
            return True
        ours = sorted(ours, key=lambda one: squeezed(one.text))
        return _all_equal(sorted(gold, key=lambda one: squeezed(one.text)), ours)
    left = list(ours)
    for one in gold:
        found = next((other for other in left if _equal(one, other)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def main() -> None:
    """Answer questions until there are no more."""
    import logging
    import resource

    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    logging.getLogger("latex2sympy2_extended").setLevel(logging.CRITICAL)
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no reply
    same("\\frac{1}{2}x", "0.5x")  # all that is loaded late is loaded before a question's time runs
    print("ready", file=replies, flush=True)
    for line in sys.stdin:
        try:
            reply = "equal" if same(*json.loads(line)) else "different"
        except MemoryError:
            os._exit(1)  # a process whose memory is full is of no more use
        except Exception:  # an expression that sympy cannot compare, whichever of its errors it is
            reply = "different"
        print(reply, file=replies, flush=True)


if __name__ == "__main__":
    main()
