r"""Whether two answers are the same, as a strict human marker would say; where two readings are fair, the stricter one.

- Numbers are exact: 0.33 and 0.333333 are not 1/3, and a decimal is not the root that it rounds.
- A unit counts only where both have one: 12 cm is 12, and not 12 m. Nothing is converted: 1 m is not 100 cm.
- A percent sign is a unit: 28 % is 28, and not 0.28. Degrees and currencies likewise.
- 3:4 is text, a ratio or a time: it is 3:4 alone, not 3/4 and not 6:8. Digits in another base (101_2) likewise.
- A series with dots is text as well: no two of them are compared term by term.
- An inequality for one name is the interval that it describes: x > 2 is (2, \infty).
- x = 5 is 5, but not y = 5. (2, 3) is "2, 3", but not {2, 3} and not "3, 2"; a bare list has no order of its own.
- What is not read whole is not read: it is the same as its own text only. So are words (without regard to case),
  congruences, quantifiers, cases and the names of groups.
- Upper and lower case letters are different names, and so are f and f'.
- Where a number is asked for, a calculation that is left to be done is none: neither 2 + 3 nor 10/2 is 5.
- 1/2x is neither half of x nor 1 over 2x, since it may be either; 1/2 x is half of x.
- A number word is a number and no unit: 5 million is 5000000, and a dozen of 3 is 36. So is no word that hedges.
"""

from sgrpo_verl.answers.checker import check
from sgrpo_verl.answers.notation import exact, squeezed, tidy
from sgrpo_verl.answers.unfinished import is_unfinished
from sgrpo_verl.answers.units import without_unit

LONGEST_ANSWER = 2_000  # characters; a longer final answer is wrong, and parsing it only costs time


def equal(answer: str, truth: str) -> bool:
    """Whether an answer says what the truth says.

    Args:
        answer: a final answer as ``reading.final_answer`` finds it, in any notation.
        truth: the ground truth, likewise.

    Raises:
        checker.CheckerError: mathematics has to be compared, and no process for it can be started.
    """
    if len(answer) > LONGEST_ANSWER:
        return False
    ours, gold = tidy(answer), tidy(truth)
    if not ours:
        return False
    if _same(ours, gold):
        return True
    # 100,200 is one number, but where a list is asked for, two; and the same characters are the same answer.
    if "," in gold:
        return (apart := tidy(answer, grouped=False)) != ours and _same(apart, gold)
    return "," in ours and squeezed(tidy(truth, grouped=False)) == squeezed(ours)


def _same(ours: str, gold: str) -> bool:
    if squeezed(ours) == squeezed(gold):
        return True
    (value, unit), (gold_value, gold_unit) = without_unit(ours), without_unit(gold)
    numbers = exact(value), exact(gold_value)
    if None not in numbers:  # most answers: no process is needed
        same_unit = not unit or not gold_unit or unit == gold_unit
        return numbers[0] == numbers[1] and same_unit and not is_unfinished(value, gold_value)
    return check(ours, gold)
