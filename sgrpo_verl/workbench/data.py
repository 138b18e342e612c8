"""A toy task as verl's parquet: training prompts, and held-out problems to choose settings on and to report."""

import random
from pathlib import Path

import pandas as pd

from sgrpo_verl.workbench.task import Problem, Task


def row(task: Task, problem: Problem, index: int) -> dict:
    return {
        "data_source": task.data_source,
        "prompt": [{"role": "user", "content": problem.question}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": problem.answer},
        "extra_info": {"index": index},
    }


def write_data(
    folder: Path, task: Task, train: int = 4096, validation: int = 512, test: int = 512, seed: int = 0
) -> dict[str, Path]:
    """Write ``train.parquet``, ``validation.parquet`` and ``test.parquet``; returns the files by these names.

    No problem is in two of them, and none of the last two was in a lesson. Settings are chosen on the validation
    problems, so that what is reported on the test problems is honest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held_out = task.draw_problems(validation + test, seed=seed, held_out=True)
    random.Random(seed).shuffle(held_out)  # short problems run out, so those drawn first are shorter
    splits = {
        "train": task.draw_problems(train, seed=seed),
        "validation": held_out[:validation],
        "test": held_out[validation:],
    }
    files = {}
    for name, problems in splits.items():
        files[name] = folder / f"{name}.parquet"
        pd.DataFrame([row(task, problem, index) for index, problem in enumerate(problems)]).to_parquet(files[name])
    return files
