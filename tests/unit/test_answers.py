r"""What real models and real data send in, by kind; the right scores are those of a strict human marker."""

import json
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recipes.answers
from sgrpo_verl.answers.comparing import equal
from sgrpo_verl.answers.notation import exact, tidy
from sgrpo_verl.answers.reading import final_answer
from sgrpo_verl.correctness import compute_score

HARD = Path(recipes.answers.__file__).parent


def hard_pairs(name):
    """The pairs of the recipe's tables by kind: what a response says, the truth, and whether it is right."""
    kinds = {}
    for line in (HARD / f"{name}.jsonl").read_text().splitlines():
        pair = json.loads(line)
        kinds.setdefault(pair["kind"], []).append((pair["response"], pair["truth"], pair["right"]))
    return kinds


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param(pairs, id=f"{name}-{kind}")
        for name in ("hard_first", "hard_whole")
        for kind, pairs in hard_pairs(name).items()
    ],
)
def test_hard_pairs_of_each_kind(pairs):
    with ThreadPoolExecutor(2) as threads:
        scores = list(threads.map(lambda pair: compute_score("test", *pair[:2]), pairs))
    assert [pair for pair, score in zip(pairs, scores, strict=True) if score != pair[2]] == []


def test_spacing_before_a_letter_is_spacing():
    assert compute_score("test", "\\boxed{\\int_0^1 f(x)\\,dx}", "\\int_0^1 f(x) \\, dx") == 1.0
    assert tidy("2\\;x\\quad y") == "2 x y"


@pytest.mark.parametrize("truth", ["The answer is 5", "so \\boxed{5}", "2 + 3\n#### 5", "Answer: $5$", 5, 5.0, "5"])
def test_a_truth_that_states_an_answer(truth):
    assert compute_score("test", "\\boxed{5}", truth) == 1.0
    assert compute_score("test", "\\boxed{6}", truth) == 0.0


@pytest.mark.parametrize(
    "truths", [["2", "two"], ("2", "two"), np.array(["2", "two"], dtype=object), np.array(["two", "2"]), [3, 2], ["2"]]
)
def test_any_of_several_truths_is_right(truths):
    assert compute_score("test", "\\boxed{2}", truths) == 1.0
    assert compute_score("test", "\\boxed{4}", truths) == 0.0


@pytest.mark.parametrize(
    "truth",
    [
        *(None, True, "", "  ", {}, {"answer": 1}, [], np.array([]), [None], ["2", ""], [["2"]]),
        *(
            float("nan"),
            np.array([float("nan")]),
            "nan",
            "NaN",
            "['5']",
            "$",
            "$$",
            "\\text{}",
            "{}",
            ["5", "\\text{ }"],
        ),
        *("so \\boxed{}", "\\boxed{5", "-\\boxed{5}"),
    ],
)
def test_a_truth_that_cannot_be_one_is_an_error(truth):
    with pytest.raises(ValueError, match=r"data_source='aime': the ground truth .* cannot be one; it must be a text"):
        compute_score("aime", "\\boxed{2}", truth)


@pytest.mark.parametrize("truth", ["\\emptyset", "\\{\\}", "<", "+", "\\infty", "[x', y']", "-5", "0", 0])
def test_a_truth_of_signs_that_says_something_can_be_one(truth):
    assert compute_score("", f"\\boxed{{{truth}}}", truth) == 1.0


@pytest.mark.parametrize("choices", ["ABCD", list("ABCD"), tuple("ABCD"), np.array(list("ABCD")), list("abcd")])
def test_choices_as_users_have_them(choices):
    assert compute_score("", "\\boxed{B}", "B", {"choices": choices}) == 1.0
    assert compute_score("", "\\boxed{A}", "B", {"choices": choices}) == 0.0


