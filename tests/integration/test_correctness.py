"""The reward function under load, as verl's reward threads call it: its process pool, bounded in time."""

import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sgrpo_verl.answers import checker
from tests.unit.test_correctness import score


def test_ten_thousand_random_strings_are_scored_in_bounded_time():
    """Bytes, LaTeX torn apart and put together at random, boxed or not: never an error, never long."""
    rng = random.Random(0)
    pieces = [
        "\\frac{",
        "}",
        "{",
        "\\sqrt",
        "^",
        "_",
        "(",
        "[",
        "1",
        "x",
        "\\boxed{",
        ",",
        "\\infty",
        "=",
        "\\begin{matrix}",
        "&",
    ]

    def response():
        if rng.random() < 0.5:
            return bytes(rng.randrange(256) for _ in range(rng.randint(0, 60))).decode("utf-8", "replace")
        text = "".join(rng.choice(pieces) for _ in range(rng.randint(1, 25)))
        return f"\\boxed{{{text}}}" if rng.random() < 0.5 else text

    responses = [response() for _ in range(10_000)]
    started = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        scores = list(threads.map(lambda text: score(text, "\\frac{1}{2}"), responses))
    seconds = time.monotonic() - started
    print(f"\n10,000 random responses scored in {seconds:.0f} s")
    assert set(scores) <= {0.0, 1.0}
    assert sum(scores) < 10
    assert seconds < 200


def test_a_pathological_expression_costs_its_own_score_only(monkeypatch):
    """As in verl: from several threads at once, with an ordinary check among them."""
    seconds = 2.0
    monkeypatch.setattr(checker, "SECONDS_PER_CHECK", seconds)
    tower = "\\boxed{9^{9^{9^{9^9}}}}"
    cases = [tower, "\\boxed{\\frac{2}{4}}", "\\boxed{(x+1)^{99999}}", "\\boxed{" + "(" * 1500 + "}"]
    started = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        scores = list(threads.map(lambda response: score(response, "\\frac{1}{2}"), cases))
    assert scores == [0.0, 1.0, 0.0, 0.0]
    assert time.monotonic() - started < 4 * seconds + 60, "without a limit it is hours; a busy machine starts slowly"
    assert score("\\boxed{\\frac{3}{6}}", "\\frac{1}{2}") == 1.0


CALLER = """
from sgrpo_verl.answers.checker import seen
from sgrpo_verl.correctness import compute_score
print("once")
print(compute_score("", r"\\boxed{\\sqrt{8}}", r"2\\sqrt{2}"), compute_score("", r"\\boxed{\\sqrt{8}}", r"3\\sqrt{2}"))
print(seen())
"""


@pytest.mark.parametrize("way", ["standard input", "a script without a guard", "-c", "a thread of a daemon"])
def test_it_works_whatever_the_callers_main_module_is(way, tmp_path):
    """multiprocessing would run the caller's main module again in each of its processes, where there is one to run."""
    script = tmp_path / "script.py"
    script.write_text(CALLER)
    daemon = (
        f"import threading; t = threading.Thread(target=exec, args=({CALLER!r},), daemon=True); t.start(); t.join()"
    )
    arguments = {"standard input": [], "-c": ["-c", CALLER], "a script without a guard": [str(script)]}
    done = subprocess.run(
        [sys.executable, *arguments.get(way, ["-c", daemon])],
        input=CALLER if way == "standard input" else "",
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.stdout.splitlines() == ["once", "1.0 0.0", "{'checks': 2, 'overran': 0, 'lost': 0}"], done.stderr


def test_a_checker_that_cannot_start_is_an_error_and_no_zero(tmp_path):
    (tmp_path / "sympy").mkdir()
    (tmp_path / "sympy/__init__.py").write_text("raise ImportError('sympy is broken here')")
    done = subprocess.run(
        [sys.executable, "-c", CALLER],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 1
    assert (
        "CheckerError: answers cannot be compared as mathematics: the process that does it did not start" in done.stderr
    )
    assert "sympy is broken here" in done.stderr


def test_it_works_in_a_process_with_very_many_open_files():
    """As a reward worker may be: select() refuses a descriptor of 1,024 or more."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))\n"
        "kept = [open('/dev/null') for _ in range(1100)]\n"
        f"{CALLER}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[1:2] == ["1.0 0.0"], done.stderr


def test_what_overran_and_what_was_lost_is_counted(monkeypatch):
    monkeypatch.setattr(checker, "SECONDS_PER_CHECK", 1.0)
    before = checker.seen()
    assert score("\\boxed{9^{9^{9^{9^9}}}}", "\\sqrt{2}") == 0.0
    assert checker.seen()["overran"] == before["overran"] + 1
    for dead_when_asked in (False, True):
        process = checker._Process()
        process._process.kill()
        if dead_when_asked:
            process._process.wait()
        assert process.ask("\\sqrt{2}", "\\sqrt{3}") is None
        assert process.end(), "ended by itself, not by us"
