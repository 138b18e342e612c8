"""Processes that compare mathematical answers, with limits on time and memory; failures are counted and replaced.

math-verify bounds its time with signals, which raise in the threads that reward functions run in; an expression can
take for ever, or all memory. So comparisons run in processes of our own, which a thread can wait for and end. They are
started with ``python -m``: Python's multiprocessing would first run the caller's main module again in each of them,
which fails in a notebook or from standard input, and doubles the work of a script without a ``__main__`` guard.
"""

import json
import os
import queue
import selectors
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import IO

SECONDS_PER_CHECK = 5.0
SECONDS_TO_START = 120.0  # importing sympy on a busy machine
MEMORY_PER_CHECK = 4 << 30  # bytes of address space
PROCESSES = 2

counts: Counter[str] = Counter()  # "checks", and of these "overran" and "lost", since this process started


class CheckerError(RuntimeError):
    """No comparison can be made at all: the process for them does not start."""


class _Process:
    """One process, asked one question at a time, a line of JSON each way."""

    def __init__(self) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
        command = [sys.executable, "-m", "sgrpo_verl.answers.mathematics", str(MEMORY_PER_CHECK)]
        # The folders that this process imports from, also those that were added after it started.
        path = os.pathsep.join(folder for folder in sys.path if folder)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": path},
        )
        if self._read(SECONDS_TO_START) != "ready":
            self.end()
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().splitlines()
            raise CheckerError(
                "answers cannot be compared as mathematics: the process that does it did not start "
                f"({said[-1] if said else f'no answer within {SECONDS_TO_START:.0f} seconds'}); "
                f"`{sys.executable} -m sgrpo_verl.answers.mathematics {MEMORY_PER_CHECK}` must print ready"
            )

    def ask(self, answer: str, truth: str) -> bool | None:
        """Whether the two are equal; None if there was no reply in time, or none will come."""
        try:
            assert self._process.stdin is not None
            self._process.stdin.write((json.dumps([answer, truth]) + "\n").encode())
            self._process.stdin.flush()
        except OSError:
            return None
        reply = self._read(SECONDS_PER_CHECK)
        return None if reply is None else reply == "equal"

    def _read(self, seconds: float) -> str | None:
        """The next line, None if it does not come within ``seconds`` or at all."""
        assert self._process.stdout is not None
        descriptor, line, deadline = self._process.stdout.fileno(), b"", time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:  # select() itself ends at 1,024 open files
            selector.register(descriptor, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready or not (read := os.read(descriptor, 4096)):
                    return None
                line += read
        return line.decode().strip()

    def end(self) -> bool:
        """End the process; returns whether it had ended by itself."""
        try:
            self._process.wait(0.2)
            ended = True
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            ended = False
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what could not be written is tried once more when it closes
                    pipe.close()
        return ended


_idle: "queue.LifoQueue[_Process | None]" = queue.LifoQueue()
for _ in range(PROCESSES):
    _idle.put(None)  # a place for a process that is started when it is first needed
_owner = os.getpid()
_lock = threading.Lock()


def check(answer: str, truth: str) -> bool:
    """Whether two answers are mathematically equal; waits for a free process. Overrun or lost: not equal, and counted.

    Raises:
        CheckerError: no process can be started.
    """
    process = _places().get()
    kept: _Process | None = None
    try:
        process = process or _Process()
        reply = process.ask(answer, truth)
        if reply is None:
            lost = process.end()
        with _lock:
            counts["checks"] += 1
            if reply is None:
                counts["lost" if lost else "overran"] += 1
        if reply is not None:
            kept = process
    finally:
        _places().put(kept)
    return bool(reply)


def _places() -> "queue.LifoQueue[_Process | None]":
    """This process's checkers. A process forked from it must not talk to those of its parent."""
    global _idle, _owner
    if _owner != os.getpid():
        _owner, _idle = os.getpid(), queue.LifoQueue()
        for _ in range(PROCESSES):
            _idle.put(None)
    return _idle


def seen() -> dict[str, int]:
    """How many checks this process has made, and how many timed out or lost their process."""
    with _lock:
        return {name: counts[name] for name in ("checks", "overran", "lost")}
