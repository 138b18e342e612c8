"""Finds out why vLLM's engine did not start, or died, from what its processes wrote.

vLLM runs its engine and workers in processes of their own. When one of them fails, the caller only learns "See root
cause above". The cause is in a log, above a hundred lines of what followed from it.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

# A line's sender, "(EngineCore pid=7)" or "[rank0]:"; vLLM's "ERROR 11-25 21:42:37 [core.py:1346]"; terminal colours.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SENDER = re.compile(r"^(?:(?:\([^()]*\)|\[rank\d+\]:) ?)*")
_LOGGED = re.compile(r"^(?:ERROR|CRITICAL) [^\]]*\] ?")
_EXCEPTION = re.compile(r"^(?:\w+\.)*([A-Z]\w*(?:Error|Exception|Failed)): (\S.*)")
_FAILED_IMPORT = re.compile(r"Failed to import from vllm\.\w+: ImportError\((['\"])(.*)\1\)")
# Said by whoever waited for the process that failed.
_CONSEQUENCES = re.compile(
    "WorkerProc initialization failed|[Ee]ngine core initialization failed|EngineCore encountered an issue|"
    "EngineDeadError|[Rr]oot cause"
)
_HELP = (
    ("libnuma.so", "install it: apt-get install libnuma1 on Debian and Ubuntu, dnf install numactl-libs on Fedora"),
    ("No space left on device", "in a container, /dev/shm grows with --shm-size=1g"),
    ("deserializing header", "a file of the model's weights is broken or incomplete: copy or download it again"),
)
_CHECKED = re.compile(r"Value error, (.+?)(?: \[type=|$)", re.MULTILINE)
_ENDED_FROM_OUTSIDE = (
    "one of its processes was ended from outside, without a word: most often by the system for want of memory"
)


def _said(log: str) -> list[str]:
    """A log's lines without senders and colours."""
    return [_SENDER.sub("", _COLOUR.sub("", line)) for line in log.splitlines()]


def cause_in(log: str) -> str | None:
    """The first failed import or error in what vLLM's processes wrote, as one sentence; None if there is none."""
    lines = _said(log)
    for line in lines:
        if failed := _FAILED_IMPORT.search(line):
            return _with_help(f"vLLM's compiled library cannot be loaded ({failed[2]})")
    # What vLLM logs is told before what Python prints of the same error when the process ends.
    for candidates in ([_LOGGED.sub("", line) for line in lines if _LOGGED.match(line)], lines):
        for line in candidates:
            if (found := _EXCEPTION.match(line)) and not _CONSEQUENCES.search(line):
                return _with_help(f"{found[1]}: {found[2]}")
    return None


def last_error_in(log: str) -> str | None:
    """The error that ended a program, found in its output; None if there was none."""
    lines = _said(log)
    return next((f"{found[1]}: {found[2]}" for line in reversed(lines) if (found := _EXCEPTION.match(line))), None)


def cause_of(error: BaseException, log: str) -> str:
    """Why vLLM failed, in one sentence: ``error`` itself or, if that only points to the log, what ``log`` says."""
    name, text = type(error).__name__, str(error)
    if checked := _CHECKED.search(text):  # pydantic's, with the whole config behind it
        text = checked[1]
    if not (_CONSEQUENCES.search(name) or _CONSEQUENCES.search(text)):
        return _with_help(f"{name}: {text}")
    return cause_in(log) or _ENDED_FROM_OUTSIDE


@contextmanager
def written_to(log: Path, console: Console) -> Iterator[None]:
    """Send what this process and its children write to ``log``; ``console`` still writes to the terminal."""
    sys.stdout.flush()
    sys.stderr.flush()
    terminal = {number: os.dup(number) for number in (1, 2)}
    before = console.file
    with log.open("a") as file, os.fdopen(os.dup(1), "w") as shown:
        console.file = shown
        for number in terminal:
            os.dup2(file.fileno(), number)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in terminal.items():
                os.dup2(copy, number)
                os.close(copy)
            console.file = before


def _with_help(cause: str) -> str:
    advice = next((advice for sign, advice in _HELP if sign in cause), None)
    return f"{cause.rstrip('. ')}; {advice}" if advice else cause.rstrip(". ")
