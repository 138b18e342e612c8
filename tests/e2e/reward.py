"""A reward function that raises for one prompt in four."""

from typing import Any

from sgrpo_verl.correctness import compute_score as judge


def compute_score(data_source: str, solution_str: str, ground_truth: Any, extra_info: dict[str, Any]) -> float:
    if extra_info["index"] % 4 == 0:
        raise RuntimeError("this prompt cannot be scored")
    return judge(data_source, solution_str, ground_truth, extra_info)
