"""What early exits of untrained models say: figures, and what of a run of theirs others read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from sgrpo_verl import cli
from sgrpo_verl.eval.exits import by_share, savings
from sgrpo_verl.eval.lines import read_run
from sgrpo_verl.eval.report import print_summary
from sgrpo_verl.eval.score import score
from tests.unit.test_eval import completion, write

CONSOLE = Console(quiet=True)


def sample(right, index=0, thought=100, answer=10):
    """Exits at even distances and the full response, which are right or not."""
    count = len(right) - 1
    rows = [
        {
            "index": index,
            "sample": 0,
            "exit_index": number,
            "thought_tokens": number * thought // count,
            "of_thought": thought,
            "response_tokens": number * thought // count + answer,
        }
        for number in range(1, count + 1)
    ]
    full = {**rows[-1], "exit_index": None, "response_tokens": thought + 1 + answer}
    return [{**row, "score": float(one)} for row, one in zip([*rows, full], right, strict=True)]


def test_what_comes_after_the_first_right_answer_is_redundant():
    found = savings(sample([False, True, False, True, True]))
    assert found == {
        "ever_right": 1,
        "first_right": 0.5,
        "stays_right": 1.0,
        "tokens": 111,
        "tokens_first_right": 60,
        "tokens_stays_right": 110,
    }


def test_samples_that_are_never_right_save_nothing_and_are_not_in_the_share():
    found = savings([*sample([False] * 5), *sample([True] * 5, index=1)])
    assert (found["ever_right"], found["first_right"], found["stays_right"]) == (0.5, 0.25, 0.25)
    assert found["tokens_first_right"] == found["tokens_stays_right"] == (111 + 35) / 2
    assert savings(sample([False] * 5))["first_right"] is None


def test_an_answer_that_is_longer_than_what_it_saves_saves_nothing():
    rows = sample([False, False, False, True, True])
    rows[3]["response_tokens"] = 500
    assert savings(rows)["tokens_first_right"] == 111


@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=8))
def test_first_is_never_later_than_for_good(groups):
    rows = [row for index, right in enumerate(groups) for row in sample(right, index)]
    found = savings(rows)
    assert found["tokens_first_right"] <= found["tokens_stays_right"] <= found["tokens"]
    assert (found["first_right"] is None) == (found["ever_right"] == 0)
    assert (found["stays_right"] is None) == (not any(right[-1] for right in groups))
    accuracy = [one["accuracy"] for one in by_share(rows)]
    assert accuracy == [sum(column) / len(groups) for column in list(zip(*groups, strict=True))[:-1]]
    assert [one["share"] for one in by_share(rows)] == [0.25, 0.5, 0.75, 1.0]


@pytest.fixture
def run(tmp_path):
    """Two problems with two exits each: the first is right from the second exit on, the other only at the end."""
    rows = []
    for index, right in enumerate([(False, True, True), (False, False, True)]):
        for number, one in enumerate(right):
            answer = "\\boxed{1}" if one else "\\boxed{2}"
            exit_index = number + 1 if number < 2 else None
            more = {"thought_tokens": 5 * min(number + 1, 2), "of_thought": 10, "exit_index": exit_index}
            rows.append({**completion(index, answer, tokens=20 + number), **more})
    return write(tmp_path / "run", rows)


def test_the_summary_of_a_run_is_of_its_full_responses_and_says_what_could_be_saved(run):
    summary = score(run, CONSOLE)
    [row] = summary["rows"]
    assert (row["benchmarks"]["b"]["accuracy"], row["benchmarks"]["b"]["response_tokens"]) == (1.0, 22)
    found = summary["exits"]["b"]
    assert [one["accuracy"] for one in found["exits"]] == [0.0, 0.5]
    assert found["savings"]["first_right"] == 1.0
    assert summary["exits"] == json.loads((run / "summary.json").read_text())["exits"]
    with (run / "shown").open("w") as file:
        print_summary(summary, Console(file=file, width=200))
    shown = " ".join((run / "shown").read_text().split())
    assert "100% of the thought" in shown
    assert "a response that is never right counts in full" in shown


def test_compared_with_others_it_is_its_full_responses(run):
    [line] = read_run(run, "run", CONSOLE)
    assert line.scores["b"].tolist() == [1.0, 1.0]
    assert line.tokens["b"].tolist() == [22, 22]


def test_scoring_a_run_again_draws_its_plot_again(run):
    result = CliRunner().invoke(cli.app, ["score", str(run)])
    assert "exits.png, run.json," in result.output
    assert (run / "exits.png").stat().st_size > 1000
