r"""When two answers are the same: kinds of notation, each with what must be equal and near misses that must not."""

import pytest

from sgrpo_verl.answers.comparing import equal


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ("-5+\\frac{1}{2} = -4.5", "-4.5", True),
        ("-5+\\frac{1}{2}", "-5.5", False),
        ("-3 + \\frac23 = -\\frac73", "-\\frac{7}{3}", True),
        ("-3 + \\frac23", "-\\frac{11}{3}", False),
        ("5+\\frac12 = 5.5", "5.5", True),
        ("-5\\frac12", "-5.5", True),
        ("-5 1/2", "-\\frac{11}{2}", True),
    ],
)
def test_a_sign_belongs_to_a_mixed_number_and_not_to_a_sum(answer, truth, right):
    assert equal(answer, truth) is right


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
        ("0,125", "125", False),
        ("0{,}125", "125", False),
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
        ("(e^x - 1)/2i", {"\\frac{e^x-1}{2i}": False, "\\frac{i(e^x-1)}{2}": False}),
        ("1/2e + 1", {"\\frac{e}{2}+1": False, "\\frac{1}{2e}+1": False}),
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
    ("answer", "truth", "right"),
    [
        ("$1$, $2$", "1, 2", True),
        ("$1$ and $2$", "1, 2", True),
        ("\\(1\\), \\(2\\)", "$1$, $2$", True),
        ("$1$, $2$", "2", False),
        ("$5 and $6", "5", False),
        ("5\\textrm{ cm}", "5", True),
        ("\\textrm{Yes}", "Yes", True),
        ("{\\rm Yes}", "Yes", True),
        ("5\\mathsf{cm}", "5 cm", True),
        ("\\mathcal{F}", "F", False),
        ("{5\\over2}", "\\frac52", True),
        ("{5\\over2}", "\\frac25", False),
        ("30\\degree", "30", True),
        ("\\sin 30^{\\degree}", "\\frac12", True),
        ("\\begin{pmatrix}1\\\\[4pt]2\\end{pmatrix}", "\\begin{pmatrix}1\\\\2\\end{pmatrix}", True),
        ("\\big(3,4\\big)", "(3, 4)", True),
        ("\\bigl(3,4\\bigr)", "(4, 3)", False),
        ("(1101)_2", "1101_2", True),
        ("(1101)_2", "1101", False),
        ("5 Million", "5000000", True),
        ("5 Million", "5", False),
        ("AB = 5", "5", True),
        ("AB = 5", "CD = 5", False),
    ],
)
def test_spellings_of_tex(answer, truth, right):
    assert equal(answer, truth) is right
    assert equal(truth, answer) is right


@pytest.mark.parametrize(
    ("answer", "truth"),
    [
        *(("100 - (15 + 23)", "62"), ("2 + 8", "10"), ("4 − 1", "3"), ("-4 - -1", "-3"), ("62 + 0", "62")),
        *(("5 \\times 60", "300"), ("5*60", "300"), ("6×2", "12"), ("2\\cdot 3\\cdot 5", "30"), ("0.5 \\cdot 4", "2")),
        *(("24/2", "12"), ("\\frac{24}{2}", "12"), ("-\\frac{10}{2}", "-5"), ("10/4", "2.5"), ("12 ÷ 4", "3")),
        *(("(5)(60)", "300"), ("5(60)", "300"), ("2(3+4)", "14"), ("-(3-5)", "2"), ("\\left(2\\right)3", "6")),
        *(("\\frac{100-20}{2}", "40"), ("\\frac{3}{4} \\cdot 8", "6"), ("8 \\cdot \\frac{3}{4}", "6")),
        *(
            ("\\sqrt{9+16}", "5"),
            ("1 - 1/4", "3/4"),
            ("2^{10} - 1", "1023"),
            ("2^{1+1}", "4"),
            ("\\$5 \\times 60", "300"),
        ),
        *(("x = 2 + 3", "5"), ("2+3, 6", "5, 6"), ("(2+3, 6)", "(5, 6)"), ("5 + 5 apples", "10")),
    ],
)
def test_a_calculation_that_is_left_to_be_done_is_no_number(answer, truth):
    assert not equal(answer, truth)
    assert equal(answer, answer)


@pytest.mark.parametrize(
    ("answer", "truth"),
    [
        *(("1/2", "0.5"), ("\\frac{5}{2}", "2.5"), ("5\\frac{1}{2}", "5.5"), ("\\frac{50}{1}", "50"), ("(62)", "62")),
        *(("3 \\cdot 2^{10}", "3072"), ("2^3 \\cdot 3^2", "72"), ("2^{10}", "1024"), ("10^{-3}", "0.001")),
        *(("5!", "120"), ("\\sqrt{16}", "4"), ("\\binom{5}{2}", "10"), ("3 \\times 10^{4}", "30000")),
        *(("\\log_2(8)", "3"), ("2 + 3 = 5", "5"), ("6 ÷ 2 = 3", "3"), ("-5", "-5"), ("\\frac{6}{8}", "\\frac{3}{4}")),
        *(
            ("\\sqrt2 + 1", "1+\\sqrt{2}"),
            ("3 + x", "x + 3"),
            ("2 + 3", "3 + 2"),
            ("\\frac{1+\\sqrt5}{2}", "(1+\\sqrt5)/2"),
        ),
    ],
)
def test_what_is_customary_as_a_result_is_one(answer, truth):
    assert equal(answer, truth)
