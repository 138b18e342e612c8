r"""Inequalities for one name, intervals and their unions as sets of real numbers: x > 2 is (2, \infty)."""

from collections.abc import Callable
from typing import Any

import sympy
from sympy import FiniteSet, Interval, Set, Union, oo

from sgrpo_verl.answers.expressions import Unread, expression
from sgrpo_verl.answers.structure import Shape
from sgrpo_verl.answers.unfinished import is_unfinished

_ABOVE = {">": "<", "\\geq": "\\leq"}


def region(shape: Shape) -> tuple[str | None, Set]:
    r"""The name that a piece is about, None if it has none, and the set: of ``x<3 or x>8``, x and the union.

    Raises:
        Unread: it describes no such set.
    """
    if shape.kind == "relation":
        return _of_relation(shape)
    if shape.kind in ("union", "list") and len({*shape.marks}) == 1 and shape.marks[0] in ("\\cup", "or", "and"):
        found = [region(part) for part in shape.parts]
        names = {name for name, _ in found}
        if len(names) == 1:
            joined = sympy.Intersection if shape.marks[0] == "and" else Union
            return names.pop(), joined(*(one for _, one in found))
    if shape.kind == "brackets" and len(shape.parts) == 2 and shape.marks[0] in "([":
        return None, _interval(_value(shape.parts[0]), _value(shape.parts[1]), *_open(shape.marks))
    if shape.kind == "set":
        return None, FiniteSet(*map(_value, shape.parts))
    if shape.text.strip() == "\\mathbb{R}":
        return None, Interval(-oo, oo)
    raise Unread(shape.text)


def same_region(gold: tuple[str | None, Set], ours: tuple[str | None, Set], same: Callable[[Any, Any], bool]) -> bool:
    """Whether two regions are about the same name, where both have one, and have the same pieces."""
    if None not in (gold[0], ours[0]) and gold[0] != ours[0]:
        return False
    pieces = [_pieces(one) for _, one in (gold, ours)]
    return len(pieces[0]) == len(pieces[1]) and all(
        _same_piece(one, other, same) for one, other in zip(*pieces, strict=True)
    )


def _of_relation(shape: Shape) -> tuple[str, Set]:
    """x < 3, 3 > x, 1 < x <= 2, x = 3; with the name on one side and numbers on the others."""
    signs, sides = shape.marks, shape.parts
    if set(signs) <= _ABOVE.keys():
        signs, sides = tuple(_ABOVE[sign] for sign in signs[::-1]), sides[::-1]
    if signs == ("\\in",):
        return _name(sides[0]), region(sides[1])[1]
    if signs == ("=",):
        return _name(sides[0]), FiniteSet(_value(sides[1]))
    if signs == ("\\neq",):
        return _name(sides[0]), Interval(-oo, oo) - FiniteSet(_value(sides[1]))
    if not set(signs) <= {"<", "\\leq"} or len(sides) > 3:
        raise Unread(shape.text)
    if len(sides) == 3:
        opened = (signs[0] == "<", signs[1] == "<")
        return _name(sides[1]), _interval(_value(sides[0]), _value(sides[2]), *opened)
    try:
        return _name(sides[0]), _interval(-oo, _value(sides[1]), True, signs[0] == "<")
    except Unread:
        return _name(sides[1]), _interval(_value(sides[0]), oo, signs[0] == "<", True)


def _name(shape: Shape) -> str:
    if shape.kind != "text" or not getattr(found := expression(shape.text.strip()), "is_Symbol", False):
        raise Unread(shape.text)
    return str(found)


def _value(shape: Shape) -> Any:
    if shape.kind != "text" or (value := expression(shape.text.strip())).free_symbols:
        raise Unread(shape.text)
    value = value.doit()
    if value.is_Rational and is_unfinished(shape.text.strip(), str(value)):
        raise Unread(shape.text)
    return value


def _open(marks: tuple[str, ...]) -> tuple[bool, bool]:
    return marks[0] == "(", marks[1] == ")"


def _interval(start: Any, end: Any, left_open: bool, right_open: bool) -> Set:
    if not (start < end) == True:  # noqa: E712  # sympy's own truth values
        raise Unread(f"{start}, {end}")
    return Interval(start, end, left_open, right_open)


def _pieces(whole: Set) -> list[Set]:
    parts = whole.args if isinstance(whole, Union) else (whole,)
    if not all(isinstance(part, Interval | FiniteSet) for part in parts):
        raise Unread(str(whole))
    return sorted(parts, key=lambda part: (float(part.inf), str(type(part))))


def _same_piece(gold: Set, ours: Set, same: Callable[[Any, Any], bool]) -> bool:
    if isinstance(gold, Interval) and isinstance(ours, Interval):
        opened = (gold.left_open, gold.right_open) == (ours.left_open, ours.right_open)
        return opened and same(gold.start, ours.start) and same(gold.end, ours.end)
    if isinstance(gold, FiniteSet) and isinstance(ours, FiniteSet):
        pairs = zip(sorted(gold, key=float), sorted(ours, key=float), strict=False)
        return len(gold) == len(ours) and all(same(*pair) for pair in pairs)
    return False
