"""The math-verify reward function: what is right, what is wrong, and never an error."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgrpo_verl.correctness import ANSWER_ALONE, BEFORE_ANSWER, compute_score, final_answer, final_choice
from tests.conftest import benchmark_file


def score(response, truth):
    return compute_score("test", response, truth)


def test_an_answer_alone_counts_whole_whatever_tags_are_in_it():
    """As S-GRPO passes it: the tag that closed the thought came before it."""
    answer = "The answer is \\boxed{5}.\n</think>"
    assert compute_score("test", answer, "5", {ANSWER_ALONE: True}) == 1.0
    assert compute_score("test", answer, "5", {}) == 0.0, "a whole response, in which the box is in the thought"
    letters = {"choices": "ABCD", ANSWER_ALONE: True}
    assert compute_score("test", "B\n</thought>", "B", letters, think_end="</thought>") == 1.0


@pytest.mark.parametrize(
    ("response", "truth"),
    [
        ("\\boxed{42}", "42"),
        ("first \\boxed{1}, no: \\boxed{42}", "42"),
        ("\\boxed{\\frac{1}{2}}", "0.5"),
        ("\\boxed{\\dfrac{1}{\\sqrt{2}}}", "\\frac{\\sqrt{2}}{2}"),
        ("\\boxed{1,600}", "1600"),
        ("\\boxed{042}", "42"),
        ("\\boxed{\\textbf{(042)}}", "42"),
        ("\\boxed{\\text{Evelyn}}", "\\text{Evelyn}"),
        ("\\boxed{(1, 2)}", "(1,2)"),
        ("x = 3 so 5 * 8 = 40\n#### 40", "40"),
        ("She pays 3 * 4 = $12 for 2 days.", "12"),
        ("I think of \\boxed{7}.</think>\n\nIt is \\boxed{8}", "8"),
        ("\\boxed{12\\text{ cm}}", "12"),
        ("\\boxed{12\\text{ cm}^2}", "12"),
        ("\\boxed{12\\,\\mathrm{m/s}}", "12"),
        ("\\boxed{\\$18}", "18"),
        ("\\boxed{40\\%}", "40"),
        ("\\boxed{40\\%}", "40\\%"),
        ("\\boxed{90^\\circ}", "90"),
        ("\\boxed{1{,}234{,}567}", "1234567"),
        ("\\boxed{70,000}", "70000"),
        ("\\boxed{-\\frac{3}{4}}", "-0.75"),
        ("\\boxed{2.50}", "2.5"),
        ("\\boxed{\\frac{2}{6}}", "\\frac{1}{3}"),
        ("\\boxed{[1, 3)}", "[1,3)"),
        ("\\boxed{(-\\infty, 2] \\cup [3, \\infty)}", "(-\\infty,2]\\cup[3,\\infty)"),
        ("\\boxed{\\{3, 1, 2\\}}", "\\{1,2,3\\}"),
        ("\\boxed{\\left( 3, \\frac{\\pi}{2} \\right)}", "(3, \\pi/2)"),
        ("\\boxed{\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}}", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}"),
        ("\\boxed{\\text{Friday}}", "Friday"),
        ("\\boxed{x = 5}", "5"),
        ("\\boxed{2x + 3}", "3 + 2x"),
    ],
)
def test_right(response, truth):
    assert score(response, truth) == 1.0


@pytest.mark.parametrize(
    ("response", "truth"),
    [
        ("\\boxed{41}", "42"),
        ("", "42"),
        ("   \n", "42"),
        ("\\boxed{}", "42"),
        ("\\boxed{42", "42"),  # cut in half
        ("The answer is \\boxed{42}</think>\n\nI do not know.", "42"),  # only in the thought
        ("\\boxed{4}2", "42"),
        ("\\boxed{\\sin 30 \\text{ degrees}}", "\\sin 30"),
        ("\\boxed{[1, 3]}", "[1,3)"),
        ("\\boxed{(2, 1)}", "(1,2)"),
        ("\\boxed{\\{1, 2\\}}", "\\{1,2,3\\}"),
        ("\\boxed{\\begin{pmatrix} 1 & 2 \\\\ 3 & 5 \\end{pmatrix}}", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}"),
        ("\\boxed{\\text{Monday}}", "Friday"),
        ("\\boxed{0.33}", "\\frac{1}{3}"),
        ("\\boxed{1,5}", "15"),
        ("\\boxed{(1,234)}", "1234"),
        ("\\boxed{\\frac{1}{2", "0.5"),
        (None, "42"),
    ],
)
def test_wrong(response, truth):
    assert score(response, truth) == 0.0


def test_braces_are_balanced():
    assert final_answer("so \\boxed{\\frac{1}{\\sqrt{2}}} and on") == "\\frac{1}{\\sqrt{2}}"


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_scored(text):
    assert score(text, "42") in (0.0, 1.0)


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("\\boxed{B}", "B"),
        ("\\boxed{\\text{C) 3 m}}", "C"),
        ("\\boxed{(D)}", "D"),
        ("\\boxed{A} no, \\boxed{b}", "B"),
        ("The answer is **A**.", "A"),
        ("Answer: (B) because of A", "B"),
        ("So it must be\nC.", "C"),
        ("It is \\boxed{A}</think>\n\nThe answer is D.", "D"),
        ("\\boxed{A}</think>\n\nI do not know.", None),
        ("the answer is a dog", None),
        ("\\boxed{42}", None),
        ("\\boxed{Because}", None),
        ("\\boxed{B", None),
        ("", None),
    ],
)
def test_choices(response, letter):
    assert final_choice(response.rsplit("</think>", 1)[-1], "ABCD") == letter
    for truth in "ABCD":
        assert compute_score("", response, truth, {"choices": "ABCD"}) == float(truth == letter)


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("Answer: A, C", None),
        ("\\boxed{A,B,C,D}", None),
        ("Area: \\boxed{A = \\pi r^2}", None),
        ("Answer: $B$", "B"),
        ("The correct option is D.", "D"),
        ("the answer is option C", "C"),
        ("\\boxed{42}\nAnswer: C", "C"),
        ("\\boxed{A}, \\boxed{B}", None),
        ("Either \\boxed{A} or \\boxed{C}", None),
        ("\\boxed{A \\text{ or } C}", None),
        ("\\boxed{A/C}", None),
        ("\\boxed{A and C}", None),
        ("\\boxed{AC}", None),
        ("\\boxed{A\\&C}", None),
        ("\\boxed{A; C}", None),
        ("\\boxed{\\text{A}}", "A"),
        ("\\boxed{\\text{(A)}}", "A"),
        ("\\boxed{\\mathrm{B}}", "B"),
        ("\\boxed{$B$}", "B"),
        ("\\boxed{\\textbf{(C) } 5}", "C"),
        ("\\boxed{\\textbf{(C)}\\ 5}", "C"),
        ("\\boxed{C(x)}", None),
        ("\\boxed{B: 5 m}", "B"),
        ("\\boxed{B. 5}", "B"),
        ("\\boxed{A+B}", None),
        ("\\boxed{A^2}", None),
        ("\\boxed{2A}", None),
        ("\\boxed{A_1}", None),
        ("\\boxed{B'}", None),
        ("\\boxed{A\\cup B}", None),
        ("\\boxed{A>B}", None),
        ("\\boxed{A \\neq B}", None),
        ("The answer is A or B.", None),
        ("The answer is A and B.", None),
        ("The answer is either A or B.", None),
        ("The answer is not A.", None),
        ("The answer is neither A nor B.", None),
        ("The answer is (A).", "A"),
        ("The answer is **(A)**.", "A"),
        ("The answer is (A) 5 m.", "A"),
        ("The answer is A because B is wrong.", "A"),
        ("Answer: A. B is wrong.", "A"),
        ("Answer: A\nB", "A"),
        ("Answer: A (not B)", "A"),
        ("Answer: A not B", None),
        ("Answer: A, since B is wrong", "A"),
        ("The correct answer is choice B.", "B"),
        ("The best option is B", "B"),
        ("Option B is correct.", None),
        ("The correct choice is (D)", "D"),
        ("The answer is Because", None),
        ("The answer is a dog", None),
        ("I choose C", None),
        ("<answer>C</answer>", "C"),
        ("<answer>A, C</answer>", None),
        ("<answer>(C)</answer>", "C"),
        ("Answer: \\boxed{}\nAnswer: B", "B"),
        ("\\boxed{x=3}. The correct option is B.", "B"),
        ("The answer is A.\n\nAnswer: B", "B"),
        ("Answer: `B`", "B"),
        ("Answer: \\(B\\)", "B"),
        ("Answer: B) 5", "B"),
        ("**Answer: B**", "B"),
        ("**Answer**: B", "B"),
        ("Answer is: B", "B"),
        ("Answer:\nB", "B"),
        ("C", "C"),
        ("(C)", "C"),
        ("C, D", None),
        ("The answer is all of A, B, C, D.", None),
        ("Answer: A = 5", None),
        ("Answer: A is correct", "A"),
        ("Answer: A or maybe B", None),
        ("answer: b", None),
        ("\\boxed{c}", "C"),
        ("\\boxed{a or c}", None),
        ("\\boxed{A} is not right, \\boxed{B}", "B"),
        ("The final answer is $\\boxed{B}$.", "B"),
        ("\\boxed{B}\nAnswer: C", "B"),
        ("Answer: A B", None),
        ("Answer: E", None),
        ("The correct options are A and C", None),
        ("The answers are A, B", None),
        ("Answer: A & C", None),
        ("Answer: none", None),
        ("Answer: All of the above", None),
        ("Answer: A–C", None),
        ("Answer: A-C", None),
        ("Answer: A through C", None),
        ("Answer: (A), (C)", None),
        ("Answer: (A) (C)", None),
        ("Answer: $A$, $C$", None),
        ("Answer: $A$ or $C$", None),
        ("Answer: A?", None),
    ],
)
def test_one_choice_and_no_hedge(response, letter):
    assert final_choice(response, list("ABCD")) == letter


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("\\boxed{\\text{A proton}}", None),
        ("\\boxed{\\text{a proton}}", None),
        ("\\boxed{a decrease in pressure}", None),
        ("\\boxed{\\text{d orbitals}}", None),
        ("\\boxed{\\mathrm{C}_6\\mathrm{H}_6}", None),
        ("\\boxed{\\text{C}_6}", None),
        ("\\boxed{\\text{C}^{14}}", None),
        ("\\boxed{\\text{a.m.}}", None),
        ("\\boxed{A:B}", None),
        ("\\boxed{\\text{Answer: a proton}}", None),
        ("\\boxed{C is constant}", None),
        ("<answer>A proton</answer>", None),
        ("The answer is A proton.", None),
        ("Answer: D orbitals", None),
        ("\\boxed{\\text{B) a proton}}", "B"),
        ("\\boxed{\\text{(B) A proton}}", "B"),
        ("\\boxed{\\text{B. a proton}}", "B"),
        ("\\boxed{\\text{B: proton}}", "B"),
        ("\\boxed{\\text{Option B}}", "B"),
        ("\\boxed{\\textbf{(C) } \\frac{1}{2}}", "C"),
        ("\\boxed{(C) -5}", "C"),
        ("\\boxed{C\\sqrt{2}}", None),
        ("\\boxed{(A) \\cup (B)}", None),
        ("\\boxed{(C) - 5}", None),
        ("\\boxed{\\text{Answer: C}}", "C"),
        ("\\boxed{\\textrm{C}}", "C"),
        ("\\boxed{\\textsf{(C)}}", "C"),
        ("\\boxed{\\text{C is correct}}", "C"),
        ("<answer>B. a proton</answer>", "B"),
        ("The answer is D due to symmetry.", "D"),
        ("#### C", "C"),
        ("#### C, D", None),
    ],
)
def test_a_letter_that_begins_a_phrase_is_no_choice(response, letter):
    assert final_choice(response, list("ABCD")) == letter


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("\\boxed{\\text{a proton}}", "B"),
        ("\\boxed{A proton}", "B"),
        ("\\boxed{\\text{a photon}}", "D"),
        ("<answer>a neutron</answer>", "C"),
        ("\\boxed{\\text{B) a proton}}", "B"),
        ("\\boxed{A}", "A"),
        ("\\boxed{\\text{a muon}}", None),
    ],
)
def test_a_choices_text_that_begins_with_a_letter(response, letter):
    choices = ["an electron", "a proton", "a neutron", "a photon"]
    assert final_choice(response, choices) == letter
    for truth, text in zip("ABCD", choices, strict=True):
        assert compute_score("", response, text, {"choices": choices}) == float(truth == letter)


def test_a_letter_that_is_also_another_choices_text_is_none():
    assert final_choice("\\boxed{B}", ["B", "A", "neither"]) is None
    assert final_choice("\\boxed{B}", ["A", "B", "neither"]) == "B"


def test_without_a_closing_tag_the_whole_response_counts():
    assert compute_score("", "\\boxed{1}</think> or so", "1") == 0.0
    assert compute_score("", "\\boxed{1}</think> or so", "1", think_end="") == 1.0


def test_a_closing_phrase_that_opens_the_answer_is_a_part_of_it():
    """A response without the phrase has no answer, as in ``sgrpo eval`` and in a serial group."""
    box = {"think_end": "\\boxed{"}
    assert compute_score("", "So it is 6. \\(\\boxed{5}\\)", "5", **box) == 1.0
    assert compute_score("", "\\boxed{6}, no: \\boxed{5}", "5", **box) == 1.0
    assert compute_score("", "The answer is 5.", "5", **box) == 0.0
    assert compute_score("", "5", "5", {ANSWER_ALONE: True}, think_end="<answer>") == 1.0, "where a prompt ends in it"


@pytest.mark.parametrize("phrase", ["Final answer:", "**Answer:**", "####", "Therefore", "最终答案：", "Answer: $"])
def test_a_closing_phrase_without_brackets_is_a_part_of_the_answer_too(phrase):
    closing = "$" if phrase.endswith("$") else ""
    assert compute_score("", f"It is 6. {phrase} 5{closing}", "5", think_end=phrase) == 1.0
    assert compute_score("", f"{phrase} 5{closing}", "5", {ANSWER_ALONE: True}, think_end=phrase) == 1.0
    assert compute_score("", "It is 5.", "5", think_end=phrase) == 0.0


@pytest.mark.parametrize(
    ("response", "part"),
    [
        ("So x = -\\boxed{6}", True),
        ("\\frac{\\boxed{6}}{4}", True),
        ("\\sqrt{\\boxed{6}}", True),
        ("10^{\\boxed{6}}", True),
        ("the answer is not $\\boxed{6}$", True),
        ("4 or \\boxed{6}", True),
        ("So $x = \\boxed{6}$.", False),
        ("That is \\(\\boxed{6}\\).", False),
    ],
)
def test_what_stands_before_a_box_counts_although_the_box_closes_the_thought(response, part):
    """In a whole response, and in an answer that comes with the end of its thought."""
    assert compute_score("", response, "6") == float(not part)
    assert compute_score("", response, "6", think_end="\\boxed{") == float(not part)
    thought, phrase, rest = response.partition("\\boxed{")
    told = {ANSWER_ALONE: True, BEFORE_ANSWER: thought}
    assert compute_score("", phrase + rest, "6", told, think_end="\\boxed{") == float(not part)
    assert compute_score("", phrase + rest, "6", told) == float(not part), "without being told the phrase"


def test_what_stands_before_the_answer_is_no_answer():
    told = {ANSWER_ALONE: True, BEFORE_ANSWER: "The answer is 6. \\fbox{6} "}
    for answer in ("\\boxed{}", "\\boxed{7}", "\\boxed{", ""):
        assert compute_score("", answer, "6", told, think_end="\\boxed{") == compute_score("", answer, "6", told) == 0.0


@pytest.mark.parametrize("tag", ["answer", "response", "final", "final_answer", "solution", "Output", "CONCLUSION"])
def test_a_tag_around_an_answer_is_no_part_of_it(tag):
    for answer in ("18", "\n18\n", "$18$", "The answer is 18."):
        for whole in (f"<{tag}>{answer}</{tag}>", f"<{tag}>{answer}", f"{answer}</{tag}>"):
            assert compute_score("", f"So it is 17.</think>\n{whole}", "18") == 1.0
            assert compute_score("", f"So it is 17.\n<{tag}>{answer}</{tag}>", "18", think_end=f"<{tag}>") == 1.0


@pytest.mark.parametrize("think_end", ["\\\\boxed{", "\boxed{"])
def test_a_closing_phrase_that_came_otherwise_is_an_error(think_end):
    with pytest.raises(ValueError, match=r"^think_end='\\(\\|x08).* holds "):
        compute_score("", "\\boxed{6}", "6", think_end=think_end)


@pytest.mark.parametrize("truth", ['["3", "4"]', '["4","3"]', ' ["3","4"]'])
def test_a_json_list_of_texts_is_a_list_of_truths(truth):
    """As Skywork-OR1 has them; the interval [3, 4] is none."""
    for answer, right in (("3", 1), ("4", 1), ("[3,4]", 0), ("3,4", 0)):
        assert compute_score("", f"\\boxed{{{answer}}}", truth) == right
    assert compute_score("", "\\boxed{[3,4]}", "[3, 4]") == 1.0
    assert compute_score("", "\\boxed{3}", "[3, 4]") == 0.0


def benchmark_rows(name):
    return [json.loads(line) for line in benchmark_file(name).read_text().splitlines()]


def swapped(rows):
    """Each row's solution with the answer of another problem that has a different one."""
    rng = random.Random(0)
    for row in rows:
        other = rng.choice(rows)
        if other["answer"] != row["answer"]:
            yield row["solution"], other["answer"]


