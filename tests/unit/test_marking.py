r"""What is right and what is wrong, by the kind of mistake: each truth with responses of both sorts."""

import time

import pytest

from sgrpo_verl.correctness import compute_score

BOXED = {
    "an equation that is left to be solved": [
        (
            "x=5",
            ["x=5", "5=x", "5", "x = 2+3 = 5"],
            ["3x+7=22", "5x = 3x+10", "x-5=0", "2x=10", "-x=-5", "x=2+3"],
        ),
        ("x>5", ["5<x", "(5,\\infty)"], ["3x+7>22", "2x > 10"]),
        ("x \\leq 3", ["x \\le 3"], ["2x+1 \\le x+4"]),
        ("x=-2 \\text{ or } x=5", ["x=5 \\text{ or } x=-2"], ["2x=-4 \\text{ or } x=5"]),
        ("x+y=5", ["2x+2y=10", "y=5-x"], []),
        ("y=2x+3", ["2x-y+3=0", "y-3=2x"], []),
    ],
    "a calculation that is left to be done": [
        ("62", ["62", "{62}"], ["{100}-{38}", "{100} - 38"]),
        ("300", [], ["{5}\\times{60}", "{5}\\cdot 60", "\\sum_{k=1}^{60} 5", "\\int_0^{300} 1 dx"]),
        ("5", ["\\frac{5}{1}"], ["{10}/{2}", "\\gcd(10,15)"]),
        ("3072", ["3 \\cdot 2^{10}", "3 \\cdot {2}^{10}"], ["3 \\cdot 2^{10} + 0"]),
        ("[2,3]", ["2 \\le x \\le 3"], ["1+1 \\le x \\le 3", "[1+1, 3]"]),
        ("(-\\frac12,3]", ["-\\frac{1}{2} < x \\le 3", "-0.5 < x \\le 3"], []),
        (
            "\\begin{pmatrix}5\\\\6\\end{pmatrix}",
            ["\\begin{pmatrix}5\\\\6\\end{pmatrix}"],
            ["\\begin{pmatrix}2+3\\\\6\\end{pmatrix}"],
        ),
    ],
    "a unit behind pi, a letter or braces": [
        ("9\\pi", ["9\\pi \\text{ square units}", "9\\pi\\text{ cm}^2"], ["9"]),
        ("9\\pi\\text{ cm}^2", ["9\\pi", "9\\pi\\text{ cm}^2"], ["9\\pi\\text{ m}^2", "9"]),
        ("36\\pi\\text{ cubic inches}", ["36\\pi"], ["36"]),
        ("12", ["12\\,\\mathrm{cm^{2}}"], ["12\\,\\mathrm{cm^{2}} + 1"]),
        ("x \\text{ cm}", ["x"], ["y", "x^2"]),
        ("9\\pi", ["9\\pi \\text{ cm}"], ["9\\pi h", "9\\pi h^2", "9\\pi m", "9\\pi L"]),
        ("9\\pi h", ["h \\cdot 9\\pi", "9\\pi h"], ["9\\pi", "9\\pi \\text{ hours}"]),
    ],
    "another notation": [
        ("\\binom{n}{2}", ["\\dbinom{n}{2}", "\\tbinom{n}{2}"], ["\\dbinom{n}{3}"]),
        ("n \\cdot 2^{n-1}", ["n2^{n-1}"], ["n2^{n}", "n_2^{n-1}"]),
        (
            "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}",
            ["\\left[\\begin{array}{cc}1&2\\\\3&4\\end{array}\\right]"],
            ["\\left[\\begin{array}{cc}1&2\\\\3&5\\end{array}\\right]"],
        ),
        ("-3,2", ["x_1=-3, x_2=2", "x_1=2, x_2=-3"], ["x=-3, y=2", "x_1=-3, x_2=3"]),
        ("x_1=-3, x_2=2", ["x_1=-3, x_2=2"], ["x_1=2, x_2=-3"]),
        ("x=1,y=2", ["(x, y) = (1, 2)"], ["(x,y)=(2,1)", "x=2, y=1"]),
        ("(x,y) = (1,2)", ["x=1, y=2"], ["x=2, y=1"]),
        ("\\frac{1}{2}", ["P(X = 2) = \\frac12", "E[X] = \\frac12", "\\frac{dy}{dx} = \\frac12"], ["2P(X) = \\frac12"]),
        (
            "x \\neq 2",
            ["(-\\infty,2)\\cup(2,\\infty)"],
            ["(-\\infty,2]\\cup(2,\\infty)", "(-\\infty,3)\\cup(3,\\infty)"],
        ),
        ("\\{x \\mid x>2\\}", ["\\{x : x>2\\}"], ["\\{x : x>3\\}"]),
        ("3:4", ["3{:}4"], ["4{:}3"]),
        ("5", ["5\\,", "5\\;", "x=5\\,", "5\\text{ cm}\\,"], ["5\\,7", "5\\,x"]),
        ("\\frac{1}{2}\\;", ["0.5", "\\frac12\\,"], ["0.2"]),
        ("5", ["=5", "5,", "\\color{red}{5}", "\\textcolor{red}{5}", "\\Large 5"], ["|x|=5", "5, ..."]),
        ("\\frac12,1,2,3,4,5,6,7,8", ["0.5,1,2,3,4,5,6,7,8"], ["0.6,1,2,3,4,5,6,7,8"]),
    ],
}
IN_SENTENCES = {
    "the number that is said, and not a later one": [
        (
            "12",
            ["The answer is 12 because there are 5 left.", "The answer is 12, of course."],
            ["The answer is 12 of 20."],
        ),
        (
            "5",
            [],
            ["The answer is 12 because there are 5 left.", "The answer is half of 5.", "The answer is 1 out of 5."],
        ),
        ("15", ["The answer is 15 minutes, which is a quarter of 60 minutes."], ["The answer is 15 out of 60."]),
        ("60", [], ["The answer is 15 minutes, which is a quarter of 60 minutes."]),
        ("28", ["The answer is 28 if they choose the second park."], ["The answer is 28 if it rains, else thirty."]),
        (
            "5",
            [
                "The answer is 10/2, which is 5.",
                "The answer is 2 + 3, which equals 5.",
                "The answer is that there are 5 apples left.",
                "The answer is $5$ because $2+3=5$.",
                "**Answer:** 5\n\nThe answer is rounded to the nearest integer.",
                "**Answer:** Janet makes **$5** per day.",
                "**Final Answer:** The total is **5**.",
                "The answer is therefore, she has 12 - 7 = 5 sandwiches left.",
                "The answer is Tonya has 5 stamps left because 13 - 8 = 5.",
                "**Answer:** She needs to buy 5 boxes because 10 / 2 = 4.",
            ],
            [
                "Answer: it is half of 5.",
                "Answer: the square root of 5",
                "Answer: it is not 5",
                "Answer: the 5th prime",
                "Answer: it is about 5 or six",
            ],
        ),
        (
            "5",
            [
                "The answer to the question is 5.",
                "The answer of the question is 5.",
                "I get an answer of 5.",
                "The answer to question 3 is 5.",
                "So the final answer equals 5.",
                "**Answer:** 5",
            ],
            ["The answers are:\n1. 5\n2. 6"],
        ),
        ("1", [], ["The answers are:\n1. 5\n2. 6"]),
    ],
    "a decimal point that leads": [
        ("0.5", ["The answer is .5.", "So x = .5", "Hence it is $.5$."], ["The answer is 5."]),
        ("5", [], ["The answer is .5.", "So x = .5", "Hence it is $.5$."]),
    ],
    "a last formula that is still an equation": [
        (
            "5",
            ["So $x = 5$", "Hence $f(2) = 5$", "So $2+3 = 5$", "Thus $\\text{Total} = 5$", "Then $x_1 = 5$"],
            [
                "So $2x = 5$",
                "Hence it is $x^2 = 5$",
                "Then $x+y=5$",
                "It is $-x = 5$",
                "$|x| = 5$",
                "So we get -x = 5.",
            ],
        ),
        ("15x - 80", ["Grouping, we obtain $(19x - 4x) + (1 - 81) = 15x - 80$."], ["So $3y = 15x - 81$"]),
        (
            "8",
            [
                "Thus $f^{-1}(3) = 8$",
                "Thus $(f \\circ g)(2) = 8$",
                "Thus $\\int_0^2 3x^2\\,dx = 8$",
                "Thus $x^* = 8$",
                "So $P(A|B) = 8$.",
                "Thus $|S| = 8$",
            ],
            ["Then $2N = 8$", "Then $N - 3 = 8$"],
        ),
        ("15", ["so $A = lw = 5 \\cdot 3 = 15$", "$a+b = 7+8 = 15$"], ["So we get |x| = 15."]),
    ],
    "spacing at the end of a formula": [
        (
            "5",
            [
                "Thus $x = 5\\,$.",
                "Thus \\(x = 5\\,.\\)",
                "The answer is $5\\;$.",
                "The answer is $5\\ $.",
                "Thus $x = 5~.$",
            ],
            ["Thus $2x = 5\\,$.", "The answer is $5\\,!$"],
        ),
    ],
    "letters behind a number": [
        (
            "5",
            ["Answer: 5 cm", "Answer: 5cm", "The answer is 5 m.", "The answer is 5 a day.", "So it is 5 I think."],
            ["Answer: 5pi", "Answer: 5 x", "The answer is 5 i.", "Answer: 5th", "Answer: 5ish", "So we get 5pi."],
        ),
        ("6", ["She came in 6th place."], ["It is the 6th root."]),
        ("7", ["The train leaves at 7 p.m.", "The train leaves at 7 a.m.", "Answer: 7pts"], ["The answer is 7 p."]),
        ("12", [], ["Answer: 12xy", "The answer is 12cos(x)."]),
    ],
    "words behind a number": [
        (
            "5",
            ["So it rang 5 times.", "So it is 5 at last.", "She practices 5 times a day."],
            [
                "So we get 5 squared.",
                "So we get 5 factorial.",
                "So we get 5 minus x.",
                "So we get 5 divided by x.",
                "Answer: 5 if n is even, else six",
            ],
        ),
    ],
    "a result in bold": [
        ("400", ["He jumps 10 sessions * 40 times/session = **400** times in 5 days."], []),
        ("5", ["Each has 3*4=12 apples. In total 12 - 7 = **5**."], ["So it is 10 * 40 = **400** in 5 days."]),
    ],
    "a box that is a part": [
        (
            "5",
            [
                "$(\\boxed{5})$",
                "the value of x - \\boxed{5}",
                "\\boxed{5} a day",
                "\\boxed{5} m",
                "The number is \\boxed{5}, or so I think.",
                "- \\boxed{5}",
                "(the sum is 3, \\boxed{5})",
                "\\textbf{Answer}: \\boxed{5}",
                "$\\boxed{5}$ or five",
                "The answer is $\\boxed{5}$ in 30 minutes",
                "{\\color{red}{\\boxed{5}}}",
                "\\textcolor[rgb]{0,0,1}{\\boxed{5}}",
                "$\\boxed{5}$ or $5.0$",
                "5.0 or \\boxed{5}",
                "\\boxed{5} or 500%",
                "The answer is \\boxed{5} - a prime number.",
                "\\boxed{5} - I am sure.",
                "He works \\boxed{5} days, 8 hours a day.",
                "It takes \\boxed{5} hours and 2 people.",
                "$x = \\frac{10}{2} \\quad \\boxed{5}$",
                "\\theta = \\pi\n\n\\boxed{5}",
                "$\\boxed{5} \\quad x > 0$",
                "\\[\n\\boxed{5}\n\\]",
                "So it is \\boxed{5}! Great.",
                "Step 3: \\boxed{5}",
            ],
            [
                "$x=-\\,\\boxed{5}$",
                "$-(\\boxed{5})$",
                "$-\\left(\\boxed{5}\\right)$",
                "negative \\boxed{5}",
                "\\boxed{5} / 2",
                "\\boxed{5} 1/2",
                "\\boxed{5}½",
                "\\boxed{5} hours 30 minutes",
                "$\\sqrt{2}\\boxed{5}$",
                "\\boxed{5} or 6",
                "\\boxed5 or 6",
                "\\boxed{(3, \\boxed{5})}",
                "$\\boxed{5}\\,\\pi$",
                "$\\boxed{5} x$",
                "$\\boxed{5} + x$",
                "$x - \\boxed{5}$",
                "$\\frac{\\boxed{3}}{\\boxed{5}}$",
                "$\\boxed{3}:\\boxed{5}$",
                "6 or \\boxed{5}",
                "$(6, \\boxed{5})$",
                "$(\\boxed{5}, 3)$",
                "$\\{3, \\boxed{5}\\}$",
                "\\(x - \\boxed{5}\\)",
                "\\[2x - \\boxed{5}\\]",
                "$$2x - \\boxed{5}$$",
                "\\(\\boxed{5} x\\)",
                "$\\boxed{5}!$",
                "$\\boxed{5} \\div 2$",
                "$3:\\boxed{5}$",
                "$\\log_2 \\boxed{5}$",
                "\\boxed{5} feet and 3 inches",
            ],
        ),
    ],
}
CHOICES = ["3.2 eV", "1.6 eV", "6.4 eV", "0.8 eV"]
RAMBLING = {
    "digits and a number word": "\\boxed{" + "1" * 5000 + " million}",
    "digits and a number word, said": "The answer is " + "1" * 5000 + " million.",
    "boxes in boxes": "\\boxed{" * 5000,
    "boxes that begin": "\\boxed{5 " * 4000,
    "roots in roots": "\\boxed{" + "sqrt(" * 5000 + "}",
    "spaces": "\\boxed{5" + " " * 20000 + "x}",
    "spaces behind a marker": "#### 5" + " " * 20000 + "x",
    "brackets": "<answer>" + "(" * 20000 + "</answer>",
    "tags": "<answer>" * 4000,
    "dollars": "$" * 5000,
    "units": "The answer is 5" + " per day" * 26 + " (2).",
    "square units": "\\boxed{5" + " square m" * 26 + "?}",
    "units behind a marker": "#### 5" + " dollars per day" * 20 + "!",
    "operators and spaces": "So $" + "x-" * 50 + "y=" + " " * 8000 + "x$",
    "coordinates": "(" + "\\pi" * 26 + "\\boxed{5}x",
    "asterisks": "=**" * 3000,
    "words": "Answer: " + "word " * 1500 + "5x",
}


