"""Reads the problems of a benchmark from verl's parquet, and turns their prompts into tokens."""

import hashlib
import json
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sgrpo_verl.correctness import acceptable_answers, choices_of
from sgrpo_verl.data.records import is_training_set, read_parquet
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
        UserError: a file, its rows or one of verl's columns are missing, or a row cannot be asked or scored.
    """
    for name in names:
        if Path(name).name != name:
            raise UserError(f"--benchmarks {name}: must be the name of a file in --data, without a folder")
    files = sorted(data.glob("*.parquet"))
    names = names or [file.stem for file in files if not is_training_set(file)]
    if not names:
        raise UserError(
            f"--data {data}: holds no .parquet file of a benchmark; `sgrpo data NAME --out {data}` makes one"
        )
    return {name: _read(data / f"{name}.parquet") for name in names}


def _read(file: Path) -> list[Problem]:
    if not file.is_file():
        there = ", ".join(sorted(other.stem for other in file.parent.glob("*.parquet"))) or "none"
        raise UserError(f"--benchmarks {file.stem}: there is no {file} (there: {there}); `sgrpo data` makes it")
    frame = read_parquet(file)
    missing = {"prompt", "reward_model"} - set(frame.columns)
    if missing:
        raise UserError(f"{file}: no column {', '.join(sorted(missing))}; it must have verl's columns")
    if frame.empty:
        raise UserError(f"{file}: has no rows; a benchmark must have problems")
    try:
        return [_problem(file.stem, index, row) for index, row in enumerate(frame.to_dict("records"))]
    except ValueError as error:
        raise UserError(f"{file}, {error}") from error


def _problem(benchmark: str, index: int, row: dict[str, Any]) -> Problem:
    messages, reward_model, extra_info = row["prompt"], row["reward_model"], row.get("extra_info")
    if not _are_messages(messages):
        shown = reprlib.repr(messages)
        raise ValueError(
            f"row {index}: prompt {shown} must be a list of messages, each with the texts role and content"
        )
    if not isinstance(reward_model, dict) or "ground_truth" not in reward_model:
        raise ValueError(f"row {index}: reward_model {reprlib.repr(reward_model)} must be a record with a ground_truth")
    if not isinstance(extra_info, dict | None):
        raise ValueError(f"row {index}: extra_info {reprlib.repr(extra_info)} must be a record, or nothing")
    data_source = str(row.get("data_source", benchmark))
    choices = (extra_info or {}).get("choices")
    choices = choices if isinstance(choices, str) else choices_of(choices) or ""
    try:
        truths = acceptable_answers(reward_model["ground_truth"], data_source)
        acceptable_answers(truths, data_source, choices_of(choices))  # of a multiple choice: its letters, or texts
    except ValueError as error:
        raise ValueError(f"row {index}: {error}") from error
    return Problem(
        benchmark=benchmark,
        index=index,
        messages=[{"role": message["role"], "content": message["content"]} for message in messages],
        data_source=data_source,
        ground_truth=truths[0] if len(truths) == 1 else truths,
        choices=choices,
    )


def _are_messages(prompt: Any) -> bool:
    if not isinstance(prompt, list | np.ndarray) or len(prompt) == 0:
        return False
    texts = [message.get(key) for message in prompt if isinstance(message, dict) for key in ("role", "content")]
    return len(texts) == 2 * len(prompt) and all(isinstance(text, str) for text in texts)


def encode_prompt(tokenizer: Any, messages: list[dict[str, str]]) -> list[int]:
    """Token ids of a prompt, rendered by the model's own chat template."""
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False))
