"""Writes files that are either complete or absent, and reads files whose last line may be half written."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def write_whole(file: Path, content: str | Callable[[Path], object]) -> Path:
    """Write a text, or let a function write to a path, beside ``file``, and then move the result into place."""
    unfinished = file.with_name(f".{file.name}.unfinished")
    if callable(content):
        content(unfinished)
    else:
        unfinished.write_text(content)
    return unfinished.replace(file)


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """The records of a JSONL file; none if it does not exist. An unfinished last line is left out."""
    if file.exists():
        for line in file.read_text().split("\n")[:-1]:
            yield json.loads(line)