def cases(table):
    """Of each kind, every response with its verdict."""
    return [
        pytest.param(response, truth, float(response in right), id=f"{kind}: {response} / {truth}")
        for kind, rows in table.items()
        for truth, right, wrong in rows
        for response in [*right, *wrong]
    ]


@pytest.mark.parametrize(("answer", "truth", "verdict"), cases(BOXED))
def test_in_a_box(answer, truth, verdict):
    assert compute_score("", f"\\boxed{{{answer}}}", truth) == verdict


@pytest.mark.parametrize(("response", "truth", "verdict"), cases(IN_SENTENCES))
def test_in_sentences(response, truth, verdict):
    assert compute_score("", response, truth) == verdict


@pytest.mark.parametrize("truth", ["<answer>5</answer>", "5,", "5;", "5\\\\", '["5", 6]'])
def test_a_truth_that_ends_or_is_wrapped_like_an_answer(truth):
    assert [compute_score("", f"\\boxed{{{number}}}", truth) for number in (5, 7)] == [1.0, 0.0]


@pytest.mark.parametrize("response", list(RAMBLING.values()), ids=list(RAMBLING))
def test_a_response_that_rambles_costs_no_time_and_raises_nothing(response):
    start = time.process_time()
    assert compute_score("", response, "5") == 0.0
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(
    "response",
    [
        "\\boxed{\\text{A (and C)}}",
        "\\boxed{\\text{A, perhaps C}}",
        "Answer: A, maybe C",
        "Answer: A (or C)",
        "Answer: A\nor C",
    ],
)
def test_two_choices_are_none(response):
    assert compute_score("", response, "A", {"choices": "ABCD"}) == 0.0


