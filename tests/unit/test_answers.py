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
from recipes.answers import run
from sgrpo_verl.answers.notation import exact, tidy
from sgrpo_verl.answers.reading import final_answer
from sgrpo_verl.correctness import compute_score
from sgrpo_verl.errors import UserError

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


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "no such file"),
        ('{"answer": "2", "solution"', r"cannot be read as \.jsonl \(line 1 is not valid JSON"),
        ('{"solution": "2"}', "not every problem has answer; each needs both"),
        ('{"answer": "2", "solution": "2"}', "all answers are 2"),
    ],
)
def test_a_test_set_that_cannot_be_used_is_told_of_its_option_before_anything_is_judged(tmp_path, text, why):
    file = tmp_path / "math500.jsonl"
    if text is not None:
        file.write_text(text + "\n")
    with pytest.raises(UserError, match=f"^--benchmarks {file}: {why}"):
        run.main(tmp_path, tmp_path / "out", True)
    assert not (tmp_path / "out").exists()


def test_a_folder_for_the_tables_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"^--out .*/file: cannot be made a folder"):
        run.main(None, tmp_path / "file", True)


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