@pytest.mark.parametrize("wrap", [list, np.array])
def test_choices_as_texts(wrap):
    choices = wrap(["3 m", "4 m", "5 m"])
    for truth in ("B", "(b)", "4 m"):
        for response, right in (("\\boxed{B}", 1), ("\\boxed{4\\text{ m}}", 1), ("\\boxed{C}", 0), ("\\boxed{4}", 0)):
            assert compute_score("", response, truth, {"choices": choices}) == right
    with pytest.raises(ValueError, match=r"data_source='gpqa': the ground truth 'E' is none of the choices \['3 m', "):
        compute_score("gpqa", "\\boxed{B}", "E", {"choices": choices})


@pytest.mark.parametrize("choices", [None, "", [], np.array([])])
def test_no_choices(choices):
    assert compute_score("", "\\boxed{2}", "2.0", {"choices": choices}) == 1.0


def test_the_answer_starts_behind_the_first_end_of_a_thought():
    """As a serial group's rows have it; a second one is part of the answer."""
    assert compute_score("", "\\boxed{1}</think>\\boxed{2}</think>It may be three.", "2") == 1.0
    assert compute_score("", "\\boxed{1}</think>It may be three.</think>", "1") == 0.0


@settings(deadline=None)
@given(st.integers(-(10**60), 10**60), st.integers(1, 10**40))
def test_a_fraction_is_exact_however_it_is_written(above, below):
    for text in (f"\\frac{{{above}}}{{{below}}}", f"{above}/{below}", f"\\dfrac{{{above}}}{{{below}}}"):
        value = exact(tidy(text))
        assert value is not None
        assert value * below == above
        assert exact(tidy(f"\\frac{{{above}}}{{{below + 1}}}")) != value or above == 0


@settings(deadline=None)
@given(
    st.integers(-(10**12), 10**12),
    st.integers(0, 6),
    st.sampled_from(["{}", "${}$", "\\text{{{}}}", "**{}**", " {}. "]),
)
def test_tidy_keeps_a_decimal_as_it_is(digits, places, wrapped):
    number = f"{abs(digits):0{places + 1}d}"
    text = ("−" if digits < 0 else "") + (f"{number[:-places]}.{number[-places:]}" if places else number)
    assert exact(tidy(wrapped.format(text))) == Fraction(digits, 10**places)


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_read(text):
    found = final_answer(text)
    assert found is None or isinstance(found, str)


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("-5+\\frac{1}{2}", "-4.5", True),
        ("-5+\\frac{1}{2}", "-5.5", False),
        ("-3 + \\frac23", "-\\frac{7}{3}", True),
        ("-3 + \\frac23", "-\\frac{11}{3}", False),
        ("5+\\frac12", "5.5", True),
        ("-5\\frac12", "-5.5", True),
        ("-5 1/2", "-\\frac{11}{2}", True),
    ],
)
def test_a_sign_belongs_to_a_mixed_number_and_not_to_a_sum(answer, truth, right):
    assert equal(answer, truth) is right