@pytest.mark.parametrize(
    "response",
    [
        "The answer should be B.",
        "The answer to this question is B.",
        "The correct answer among the options is B.",
        "The answer is therefore B.",
        "<answer>The answer is B</answer>",
        "\\boxed{\\text{The answer is B}}",
        "The answer is (B), not (A)",
        "\\boxed{\\text{B) 1.6 eV}}",
        "Answer: 1.6 eV",
        "The answer is 1.6 eV.",
        "The correct answer is B. Option A is incorrect because it is too large.",
        "The answer is B because option A is too large.",
        "Answer: B\n\nExplanation: Option B is correct because the energy halves.",
        "The answer is B. The answer is clear.",
        "The correct answer is B. The answer choice A is a distractor.",
        "Answer: B (to one decimal place)",
    ],
)
def test_a_choice_as_models_say_it(response):
    assert [compute_score("", response, truth, {"choices": CHOICES}) for truth in "BA"] == [1.0, 0.0]


@pytest.mark.parametrize(
    "response",
    [
        "The answer options are:\nA) 3.2 eV\nB) 1.6 eV\n\nThe energy is 1.6 eV, which matches option B.",
        "Answer: A to C",
        "Option A is not correct.",
        "\\boxed{A" + " " * 20000 + "x}",
        "Answer: A" + "$" * 9900 + "x",
    ],
    ids=["listed", "a range", "denied", "spaces", "dollars"],
)
def test_a_list_of_choices_is_no_answer(response):
    start = time.process_time()
    assert compute_score("", response, "A", {"choices": CHOICES}) == 0.0
    assert time.process_time() - start < 1.0


def test_a_letter_with_the_text_of_another_choice_is_none():
    assert [compute_score("", "\\boxed{\\text{B) 3.2 eV}}", one, {"choices": CHOICES}) for one in "AB"] == [0.0, 0.0]
