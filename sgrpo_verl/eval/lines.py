"""The lines of a run in a table: one for the run, or one for each cap of a budget."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.folder import KEYS, read_completions, unfinished
from sgrpo_verl.eval.score import by_problem, is_scored, score
from sgrpo_verl.files import read_lines


@dataclass(frozen=True)
class Asked:
    """A problem as two runs know it, and its samples."""

    index: int
    truth: str  # ground truth and choices
    samples: tuple[int, ...]
    prompt: str | None  # a digest; None in a run of a version that did not keep one

    def same_problem(self, other: "Asked") -> bool:
        prompts = {self.prompt, other.prompt} - {None}
        return (self.index, self.truth) == (other.index, other.truth) and len(prompts) < 2


@dataclass(frozen=True)
class Line:
    """One row of the table: a run, or one cap of a budget run. Arrays have one float64 value a problem."""

    label: str
    run: str
    cap: int | None
    problems: dict[str, tuple[Asked, ...]]  # by benchmark, in the order of their indices
    scores: dict[str, np.ndarray]  # by benchmark
    tokens: dict[str, np.ndarray]  # response tokens, what was inserted and tried included

    def sizes(self, names: Sequence[str]) -> list[int]:
        return [len(self.scores[name]) for name in names]


def read_run(run: Path, name: str, console: Console) -> list[Line]:
    """The lines of a run: one, or one for each cap. A run without scores of what it holds now is scored.

    Raises:
        UserError: no completions, or a run that is not finished.
    """
    completions = read_completions(run)
    if lacks := unfinished(run):
        raise UserError(f"{run} is not finished: {lacks}. The same `sgrpo eval` goes on with it")
    scores = list(read_lines(run / "scores.jsonl"))
    if not is_scored(run) or [_key(one) for one in scores] != [_key(one) for one in completions]:
        if scores:
            text = f"{run}: its scores are of other completions or of another version; it is scored again"
            console.print(text, soft_wrap=True, markup=False)
        score(run, console)
        scores = list(read_lines(run / "scores.jsonl"))
    groups: dict[int | None, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for completion, scored in zip(completions, scores, strict=True):
        if completion.get("exit_index") is not None:
            continue  # an early exit of the method exits; the run's own line is of its full responses
        used = completion["response_tokens"] + completion["inserted_tokens"] + completion["trial_tokens"]
        groups[completion["cap"]][completion["benchmark"]].append(
            {**completion, "score": scored["score"], "used": used}
        )
    return [
        Line(
            name if cap is None else f"{name} ≤ {cap}",
            name,
            cap,
            {benchmark: _asked(records) for benchmark, records in benchmarks.items()},
            {benchmark: by_problem(records, "score") for benchmark, records in benchmarks.items()},
            {benchmark: by_problem(records, "used") for benchmark, records in benchmarks.items()},
        )
        for cap, benchmarks in sorted(groups.items(), key=lambda item: item[0] or 0)
    ]


def _key(record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record.get(key) for key in KEYS)


def _asked(records: Sequence[dict[str, Any]]) -> tuple[Asked, ...]:
    problems: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        problems[record["index"]].append(record)
    return tuple(
        Asked(
            index,
            json.dumps([same[0]["ground_truth"], same[0]["choices"]]),
            tuple(sorted(record["sample"] for record in same)),
            same[0].get("prompt"),
        )
        for index, same in sorted(problems.items())
    )