@pytest.mark.parametrize(
    "response",
    [
        "$\\boxed{5} \\text{ or } \\boxed{6}$",
        "$\\boxed{5} \\text{ and } \\boxed{6}$",
        "\\boxed{5}\\quad\\text{or}\\quad\\boxed{6}",
        "$x=\\boxed{5} \\text{ or } x=\\boxed{6}$",
        "$x_{1}=\\boxed{5},\\; x_{2}=\\boxed{6}$",
        "\\boxed{5},\\quad\\boxed{6}",
        "\\boxed{5}\\lor\\boxed{6}",
        "$\\theta = \\boxed{5} \\mathrm{~or~} \\theta = \\boxed{6}$",
        "\\boxed{5}\\ \\boxed{6}",
    ],
)
def test_boxes_that_are_one_list(response):
    assert [compute_score("", response, truth) for truth in ("5, 6", "5", "6")] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "response", ["\\boxed{5} \\text{ becomes } \\boxed{6}", "\\boxed{5} = \\boxed{6}", "\\boxed{\\boxed{6}}"]
)
def test_boxes_that_are_no_list(response):
    assert [compute_score("", response, truth) for truth in ("5, 6", "5", "6")] == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("10080", "10,\\!080", True),
        ("10{,}080", "10,\\!080", True),
        ("10\\,080", "10,\\!080", True),
        ("\\$32348", "\\$32,\\!348", True),
        ("1,\\!030", "1030", True),
        ("11111111100", "11,\\! 111,\\! 111,\\! 100", True),
        ("(1,\\!234, 5)", "(1234, 5)", True),
        ("80, 10", "10,\\!080", False),
        ("10, 80", "10,\\!080", False),
        ("100{,}200", "100, 200", False),
        ("123", "1,\\!23", False),
    ],
)
def test_commas_that_latex_groups_digits_with(answer, truth, right):
    assert equal(answer, truth) is right
    assert equal(truth, answer) is right


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("\\{1+\\sqrt5, 1-\\sqrt5, -2\\}", "\\{1\\pm\\sqrt{5},-2\\}", True),
        ("-2, 1\\pm\\sqrt5", "\\{1\\pm\\sqrt{5},-2\\}", True),
        ("\\{1+\\sqrt5,-2\\}, \\{1-\\sqrt5,-2\\}", "\\{1\\pm\\sqrt{5},-2\\}", False),
        ("\\{1+\\sqrt5, -2\\}", "\\{1\\pm\\sqrt{5},-2\\}", False),
        ("-1, 0, 1", "\\{0,\\pm1\\}", True),
        ("x\\in\\{0,\\pm1\\}", "-1, 0, 1", True),
        ("(\\pm1, 2)", "(1, 2), (-1, 2)", True),
        ("\\pm i", "i, -i", True),
        ("\\pm i", "i", False),
        ("+x", "x", True),
        ("+x", "-x", False),
        ("(2, +\\infty)", "(2, \\infty)", True),
    ],
)
def test_both_signs_and_a_leading_plus(answer, truth, right):
    assert equal(answer, truth) is right
    assert equal(truth, answer) is right


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("3\\cdot2^{10}", "3072", True),
        ("3\\times2^{10}", "3072", True),
        ("2\\cdot3n", "6n", True),
        ("\\frac{\\ln2}{2}", "\\frac12\\ln 2", True),
        ("\\ln9", "2\\ln3", True),
        ("\\sin2x", "2\\sin x\\cos x", True),
        ("\\log_{2}4", "2", True),
        ("\\log_2(4)", "2", True),
        ("\\log_10(100)", "2", True),
        ("3\\cdot2^{10}", "3\\cdot2^{11}", False),
        ("\\log_2(8)", "\\log_3(8)", False),
        ("\\log_24", "2", False),
        ("x2", "2x", False),
        ("x_12", "2x_1", False),
        ("2\\pi3", "6\\pi", False),
        ("\\alpha2", "2\\alpha", False),
    ],
)
def test_a_digit_right_behind_a_command(answer, truth, right):
    assert equal(answer, truth) is right
    assert equal(truth, answer) is right


