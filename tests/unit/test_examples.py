"""The examples in what they say: one line between GRPO and S-GRPO, and parts of your own. tests/e2e runs them whole."""

import difflib
import importlib.util

from tests.conftest import ROOT

EXAMPLES = ROOT / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / "your_own" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_from_grpo_to_sgrpo_is_one_line():
    before, after = ((EXAMPLES / name).read_text().splitlines() for name in ("grpo.sh", "sgrpo.sh"))
    changed = [line for line in difflib.unified_diff(before, after, n=0, lineterm="") if line[0] in "+-"][2:]
    assert [line for line in changed if not line[1:].startswith("#")] == [
        "-  algorithm.adv_estimator=grpo \\",
        "+  algorithm.adv_estimator=sgrpo \\",
    ]


def test_the_reward_of_your_own():
    score = load("reward").compute_score
    assert score("", "so 3.0 m, that is 299.5 cm", "300") == {"score": 1.0, "acc": True, "numbers": 2}
    assert score("", "295", "300")["acc"] is False
    assert score("", "no idea", "300") == {"score": 0.0, "acc": False, "numbers": 0}


def test_the_schedule_of_your_own():
    assert load("schedule").harmonic([False, True, False, True, True], 2.0) == [0, 1, 0, 1 / 2, 1 / 3]
