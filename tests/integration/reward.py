"""Reward functions as users write them; a test can make the first fail for one row of a group."""

import asyncio
import itertools
import time
from typing import Any

from recipes.bench.model import compute_score as half_are_right
from sgrpo_verl.correctness import ANSWER_ALONE, BEFORE_ANSWER
from sgrpo_verl.correctness import compute_score as math_verify_score

HALF = "half of all answers are right"
FAILS = "fail on the second row"
SLEEPS = "sleep for a second"
# Ground truths that ask for what no reward function should return.
RETURNS: dict[str, Any] = {
    "NaN": float("nan"),
    "infinity": float("inf"),
    "None": None,
    "a string": "right",
    "a dict without a score": {"acc": 1.0},
    "a dict whose acc is None": {"score": 1.0, "acc": None},
}
_calls = itertools.count(1)


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    if ground_truth == FAILS and next(_calls) == 2:
        raise RuntimeError("this answer cannot be scored")
    if ground_truth == SLEEPS:
        time.sleep(1)
        return 1.0
    if ground_truth in RETURNS:
        return RETURNS[ground_truth]
    judge = half_are_right if ground_truth == HALF else math_verify_score
    score = judge(data_source, solution_str, ground_truth)
    info = extra_info or {}
    told = {"alone": bool(info.get(ANSWER_ALONE)), "before": info.get(BEFORE_ANSWER, "")}
    return {"score": 10 * score - 5, "acc": bool(score), "seen": solution_str, **told}


async def compute_score_later(data_source, solution_str, ground_truth, extra_info=None):
    """As one that asks a judge over the network does."""
    await asyncio.sleep(0.01)
    return compute_score(data_source, solution_str, ground_truth, extra_info)


def plus_or_minus_one(data_source, solution_str, ground_truth, extra_info=None):
    """As DAPO's: a plain number, and wrong is negative."""
    return 1.0 if compute_score(data_source, solution_str, ground_truth)["acc"] else -1.0
