"""Reads the problems of a benchmark from verl's parquet, and turns their prompts into tokens."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sgrpo_verl.correctness import acceptable_answers, choices_of
from sgrpo_verl.data.records import is_training_set
from sgrpo_verl.errors import UserError


@dataclass(frozen=True)
class Problem:
    """One row of a benchmark."""

    benchmark: str  # the file's name without .parquet
    index: int  # row in the file
    messages: list[dict[str, str]]
    data_source: str
    ground_truth: str | list[str]  # several: any is right
    choices: str | list[str]  # the letters or texts of a multiple choice, else empty

    @property
    def digest(self) -> str:
        """Of its messages, by which a problem is known in two runs."""
        return hashlib.sha256(json.dumps(self.messages).encode()).hexdigest()[:16]


def read_benchmarks(data: Path, names: Sequence[str]) -> dict[str, list[Problem]]:
    """The problems of each benchmark: ``data/NAME.parquet``; where no name is given, all but the training sets.

    Raises:
        UserError: a file or one of verl's columns is missing, or a ground truth is not usable.
    """
    names = names or sorted(file.stem for file in data.glob("*.parquet") if not is_training_set(file))
    if not names:
        raise UserError(
            f"--data {data}: holds no .parquet file of a benchmark; `sgrpo data NAME --out {data}` makes one"
        )
    return {name: _read(data / f"{name}.parquet") for name in names}


def _read(file: Path) -> list[Problem]:
    if not file.is_file():
        there = ", ".join(sorted(other.stem for other in file.parent.glob("*.parquet"))) or "none"
        raise UserError(f"--benchmarks {file.stem}: there is no {file} (there: {there}); `sgrpo data` makes it")
    frame = pd.read_parquet(file)
    missing = {"prompt", "reward_model"} - set(frame.columns)
    if missing:
        raise UserError(f"{file}: no column {', '.join(sorted(missing))}; it must have verl's columns")
    return [_problem(file.stem, index, row) for index, row in enumerate(frame.to_dict("records"))]


def _problem(benchmark: str, index: int, row: dict[str, Any]) -> Problem:
    data_source = str(row.get("data_source", benchmark))
    try:
        truths = acceptable_answers(row["reward_model"]["ground_truth"], data_source)
    except ValueError as error:
        raise UserError(f"{benchmark}.parquet, row {index}: {error}") from error
    choices = (row.get("extra_info") or {}).get("choices")
    return Problem(
        benchmark=benchmark,
        index=index,
        messages=[{"role": message["role"], "content": message["content"]} for message in row["prompt"]],
        data_source=data_source,
        ground_truth=truths[0] if len(truths) == 1 else truths,
        choices=choices if isinstance(choices, str) else choices_of(choices) or "",
    )


def encode_prompt(tokenizer: Any, messages: list[dict[str, str]]) -> list[int]:
    """Token ids of a prompt, rendered by the model's own chat template."""
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False))
