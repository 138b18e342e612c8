"""The stories as verl's parquet: training prompts, test problems of the families taught, and of those held out."""

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from recipes.language.stories import HELD_OUT, TAUGHT, Family, draw_stories
from sgrpo_verl.data.local import read_file
from sgrpo_verl.errors import UserError

TRAIN, TEST, HELD_OUT_TEST = 2048, 512, 192
LARGE = 0.05  # of the events' numbers are from 12 to 19, of which no lesson has one: the model's own errors
TRAIN_SEED, TEST_SEED = 1, 2  # the lessons are drawn with the teaching's own
EASIEST_SET, EASIEST = "gsm8k_easiest", 64  # of GSM8K: those with the fewest calculations


def write_data(folder: Path, benchmarks: str) -> list[str]:
    """Write ``train.parquet`` and the test sets; returns the names of the test sets.

    No problem of a test set is in a lesson or among the training prompts.

    Args:
        folder: made if it is not there.
        benchmarks: folder of ``gsm8k_test.jsonl``, whose easiest problems become a test set, too; empty: none.

    Raises:
        UserError: there is no such file, it cannot be read, or other problems of it are in ``folder`` already.
    """
    easiest = {EASIEST_SET: _easiest(Path(benchmarks, "gsm8k_test.jsonl"), folder)} if benchmarks else {}
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "train.parquet", _stories(TAUGHT, TRAIN, TRAIN_SEED, test=False))
    sets = {"test": _stories(TAUGHT, TEST, TEST_SEED, test=True)}
    sets["held_out"] = _stories(HELD_OUT, HELD_OUT_TEST, TEST_SEED, test=True)
    sets |= easiest
    for name, rows in sets.items():
        _write(folder / f"{name}.parquet", rows)
    return list(sets)


def _stories(families: Mapping[str, Family], count: int, seed: int, test: bool) -> list[tuple[str, str, str]]:
    stories = draw_stories(families, count, seed, test, LARGE)
    return [(f"stories/{story.family}", story.question, str(story.answer)) for story in stories]


def _easiest(file: Path, folder: Path) -> list[tuple[str, str, str]]:
    """GSM8K's solutions mark each calculation with <<…>>; where a file has none, their lines count."""

    def calculations(problem: dict) -> tuple[int, int]:
        solution = problem.get("solution", "")
        return len(re.findall("<<.*?>>", solution)) or len(solution.splitlines()), len(problem["problem"])

    problems = read_file(file, "--benchmarks")
    if missing := [name for name in ("problem", "answer") if any(name not in one for one in problems)]:
        raise UserError(f"{file}: not every problem has {' and '.join(missing)}; each needs problem and answer")
    easiest = sorted(problems, key=calculations)[:EASIEST]
    kept = folder / f"{EASIEST_SET}.parquet"
    if kept.exists() and _questions(kept) != [problem["problem"] for problem in easiest]:
        raise UserError(f"--benchmarks {file.parent}: {kept} has other problems; give those, or another --out")
    return [("gsm8k", problem["problem"], str(problem["answer"])) for problem in easiest]


def _questions(file: Path) -> list[str]:
    return [prompt[-1]["content"] for prompt in pd.read_parquet(file)["prompt"]]


def _write(file: Path, rows: list[tuple[str, str, str]]) -> None:
    pd.DataFrame(
        {
            "data_source": source,
            "prompt": [{"role": "user", "content": question}],
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": answer},
            "extra_info": {"index": index},
        }
        for index, (source, question, answer) in enumerate(rows)
    ).to_parquet(file)
