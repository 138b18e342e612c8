r"""Whether two answers are the same mathematics, exactly: math-verify reads them, sympy compares them.

``python -m sgrpo_verl.answers.mathematics BYTES`` answers a line of JSON ``[answer, truth]`` with ``equal`` or
``different``, within so much address space; see ``checker``.

math-verify's own comparison rounds: 0.333333 is 1/3 to it, and 1/2^98 is 1/2^99. Here numbers are rationals or exact
expressions, and two constants are equal if they agree in 50 digits relative to their size. What has a structure is
compared element by element; relations are left to math-verify.
"""

import json
import os
import re
import sys
from itertools import permutations
from typing import Any

import sympy
from latex2sympy2_extended.logic import And
from latex2sympy2_extended.sets import FiniteSet as UnsortedSet
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify
from sympy import Basic, Eq, FiniteSet, Interval, MatrixBase, Symbol, Tuple
from sympy.core.relational import Relational

DIGITS = 60
LONGEST_SET = 8  # elements tried in every order, where a set's own order does not help
_EXTRACTION = (LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig())
_DECIMAL = re.compile(r"(?<![\w.])(\d*)\.(\d+)(?![\d.])")
_PARENTHESES = re.compile(r"\((.*)\)", re.DOTALL)


def same(answer: str, truth: str) -> bool:
    """Whether two tidy answers (``notation.tidy``) are equal; what cannot be read is equal to nothing."""
    if _braces_for_parentheses(answer, truth):
        return False
    ours, gold = _read(answer), _read(truth)
    if ours is None or gold is None:
        return False
    if not isinstance(gold, Relational | And) and not isinstance(ours, Relational | And):
        gold, ours = _as_ordered(gold, truth, answer), _as_ordered(ours, answer, truth)
    return _equal(gold, ours)


def _read(answer: str) -> Any:
    """What math-verify reads, decimals as the rationals that they are; None if it reads nothing."""
    decimals = _DECIMAL.sub(lambda found: f"\\frac{{{int(found[1] + found[2])}}}{{1{'0' * len(found[2])}}}", answer)
    latex = re.sub(r"(?<=\d)i(?![A-Za-z])", " i", decimals)
    found = parse(f"\\boxed{{{latex}}}", extraction_config=_EXTRACTION, parsing_timeout=None)
    return next((one for one in found if isinstance(one, Basic | MatrixBase)), None)


def _braces_for_parentheses(answer: str, truth: str) -> bool:
    """A set where a point or an interval is asked for, or the other way round: math-verify takes (2, 3) for {2, 3}."""
    shapes = {text.lstrip()[:2] for text in (answer, truth)}
    opened = {"{" if shape.startswith("\\{") else shape[:1] for shape in shapes}
    return "{" in opened and bool(opened & {"(", "["})


def _as_ordered(value: Any, text: str, other: str) -> Any:
    """A bare list beside a point keeps its order; so does a point, which math-verify reads as an open interval."""
    point = _PARENTHESES.fullmatch(text.strip())
    if isinstance(value, Interval) and point and value.left_open and value.right_open:
        return Tuple(value.start, value.end)
    if isinstance(value, UnsortedSet) and not text.lstrip().startswith("\\{") and _PARENTHESES.fullmatch(other.strip()):
        return Tuple(*value._unsorted_args)
    return value


def _equal(gold: Any, ours: Any) -> bool:
    gold, ours = _without_name(gold, ours)
    if isinstance(gold, MatrixBase) or isinstance(ours, MatrixBase):
        shapes = [value.shape for value in (gold, ours) if isinstance(value, MatrixBase)]
        return len(shapes) == 2 and shapes[0] == shapes[1] and _all_equal(gold.flat(), ours.flat())
    if isinstance(gold, Tuple) and isinstance(ours, Tuple):
        return len(gold) == len(ours) and _all_equal(gold.args, ours.args)
    if isinstance(gold, FiniteSet) and isinstance(ours, FiniteSet):
        return _same_elements(list(gold.args), list(ours.args))
    if isinstance(gold, Interval) and isinstance(ours, Interval):
        ends = (gold.left_open, gold.right_open) == (ours.left_open, ours.right_open)
        return ends and _all_equal((gold.start, gold.end), (ours.start, ours.end))
    if _is_expression(gold) and _is_expression(ours):
        return _same_value(gold, ours)
    return bool(verify(gold, ours, timeout_seconds=None, allow_set_relation_comp=True))


def _without_name(gold: Any, ours: Any) -> tuple[Any, Any]:
    """``x = 5`` beside ``5`` is 5, and two equations for the same name are compared by what they say of it."""
    if isinstance(gold, Eq) and isinstance(ours, Eq):
        return (gold.rhs, ours.rhs) if _name(gold) and _name(gold) == _name(ours) else (gold, ours)
    if isinstance(gold, Eq) and not isinstance(ours, Relational) and _name(gold):
        return gold.rhs, ours
    if isinstance(ours, Eq) and not isinstance(gold, Relational):
        return gold, ours.rhs  # a last step, "2 + 3 = 5"
    return gold, ours


def _name(equation: Eq) -> str | None:
    named = isinstance(equation.lhs, Symbol) or getattr(equation.lhs, "is_Function", False)
    return str(equation.lhs) if named else None


def _is_expression(value: Any) -> bool:
    return isinstance(value, sympy.Expr)


def _same_value(gold: sympy.Expr, ours: sympy.Expr) -> bool:
    gold, ours = _plain(gold), _plain(ours)
    if gold == ours:
        return True
    if (gold.is_Rational and ours.is_Rational) or gold.is_finite is False or ours.is_finite is False:
        return False
    if gold.free_symbols or ours.free_symbols:
        return bool(sympy.simplify(gold - ours) == 0)
    difference = abs(sympy.N(gold - ours, DIGITS))
    return bool(difference < abs(sympy.N(gold, DIGITS)) * sympy.Rational(10) ** (10 - DIGITS))


def _plain(value: sympy.Expr) -> sympy.Expr:
    """Evaluated, with symbols that are equal if their names are, and i for the imaginary unit."""
    names = {symbol: sympy.I if symbol.name == "i" else Symbol(symbol.name) for symbol in value.free_symbols}
    return value.doit().xreplace(names).doit()


def _all_equal(gold: Any, ours: Any) -> bool:
    return all(_equal(one, other) for one, other in zip(gold, ours, strict=True))


def _same_elements(gold: list[Any], ours: list[Any]) -> bool:
    """Whether each element has its equal; in a set's own order, or else in any."""
    if len(gold) != len(ours):
        return False
    if len(gold) > LONGEST_SET:
        return _all_equal(gold, ours)
    table = [[_equal(one, other) for other in ours] for one in gold]
    return any(all(table[row][column] for row, column in enumerate(order)) for order in permutations(range(len(ours))))


def main() -> None:
    """Answer questions until there are no more."""
    import logging
    import resource

    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    logging.getLogger("latex2sympy2_extended").setLevel(logging.CRITICAL)
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no reply
    same("\\frac{1}{2}", "0.5")  # all that is loaded late is loaded before a question's time runs
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
