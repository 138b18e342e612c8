"""The reward function under load, as verl's reward threads call it: its process pool, bounded in time."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

from sgrpo_verl import correctness
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
    monkeypatch.setattr(correctness, "SECONDS_PER_CHECK", seconds)
    tower = "\\boxed{9^{9^{9^{9^9}}}}"
    cases = [tower, "\\boxed{\\frac{2}{4}}", "\\boxed{(x+1)^{99999}}", "\\boxed{" + "(" * 1500 + "}"]
    started = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        scores = list(threads.map(lambda response: score(response, "\\frac{1}{2}"), cases))
    assert scores == [0.0, 1.0, 0.0, 0.0]
    assert time.monotonic() - started < 4 * seconds + 60, "without a limit it is hours; a busy machine starts slowly"
    assert score("\\boxed{\\frac{3}{6}}", "\\frac{1}{2}") == 1.0
