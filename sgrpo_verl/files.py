"""Writes files that are either complete or absent, and reads files whose last line may be half written."""

import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sgrpo_verl.errors import UserError


def write_whole(file: Path, content: str | bytes | Callable[[Path], object]) -> Path:
    """Write a text or bytes, or let a function write to a path, beside ``file``, and then move the result into place.

    Of several writers at the same time, each writes a file of its own, and the last to end has the last word.
    """
    unfinished = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}.unfinished")
    try:
        if callable(content):
            content(unfinished)
        elif isinstance(content, bytes):
            unfinished.write_bytes(content)
        else:
            unfinished.write_text(content)
        return unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def make_folder(out: Path) -> Path:
    """Make the folder that ``--out`` names, unless it is there.

    Raises:
        UserError: it cannot be made, or not be written into.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be made a folder ({error.strerror}); give another") from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise UserError(f"--out {out}: nothing can be written into this folder; give another")
    return out


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """The records of a JSONL file, one a line; none if it does not exist. An unfinished last line is left out.

    Raises:
        UserError: another line is damaged; it names the line.
    """
    if file.exists():
        for number, line in enumerate(file.read_bytes().split(b"\n")[:-1], start=1):
            yield parsed(line, f"{file}, line {number}")


def parsed(text: bytes, where: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        UserError: ``where`` holds none, as a crash or a full disk may leave it.
    """
    try:
        record = json.loads(text.decode())
    except ValueError:
        record = None
    if not isinstance(record, dict):
        shown = repr(text[:40])[1:] + ("…" if len(text) > 40 else "")
        raise UserError(f"{where}: is damaged, no JSON object in UTF-8: {shown}; mend or remove it")
    return record
