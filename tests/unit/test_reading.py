r"""What is read as a response's answer: boxes beside each other and beside other things, prose, headings."""

import pytest

from sgrpo_verl.correctness import compute_score


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
    "response",
    [
        "x = 5 or x = 6",
        "It is 6 or 5.",
        "So x ≠ 5",
        "x < 5",
        "x > 5",
        "x >= 5",
        "So $x \\neq 5$",
        "x ≈ 5",
        "±5",
        "So it is ln 5",
        "log 5",
        "\\pm 5",
        "minus 5",
        "half of 5",
        "the square root of 5",
        "1 in 5",
        "3 out of 5",
        "between 4 and 5",
        "4 to 5",
        "It is not 5",
        "at least 5",
        "It is at least $5$",
        "It is more than 5",
        "about 5",
        "So the line is 2x + 5",
        "So x = 4 and y = 5",
        "2x = 5",
        "x^2 = 5",
        "x + 3y = 5",
        "$1$ in $5$",
    ],
)
def test_a_number_that_something_binds_is_no_answer(response):
    assert compute_score("", response, "5") == 0.0
    assert compute_score("", response, "6") == 0.0


@pytest.mark.parametrize(
    "response",
    [
        "So x = 5",
        "d = r*t = 5",
        "P = a + b = 5",
        "Area = 5",
        "He finishes in 5 days.",
        "It comes to 5.",
        "It is equal to 5",
        "a total of 5",
        "=> 5",
        "so -> 5",
        "So 3*4 = 12 and 10/2 = 5",
        "<<3+2=5>>5",
        "so x - 1 = 4, and x = 5",
        "the sixth, or $3 + 2 = 5$",
    ],
)
def test_a_number_that_a_text_ends_on(response):
    assert compute_score("", response, "5") == 1.0


@pytest.mark.parametrize(
    "response",
    [
        "-\\boxed{6}",
        "$x = - \\boxed{6}$",
        "The answer is -\\boxed{6}",
        "\\pm\\boxed{6}",
        "2\\boxed{6}",
        "It is -$\\boxed{6}$",
        "\\boxed{6}:5",
        "\\boxed{6}2",
        "$\\boxed{6}\\sqrt{2}$",
        "\\boxed{6}\\pi",
        "\\boxed{6}x",
        "$\\boxed{6}i$",
        "\\boxed{6}^2",
        "2^{\\boxed{6}}",
        "$\\frac{\\boxed{6}}{4}$",
        "$\\frac{4}{\\boxed{6}}$",
        "$\\sqrt{\\boxed{6}}$",
        "\\boxed{6}/4",
        "\\boxed{6}_7",
        "\\boxed{6} million",
        "$\\boxed{6}$ million",
        "\\boxed{6}\\text{ million}",
        "\\boxed{6} fifths",
        "\\boxed{6}.5",
        "\\boxed{6} and a half",
        "$2\\sqrt3 + \\boxed{6}$",
        "$\\boxed{6} + \\sqrt{2}$",
        "$2 \\cdot \\boxed{6}$",
    ],
)
def test_a_box_that_holds_a_part_is_no_answer(response):
    assert [compute_score("", response, truth) for truth in ("6", "-6")] == [0.0, 0.0]


@pytest.mark.parametrize(
    "response",
    [
        "\\boxed{6}\\text{ cm}",
        "\\boxed{6}^\\circ",
        "$\\boxed{6}^{\\circ}$",
        "\\boxed{6}\\%",
        "\\boxed{6}km/h",
        "\\boxed{6}/day",
        "_\\boxed{6}_",
        "\\boxed{6} dozen",
        "There are \\boxed{6} pairs",
        "\\boxed{6}!",
        "\\boxed{6}, as",
        "- \\boxed{6}",
        "Answer - \\boxed{6}",
        "Step 2 - \\boxed{6}",
        "\\textbf{\\boxed{6}}",
        "(\\boxed{6})",
        "—\\boxed{6}",
        "$3+\\boxed{6}=9$",
        "$8-\\boxed{6} = 2$",
        "$2\\cdot\\boxed{6}=12$",
        "$\\boxed{6}$ - a number",
        "\\boxed{6}\n\nOne can check it.",
        "\\boxed{6}\n- 3 apples",
        "{\\color{red}{\\boxed{6}}}",
    ],
)
def test_a_box_with_something_beside_it_that_is_no_part(response):
    assert compute_score("", response, "6") == 1.0


@pytest.mark.parametrize(
    ("response", "truth", "right"),
    [
        ("The answer is 42. I hope this answer is helpful.", "42", 1),
        ("The answer is 42. This answer is correct.", "42", 1),
        ("The answer is 42. Let me know if the answer is unclear.", "42", 1),
        ("The answer is 42. This answer is not correct.", "42", 0),
        ("The answer is 5. No: the answer is 6.", "5", 0),
        ("The answer is 5. No: the answer is 6.", "6", 1),
        ("The answer is 5. The answer is unknown.", "5", 0),
        ("The answer is correct", "correct", 1),
        ("The answer is 5 because 3 + 2 = 5.", "5", 1),
        ("The answer is 5 because 3 + 2 = 5.", "3", 0),
        ("The answer is 5 and 6 because of it.", "5", 0),
        ("The answers are $1$ and $2$.", "1, 2", 1),
        ("The answers are $1$ and $2$.", "2", 0),
    ],
)
def test_what_is_said_about_an_answer_is_none(response, truth, right):
    assert compute_score("", response, truth) == right


@pytest.mark.parametrize(
    ("response", "truth", "right"),
    [
        ("#### Step 2\nThe answer is 18.", "18", 1),
        ("##### Step 2: the sum\nThe answer is 18.", "18", 1),
        ("#### 18\n#### Explanation\nWe add 3 and 4.", "18", 1),
        ("#### Final Answer\n18", "18", 1),
        ("#### Answer: 18\nDone.", "18", 1),
        ("#### 18\nDone in 5 steps", "18", 1),
        ("#### Yes\nBecause 3 = 3", "Yes", 1),
        ("#### Yes\nBecause 3 = 3", "3", 0),
        ("#### Step 2", "2", 0),
        ("#### 18\n####", "18", 0),
    ],
)
def test_a_heading_is_no_answer(response, truth, right):
    assert compute_score("", response, truth) == right