@pytest.mark.parametrize(
    ("answer", "truths"),
    [
        ("1/2 x", {"\\frac12x": True, "\\frac{1}{2x}": False}),
        ("2/3 \\sqrt2", {"\\frac{2\\sqrt2}{3}": True, "\\frac{2}{3\\sqrt2}": False}),
        ("1/2(x+1)", {"\\frac{x+1}{2}": True, "\\frac{1}{2(x+1)}": False}),
        ("1/2 + 3/4i", {"\\frac12+\\frac{3i}{4}": True, "\\frac12+\\frac{3}{4i}": False}),
        ("y = 3/4x + 2", {"y=\\frac{3}{4}x+2": True, "y=\\frac{3}{4x}+2": False}),
        ("4/3πr^3", {"\\frac43\\pi r^3": True, "\\frac{4}{3\\pi r^3}": False}),
        ("1/2x", {"1/2x": True, "\\frac12x": False, "\\frac{1}{2x}": False}),
        ("1 / 2 x", {"\\frac12x": False, "\\frac{1}{2x}": False}),
        ("4/3\\pi", {"\\frac43\\pi": False, "\\frac{4}{3\\pi}": False}),
        ("1/2\\sqrt3", {"\\frac{\\sqrt3}{2}": False, "\\frac{1}{2\\sqrt3}": False}),
        ("\\pi/2n", {"\\frac{\\pi n}{2}": False, "\\frac{\\pi}{2n}": False}),
        ("1/(x-1)(x-2)", {"\\frac{x-2}{x-1}": False, "\\frac{1}{(x-1)(x-2)}": False}),
        ("1/2\\cdot x", {"\\frac{x}{2}": True, "\\frac{1}{2x}": False}),
        ("1/(2x)", {"\\frac{x}{2}": False, "\\frac{1}{2x}": True}),
    ],
)
def test_a_slash_before_a_product(answer, truths):
    assert {truth: equal(answer, truth) for truth in truths} == truths


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("5 twelfths", "\\frac{5}{12}", True),
        ("3 sixteenths", "3/16", True),
        ("7 twentieths", "7/20", True),
        ("1 thirtieth", "\\frac{1}{30}", True),
        ("3 millionths", "0.000003", True),
        ("5 twelfths", "5", False),
        ("1 thirtieth", "1", False),
        ("3 millionths", "3", False),
        ("3 twelves", "3", False),
        ("3 twenties", "3", False),
        ("2 quadrillion", "2", False),
        ("1 googol", "1", False),
        ("1 wrong", "1", False),
        ("1 undefined", "1", False),
        ("1 negative", "1", False),
        ("1 apple", "1", True),
        ("5 paths", "5", True),
        ("5 months", "5", True),
        ("5 people", "5", True),
        ("5 children", "5", True),
        ("5 firemen", "5", True),
        ("5 people", "5 persons", True),
        ("5 people", "5 children", False),
    ],
)
def test_a_word_behind_a_number_is_what_it_counts_or_part_of_it(answer, truth, right):
    assert equal(answer, truth) is right
    assert equal(truth, answer) is right


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("12 square centimeters", "12 cm^2", True),
        ("864 square inches", "864 inches^2", True),
        ("864 sq. in.", "864 square inches", True),
        ("8 cubic feet", "8 ft^3", True),
        ("5 mph", "5 miles per hour", True),
        ("5 km/h", "5 kph", True),
        ("20 degrees Celsius", "20^\\circ C", True),
        ("5 PM", "5 p.m.", True),
        ("$18 per day", "18", True),
        ("\\$18/day", "18 dollars per day", True),
        ("USD 18", "\\$18", True),
        ("Rs. 18", "18", True),
        ("5\\$", "5", True),
        ("\\$-5", "-5", True),
        ("5 dollars per apple", "5", True),
        ("8 cubic feet", "8 ft^2", False),
        ("8 square feet", "8 feet", False),
        ("5 square", "5", False),
        ("5 mph", "5 km/h", False),
        ("20°F", "20 degrees Celsius", False),
        ("5 PM", "5 a.m.", False),
        ("$18 per day", "$18 per week", False),
        ("Rs 18", "\\$18", False),
        ("\\$5/x", "5", False),
    ],
)
def test_spellings_of_a_unit(answer, truth, right):
    assert equal(answer, truth) is right
    assert equal(truth, answer) is right


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("x^-1", "\\frac{1}{x}", True),
        ("10^-3", "0.001", True),
        ("3\\times10^-4", "0.0003", True),
        ("2^-12", "2^{-12}", True),
        ("e^-x \\sin x", "\\frac{\\sin x}{e^x}", True),
        ("2^-3", "-8", False),
        ("x^-1/2", "\\frac{1}{\\sqrt x}", False),
        ("x^-1/2", "\\frac{1}{2x}", False),
        ("e^-2x", "e^{-2x}", False),
        ("e^-2x", "e^{-2}x", False),
    ],
)
def test_a_negative_exponent_without_braces(answer, truth, right):
    assert equal(answer, truth) is right
    assert equal(truth, answer) is right


