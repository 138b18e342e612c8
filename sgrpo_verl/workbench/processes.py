"""Runs a command and leaves no process of it behind, neither Ray's nor vLLM's, whatever ends it."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import psutil

MARK = "SGRPO_VERL_RUN"  # environment variable that every process of a run inherits, and is found by: one word a run
SECONDS_TO_END = 10
LINES_SHOWN = 80  # of a failed command's log: behind the error, vLLM's libraries say 30 lines as they go
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def running(
    command: list[str], environment: dict[str, str], stdout: int | None = None, stderr: int | None = None
) -> Iterator[subprocess.Popen]:
    """The started command; on leaving, whatever the cause, every process that it started is ended and gone.

    Ctrl-C, SIGTERM and a closed terminal (SIGHUP, unless ignored: nohup) are such causes. Where only ``stdout`` is
    given, both go there. A run that is started inside a run is part of both.
    """
    mark = uuid.uuid4().hex
    marks = f"{os.environ.get(MARK, '')} {mark}".strip()
    previous = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in previous.items():
        if number != signal.SIGINT and handler != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    session = None
    try:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment, MARK: marks},
            stdout=stdout,
            stderr=subprocess.STDOUT if stdout is not None and stderr is None else stderr,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C comes to us, and we end it in order
        )
        session = process.pid
        yield process
    finally:
        for number in ENDING:  # an impatient second Ctrl-C must not leave half of it running
            signal.signal(number, signal.SIG_IGN)
        _end(mark, session)
        for number, handler in previous.items():
            signal.signal(number, handler)


def run(command: list[str], log: Path | None = None, **environment: str) -> None:
    """Run a command to its end; with ``log``, what it writes to stderr goes there.

    Raises:
        SystemExit: it failed; its own exit status, and the end of ``log`` is shown.
    """
    with (
        log.open("w") if log else nullcontext() as log_file,
        running(command, environment, stderr=log_file.fileno() if log_file else None) as process,
    ):
        status = process.wait()
    if status:
        if log:
            print("\n".join(log.read_text(errors="replace").splitlines()[-LINES_SHOWN:]), file=sys.stderr)
        sys.exit(status)


def _end(mark: str, session: int | None) -> None:
    """End every process of a run: asked first, then killed; each round looks for new ones."""
    for send in (psutil.Process.terminate, psutil.Process.kill, psutil.Process.kill):
        found = _processes_of(mark, session)
        for process in found:
            with suppress(psutil.NoSuchProcess):
                send(process)
        psutil.wait_procs(found, timeout=SECONDS_TO_END)


def _processes_of(mark: str, session: int | None) -> list[psutil.Process]:
    """The living processes of a run, whoever their parent is by now.

    The mark finds those that opened a session of their own; the session those that wrote a title over their
    environment, as Ray's agents do.
    """
    return [
        process
        for process in psutil.process_iter()
        if _marked(process, mark) or (session is not None and in_session(process, session))
    ]


def _marked(process: psutil.Process, mark: str) -> bool:
    try:
        return mark in process.environ().get(MARK, "").split() and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def in_session(process: psutil.Process, session: int) -> bool:
    """Whether a process lives and is in this session."""
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.NoSuchProcess):
        return False


def inherits(process: psutil.Process, variable: str, value: str) -> bool:
    """Whether a process lives and has this in its environment."""
    try:
        return process.environ().get(variable) == value and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt
