"""A stage's findings, as lines of JSON in a file, so that they survive whatever ends the stage."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Report:
    """A stage's file; every call appends one line to it."""

    file: Path
    started: float = field(default_factory=time.monotonic)

    def progress(self, text: str) -> None:
        """What is being done now."""
        self._write({"progress": text})

    def check(self, name: str, passed: bool, figure: str) -> None:
        """One thing that is right or not, and the figure that says so."""
        self._write({"check": name, "passed": bool(passed), "figure": figure})

    def error(self, name: str, error: Exception) -> None:
        """One thing that could not be done, which is a failed check; the others go on."""
        self.check(name, False, said_by(error))

    def figure(self, name: str, figure: str) -> None:
        """One thing that was measured, and is neither right nor wrong."""
        self._write({"check": name, "passed": None, "figure": figure})

    def _write(self, record: dict[str, Any]) -> None:
        seconds = round(time.monotonic() - self.started, 1)
        with self.file.open("a") as file:
            file.write(json.dumps({**record, "seconds": seconds}) + "\n")


def said_by(error: Exception) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0]}"