def test_math500():
    rows = benchmark_rows("math500.jsonl")
    assert len(rows) == 250
    assert all(score(row["solution"], row["answer"]) == 1.0 for row in rows)
    assert not any(score(solution, answer) for solution, answer in swapped(rows))


def test_aime24():
    """Answers are written out in prose, boxed, in an answer sheet's form, and signed by their authors."""
    rows = benchmark_rows("aime24.jsonl")
    assert len(rows) == 30
    assert all(score(row["solution"], row["answer"]) == 1.0 for row in rows)
    assert not any(score(solution, answer) for solution, answer in swapped(rows))


def test_gsm8k_as_the_hub_has_it():
    """There a solution ends in ``#### answer``; the benchmark file holds the two apart."""
    rows = benchmark_rows("gsm8k_test.jsonl")
    assert len(rows) == 1000
    rows = [{**row, "solution": f"{row['solution']}\n#### {row['answer']}"} for row in rows]
    assert all(score(row["solution"], row["answer"]) == 1.0 for row in rows)
    assert not any(score(solution, answer) for solution, answer in swapped(rows))


def test_gsm8k_without_the_marker():
    """Prose alone: six solutions of a thousand end on another figure (rounded, in other units, a number in words)."""
    rows = benchmark_rows("gsm8k_test.jsonl")
    missed = [row["answer"] for row in rows if score(row["solution"], row["answer"]) != 1.0]
    assert missed == ["33", "25", "3", "10", "4", "7"]
    assert not any(score(solution, answer) for solution, answer in swapped(rows))
