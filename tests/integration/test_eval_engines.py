"""``sgrpo eval`` with two engines on the CPU: the same completions, all devices at work, and an engine that dies."""

import json
import sys
import time

import psutil
import pytest

from sgrpo_verl.files import read_lines
from sgrpo_verl.workbench import processes
from sgrpo_verl.workbench.data import write_data
from sgrpo_verl.workbench.tasks import TASKS

PROBLEMS = 48


@pytest.fixture(scope="module")
def command(reasoner, tmp_path_factory):
    """``command(folder, option, …)``: exits of sampled thoughts of the taught reasoner."""
    data = tmp_path_factory.mktemp("data")
    write_data(data, TASKS["sums"], train=8, validation=8, test=PROBLEMS)

    def of(folder, *options):
        return [
            *(sys.executable, "-m", "sgrpo_verl.cli", "eval", "--model", str(reasoner), "--data", str(data)),
            *("--benchmarks", "test", "--out", str(folder), "--dtype", "float32", "--method", "exits"),
            *("--temperature", "1", "--top-p", "1", "--max-tokens", "192", "--answer-tokens", "16", *options),
        ]

    return of


def completions(folder):
    lines = list(read_lines(folder / "completions.jsonl"))
    return sorted(lines, key=lambda line: (line["index"], line["exit_index"] or 0))


def seconds(folder):
    return sum(record["seconds"] for record in read_lines(folder / "throughput.jsonl"))


def serving(process):
    """The engines' own processes."""
    children = psutil.Process(process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_two_engines_say_what_one_says_and_the_run_goes_on_after_one_was_killed(command, tmp_path):
    processes.run(command(tmp_path / "one"), tmp_path / "log")
    two = command(tmp_path / "two", "--data-parallel-size", "2")
    slowly = [*two, "--max-num-seqs", "2"]
    said = (tmp_path / "said").open("w+")
    with processes.running(slowly, {}, stdout=said.fileno()) as process:
        deadline = time.monotonic() + 240
        while not list(read_lines(tmp_path / "two/completions.jsonl")):
            assert process.poll() is None, (tmp_path / "said").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        all_of_it = psutil.Process(process.pid).children(recursive=True)
        first, _ = serving(process)
        first.kill()
        assert process.wait(timeout=60) == 2
        _, alive = psutil.wait_procs(all_of_it, timeout=10)
        assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
    last = (tmp_path / "said").read_text().splitlines()[-1]
    assert last.startswith("sgrpo: vLLM's engine died: one of its processes was ended from outside")
    assert last.endswith("the same command resumes the run")
    kept = list(read_lines(tmp_path / "two/completions.jsonl"))
    assert 0 < len(kept) < len(completions(tmp_path / "one"))

    processes.run(two, tmp_path / "log")
    assert list(read_lines(tmp_path / "two/completions.jsonl"))[: len(kept)] == kept
    assert completions(tmp_path / "two") == completions(tmp_path / "one")
    summary = json.loads((tmp_path / "two/summary.json").read_text())["exits"]["test"]
    accuracy = [one["accuracy"] for one in summary["exits"]]
    assert len(accuracy) == 8
    assert accuracy[0] < accuracy[-1], "a taught reasoner needs some of its thought"
    assert 0 < summary["savings"]["first_right"] < 1, "and not all of it"
    assert (tmp_path / "two/exits.png").stat().st_size > 1000
