"""The lines of a run in a table: one for the run, or one for each cap of a budget."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.score import by_problem, score
from sgrpo_verl.files import read_lines


@dataclass(frozen=True)
class Line:
    """One row of the table: a run, or one cap of a budget run. Arrays have one float64 value a problem."""

    label: str
    run: str
    cap: int | None
    problems: dict[str, tuple[int, ...]]  # their indices, by benchmark
    scores: dict[str, np.ndarray]  # by benchmark
    tokens: dict[str, np.ndarray]  # response tokens, what was inserted and tried included

    def sizes(self, names: Sequence[str]) -> list[int]:
        return [len(self.scores[name]) for name in names]


def read_run(run: Path, name: str, console: Console) -> list[Line]:
    """The lines of a run: one, or one for each cap. A run that was not scored yet is scored now."""
    completions = list(read_lines(run / "completions.jsonl"))
    if not completions:
        raise UserError(f"{run}: no completions.jsonl with completions; `sgrpo eval --out {run}` makes it")
    scores = list(read_lines(run / "scores.jsonl"))
    if len(scores) != len(completions):
        score(run, console)
        scores = list(read_lines(run / "scores.jsonl"))
    groups: dict[int | None, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for completion, scored in zip(completions, scores, strict=True):
        used = completion["response_tokens"] + completion["inserted_tokens"] + completion["trial_tokens"]
        record = {"index": completion["index"], "score": scored["score"], "used": used}
        groups[completion["cap"]][completion["benchmark"]].append(record)
    return [
        Line(
            name if cap is None else f"{name} ≤ {cap}",
            name,
            cap,
            {benchmark: tuple(sorted({one["index"] for one in records})) for benchmark, records in benchmarks.items()},
            {benchmark: by_problem(records, "score") for benchmark, records in benchmarks.items()},
            {benchmark: by_problem(records, "used") for benchmark, records in benchmarks.items()},
        )
        for cap, benchmarks in sorted(groups.items(), key=lambda item: item[0] or 0)
    ]
