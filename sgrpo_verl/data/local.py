"""Rows of a local file, every number as it is written there: JSONL (also gzipped), JSON, parquet or CSV."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sgrpo_verl.errors import UserError

Row = dict[str, Any]
SHOWN = 60  # characters of a broken line


class Digits(str):
    """A number with a fraction or an exponent, as JSON has it written."""


def read_file(path: Path, option: str = "--from") -> list[Row]:
    """Every row of a file, as a dict of its columns.

    Numbers of JSON and CSV keep their digits: whole numbers are Python's, others are texts.

    Args:
        path: its ending says what it is.
        option: named in errors.

    Raises:
        UserError: no such file, an ending that is not known, an empty file, or a line that cannot be read.
    """
    if not path.is_file():
        raise UserError(f"{option} {path}: {'it must be a file' if path.exists() else 'no such file'}")
    readers: dict[str, Callable[[Path], Iterator[Row]]] = {
        ".jsonl": _jsonl,
        ".jsonl.gz": _jsonl,
        ".json": _json,
        ".parquet": _parquet,
        ".csv": _csv,
    }
    ending = next((ending for ending in readers if path.name.endswith(ending)), None)
    if ending is None:
        raise UserError(f"{option} {path}: must be one of {', '.join(readers)}")
    try:
        rows = list(readers[ending](path))
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{option} {path}: cannot be read as {ending} ({error})") from error
    if not rows:
        raise UserError(f"{option} {path}: the file is empty")
    return rows


def _jsonl(path: Path) -> Iterator[Row]:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _object(line, f"line {number}")


def _json(path: Path) -> Iterator[Row]:
    text = path.read_text(encoding="utf-8-sig")
    if not text.strip():
        return
    rows = _parsed(text, "the file")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it must hold one array of objects: [{…}, {…}]")
    yield from rows


def _object(line: str, where: str) -> Row:
    row = _parsed(line, where)
    if not isinstance(row, dict):
        raise ValueError(f"{where} is not an object, {{…}}: {line.strip()[:SHOWN]}")
    return row


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_float=Digits, parse_constant=lambda name: None)  # NaN is an empty cell
    except json.JSONDecodeError as error:
        lines = text.splitlines()
        line = lines[min(error.lineno, len(lines)) - 1] if lines else ""
        within = f", line {error.lineno}" if len(lines) > 1 else ""
        raise ValueError(f"{where}{within} is not valid JSON ({error.msg}): {line.strip()[:SHOWN]}") from error


def _parquet(path: Path) -> Iterator[Row]:
    frame = pd.read_parquet(path)
    for name in frame.select_dtypes(["float16", "float32"]):  # as they are written, and not as Python's longer floats
        frame[name] = [None if pd.isna(value) else float(str(value)) for value in frame[name].to_numpy()]
    return iter([{name: _cell(value) for name, value in row.items()} for row in frame.to_dict("records")])


def _csv(path: Path) -> Iterator[Row]:
    if not path.read_text(encoding="utf-8-sig").strip():
        return iter(())
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    if not isinstance(frame.index, pd.RangeIndex):  # pandas has taken the cells that are too many for row labels
        raise ValueError("there are more cells in its rows than in its header: quote the cells that hold a comma")
    return iter(frame.to_dict("records"))


def _cell(value: Any) -> Any:
    """A cell of parquet: lists as lists, what is missing as None."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return None if pd.api.types.is_scalar(value) and pd.isna(value) else value
