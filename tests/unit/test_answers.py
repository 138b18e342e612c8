r"""What real models and real data send in: each table is a kind, its right scores those of a strict human marker."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgrpo_verl.answers.notation import exact, tidy
from sgrpo_verl.answers.reading import final_answer
from sgrpo_verl.correctness import compute_score

ZEROS = "0" * 41
KINDS = {
    "whole numbers beyond a double": [
        (f"\\boxed{{1{ZEROS}1}}", f"1{ZEROS}2", 0),
        (f"\\boxed{{1{ZEROS}1}}", f"1{ZEROS}1", 1),
        ("\\boxed{9007199254740993}", "9007199254740992", 0),
        ("\\boxed{10^{100}}", "10^{100}+1", 0),
        ("\\boxed{2^{100}}", "1267650600228229401496703205376", 1),
        ("\\boxed{12,345,678,901,234,567,890}", "12345678901234567891", 0),
    ],
    "very small values": [
        ("\\boxed{\\frac{1}{2^{98}}}", "\\frac{1}{2^{99}}", 0),
        ("\\boxed{\\frac{1}{2^{98}}}", "2^{-98}", 1),
        ("\\boxed{\\frac{x}{2^{98}}}", "\\frac{x}{2^{99}}", 0),
        ("\\boxed{10^{-30}}", "10^{-31}", 0),
        ("\\boxed{(0, 10^{-30})}", "(0, 10^{-31})", 0),
        ("\\boxed{1e-30}", "10^{-30}", 1),
        ("\\boxed{\\frac{\\sqrt{2}}{10^{20}}}", "\\frac{\\sqrt{3}}{10^{20}}", 0),
        ("\\boxed{\\{10^{-20}, 1\\}}", "\\{10^{-21}, 1\\}", 0),
    ],
    "decimals are exact": [
        ("\\boxed{0.333333}", "\\frac{1}{3}", 0),
        ("\\boxed{1.414214}", "\\sqrt{2}", 0),
        ("\\boxed{e}", "2.718281828", 0),
        ("\\boxed{\\frac{22}{7}}", "\\pi", 0),
        ("\\boxed{0.5x}", "\\frac{x}{2}", 1),
        ("\\boxed{0.1 + 0.2}", "0.3", 1),
        ("\\boxed{0.125}", "\\frac{1}{8}", 1),
        ("\\boxed{\\frac{\\sqrt{2}}{2}}", "\\frac{1}{\\sqrt{2}}", 1),
        ("\\boxed{0.\\overline{142857}}", "\\frac{1}{7}", 1),
        ("\\boxed{0.1\\overline{6}}", "\\frac16", 1),
    ],
    "series with dots": [
        ("\\boxed{1, 3, 5, \\ldots, 2n-1}", "1, 2, \\ldots, n", 0),
        ("\\boxed{1, 2, \\dots, n}", "1, 2, \\dots, n", 1),
        ("\\boxed{1, 2, ..., 10}", "1, 2, ..., 11", 0),
        ("\\boxed{1 + 2 + \\cdots + n}", "1 + 3 + \\cdots + n", 0),
    ],
    "a piece is not the whole": [
        ("The answer is 3/4.", "4", 0),
        ("The answer is 3/4.", "3", 0),
        ("The answer is 3/4.", "\\frac{3}{4}", 1),
        ("I get 3/4", "4", 0),
        ("I get 3/4", "3/4", 1),
        ("The answer is 2^10.", "10", 0),
        ("The answer is 2^10.", "1024", 1),
        ("so it is 2^10", "10", 0),
        ("So the ratio is 3:4", "4", 0),
        ("So the ratio is 3:4", "3:4", 1),
        ("The answer is (2, 3).", "(2,3)", 1),
        ("The answer is (2, 3).", "3", 0),
        ("The answer is 2x.", "2", 0),
        ("The value is 2x", "2", 0),
        ("The answer is 5 or 6.", "6", 0),
        ("The answer is 5 or 6.", "5", 0),
        ("The answer is not 5.", "5", 0),
        ("The answer is 3 hours and 20 minutes.", "3", 0),
        ("The answer is 3 hours and 20 minutes.", "20", 0),
        ("The answer is 7 (mod 12).", "7", 0),
        ("The answer is 10 to 12", "10", 0),
        ("The answer is $3$ and $4$.", "4", 0),
        ("Thus $x=3$ or $x=4$.", "4", 0),
        ("Thus $x=3$ or $x=4$.", "3,4", 1),
        ("We find n=57. The integers are 56, 57, 58, and the greatest is 58.", "57", 0),
        ("We pay 2 + 3 = 5/6 of it", "5", 0),
        ("so x_3 = 4y", "4", 0),
    ],
    "said in prose": [
        ("Answer: pi", "\\pi", 1),
        ("Answer: C", "C", 1),
        ("Answer: (B)", "B", 1),
        ("The answer is A", "B", 0),
        ("Answer: $\\frac{3}{4}$", "\\frac{3}{4}", 1),
        ("The answer is $x^2+1$.", "x^2+1", 1),
        ("The answer is: \\(\\frac{3}{4}\\)", "0.75", 1),
        ("The answer is \\[ 12 \\]", "12", 1),
        ("**Answer:** 42", "42", 1),
        ("Answer: **42**", "42", 1),
        ("Answer:\n\n72", "72", 1),
        ("The answer is 12 apples.", "12", 1),
        ("The answer is 1,234.", "1234", 1),
        ("The answer is $1,234.50.", "1234.5", 1),
        ("The answer is 5%.", "5", 1),
        ("The answer is therefore 5.", "5", 1),
        ("The answer is x = 5.", "5", 1),
        ("answer = 17", "17", 1),
        ("The answer to question 2 is 7.", "7", 1),
        ("Final answer: 3.14", "3.14", 1),
        ("The answer is 3.14.", "3.14", 1),
        ("The answer is 3. I hope that helps.", "3", 1),
        ("Answer: True", "true", 1),
        ("The answer is **$\\boxed{5}$**", "5", 1),
        ("The answer is 5.\nNo: the answer is 6.", "6", 1),
        ("The answer is about 5", "5", 0),
        ("The answer is 1,000,000 (one million).", "1000000", 1),
        ("It is 5 (approximately)", "5", 1),
        ("The answer is 5!", "5", 1),
        ("It must be 5!", "120", 0),
        ("The answer is 5 km/h.", "5", 1),
    ],
    "Unicode": [
        ("The final answer is −5", "5", 0),
        ("The final answer is −5", "-5", 1),
        ("\\boxed{−5}", "-5", 1),
        ("\\boxed{–5}", "5", 0),
        ("\\boxed{2½}", "\\frac52", 1),
        ("\\boxed{x²+1}", "x^2+1", 1),
        ("\\boxed{π/2}", "\\frac{\\pi}{2}", 1),
        ("\\boxed{√2}", "\\sqrt{2}", 1),
        ("\\boxed{３}", "3", 1),
        ("\\boxed{6.02×10²³}", "6.02e23", 1),
        ("\\boxed{−∞}", "\\infty", 0),
        ("\\boxed{45°}", "45", 1),
    ],
    "plain notations": [
        ("\\boxed{pi/2}", "\\dfrac{\\pi}{2}", 1),
        ("\\boxed{-2*pi}", "-2\\pi", 1),
        ("\\boxed{14.0 - 1.0i}", "14 - i", 1),
        ("\\boxed{2i}", "(1+i)^2", 1),
        ("\\boxed{1.5e3}", "1500", 1),
        ("\\boxed{1.5 \\times 10^3}", "1500", 1),
        ("\\boxed{0.\\overline{3}}", "\\frac{1}{3}", 1),
        ("\\boxed5", "5", 1),
        ("\\boxed \\frac12", "0.5", 1),
        ("\\boxed 42", "42", 1),
        ("\\boxed{sqrt(2)/2}", "\\frac{\\sqrt2}{2}", 1),
        ("\\boxed{x**2 + 1}", "x^2+1", 1),
        ("\\boxed{2^(n+1)}", "2^{n+1}", 1),
        ("\\boxed{3\\frac{1}{2}}", "3.5", 1),
        ("\\boxed{3 1/2}", "3.5", 1),
        ("\\boxed{1\\,000}", "1000", 1),
        ("\\boxed{1.000}", "1000", 0),
        ("#### $5.00", "5", 1),
        ("#### 1,000", "1000", 1),
    ],
    "units, where two readings are fair": [
        ("\\boxed{12\\text{ cm}}", "12\\text{ cm}", 1),
        ("\\boxed{12\\text{ cm}}", "12\\text{ m}", 0),
        ("\\boxed{12\\text{ cm}}", "12", 1),
        ("\\boxed{12}", "12\\text{ cm}", 1),
        ("\\boxed{100\\text{ cm}}", "1\\text{ m}", 0),
        ("\\boxed{5 apples}", "5", 1),
        ("\\boxed{5 apples}", "5 pears", 0),
        ("\\boxed{1 apple}", "1 apples", 1),
        ("\\boxed{0.28}", "28\\%", 0),
        ("\\boxed{28}", "28\\%", 1),
        ("\\boxed{28\\%}", "28", 1),
        ("\\boxed{$18}", "18", 1),
        ("\\boxed{18 dollars}", "\\$18", 1),
        ("\\boxed{18 euros}", "\\$18", 0),
        ("\\boxed{90 degrees}", "90^\\circ", 1),
        ("\\boxed{2:30}", "2.5", 0),
        ("\\boxed{2:30}", "2:30", 1),
        ("\\boxed{3:4}", "\\frac{3}{4}", 0),
        ("\\boxed{101_2}", "101", 0),
        ("\\boxed{4210_{7}}", "4210_7", 1),
    ],
    "points, sets, intervals, relations": [
        ("\\boxed{x>2}", "(2,\\infty)", 1),
        ("\\boxed{x\\geq 2}", "(2,\\infty)", 0),
        ("\\boxed{-1<x<1}", "(-1,1)", 1),
        ("\\boxed{(-\\infty,2]}", "(-\\infty,2)", 0),
        ("\\boxed{\\{2,3\\}}", "(2,3)", 0),
        ("\\boxed{2,3}", "(2,3)", 1),
        ("\\boxed{3,2}", "(2,3)", 0),
        ("\\boxed{3,2}", "2,3", 1),
        ("\\boxed{y=5}", "x=5", 0),
        ("\\boxed{5}", "x=5", 1),
        ("\\boxed{2+3=5}", "5", 1),
        ("\\boxed{(1,234)}", "1234", 0),
        (
            "\\boxed{\\begin{pmatrix} 10^{-20} \\\\ 1 \\end{pmatrix}}",
            "\\begin{pmatrix} 10^{-21} \\\\ 1 \\end{pmatrix}",
            0,
        ),
    ],
}


@pytest.mark.parametrize(
    ("response", "truth", "right"), [pytest.param(*row, id=f"{kind}-{row[0]}") for kind in KINDS for row in KINDS[kind]]
)
def test_an_answer_of_each_kind(response, truth, right):
    assert compute_score("test", response, truth) == right


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
    "truth", [None, True, "", "  ", {}, {"answer": 1}, [], np.array([]), [None], ["2", ""], [["2"]]]
)
def test_a_truth_that_cannot_be_one_is_an_error(truth):
    with pytest.raises(ValueError, match=r"data_source='aime': the ground truth .* cannot be one; it must be a text"):
        compute_score("aime", "\\boxed{2}", truth)


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


@given(st.integers(-(10**60), 10**60), st.integers(1, 10**40))
def test_a_fraction_is_exact_however_it_is_written(above, below):
    for text in (f"\\frac{{{above}}}{{{below}}}", f"{above}/{below}", f"\\dfrac{{{above}}}{{{below}}}"):
        value = exact(tidy(text))
        assert value is not None
        assert value * below == above
        assert exact(tidy(f"\\frac{{{above}}}{{{below + 1}}}")) != value or above == 0


@given(
    st.integers(-(10**12), 10**12),
    st.integers(0, 6),
    st.sampled_from(["{}", "${}$", "\\text{{{}}}", "**{}**", " {}. "]),
)
def test_tidy_keeps_a_decimal_as_it_is(digits, places, wrapped):
    number = f"{abs(digits):0{places + 1}d}"
    text = ("−" if digits < 0 else "") + (f"{number[:-places]}.{number[-places:]}" if places else number)
    assert exact(tidy(wrapped.format(text))) == Fraction(digits, 10**places)


@given(st.text(max_size=300))
def test_any_text_is_read(text):
    found = final_answer(text)
    assert found is None or isinstance(found, str)