@pytest.mark.parametrize(
    "response",
    [
        *("x = 5 or x = 6", "It is 6 or 5.", "So x ≠ 5", "x < 5", "x > 5", "x >= 5", "So $x \\neq 5$", "x ≈ 5", "±5"),
        *("So it is ln 5", "log 5", "\\pm 5", "minus 5", "half of 5", "the square root of 5", "1 in 5", "3 out of 5"),
        *(
            "between 4 and 5",
            "4 to 5",
            "It is not 5",
            "at least 5",
            "It is at least $5$",
            "It is more than 5",
            "about 5",
        ),
        *("So the line is 2x + 5", "So x = 4 and y = 5", "$1$ in $5$"),
    ],
)
def test_a_number_that_something_binds_is_no_answer(response):
    assert compute_score("", response, "5") == 0.0
    assert compute_score("", response, "6") == 0.0


@pytest.mark.parametrize(
    "response",
    [
        *(
            "So x = 5",
            "He finishes in 5 days.",
            "It comes to 5.",
            "It is equal to 5",
            "a total of 5",
            "=> 5",
            "so -> 5",
        ),
        *("So 3*4 = 12 and 10/2 = 5", "<<3+2=5>>5", "so x - 1 = 4, and x = 5", "the sixth, or $3 + 2 = 5$"),
    ],
)
def test_a_number_that_a_text_ends_on(response):
    assert compute_score("", response, "5") == 1.0


@pytest.mark.parametrize(
    "response",
    [
        *(
            "-\\boxed{6}",
            "$x = - \\boxed{6}$",
            "The answer is -\\boxed{6}",
            "\\pm\\boxed{6}",
            "2\\boxed{6}",
            "\\boxed{6}2",
        ),
        *("$\\boxed{6}\\sqrt{2}$", "\\boxed{6}\\pi", "\\boxed{6}x", "$\\boxed{6}i$", "\\boxed{6}^2", "2^{\\boxed{6}}"),
        *("$\\frac{\\boxed{6}}{4}$", "$\\frac{4}{\\boxed{6}}$", "$\\sqrt{\\boxed{6}}$", "\\boxed{6}/4", "\\boxed{6}_7"),
        *(
            "\\boxed{6} million",
            "$\\boxed{6}$ million",
            "\\boxed{6}\\text{ million}",
            "\\boxed{6} fifths",
            "\\boxed{6}.5",
        ),
        *("\\boxed{6} and a half", "$2\\sqrt3 + \\boxed{6}$", "$\\boxed{6} + \\sqrt{2}$", "$2 \\cdot \\boxed{6}$"),
    ],
)
def test_a_box_that_holds_a_part_is_no_answer(response):
    assert [compute_score("", response, truth) for truth in ("6", "-6")] == [0.0, 0.0]


@pytest.mark.parametrize(
    "response",
    [
        *("\\boxed{6}\\text{ cm}", "\\boxed{6}^\\circ", "$\\boxed{6}^{\\circ}$", "\\boxed{6}\\%", "\\boxed{6}km/h"),
        *("\\boxed{6}/day", "\\boxed{6} dozen", "There are \\boxed{6} pairs", "\\boxed{6}!", "\\boxed{6}, as"),
        *(
            "- \\boxed{6}",
            "Answer - \\boxed{6}",
            "Step 2 - \\boxed{6}",
            "\\textbf{\\boxed{6}}",
            "(\\boxed{6})",
            "—\\boxed{6}",
        ),
        *("$3+\\boxed{6}=9$", "$8-\\boxed{6} = 2$", "$2\\cdot\\boxed{6}=12$", "$\\boxed{6}$ - a number"),
        *("\\boxed{6}\n\nOne can check it.", "\\boxed{6}\n- 3 apples", "{\\color{red}{\\boxed{6}}}"),
    ],
)
def test_a_box_with_something_beside_it_that_is_no_part(response):
    assert compute_score("", response, "6") == 1.0
