"""The cause of an engine's failure, from what vLLM's processes wrote; the lines are vLLM 0.28's, shortened."""

import os
import subprocess
import sys

import pytest

from sgrpo_verl.engine.log import cause_in, cause_of, last_error_in

FOLLOWS = """\
(EngineCore pid=4) ERROR 11-25 21:42:39 [core.py:1346] EngineCore failed to start.
(EngineCore pid=4) ERROR 11-25 21:42:39 [core.py:1346] Exception: WorkerProc initialization failed due to an exception \
in a background process. See stack trace for root cause.
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""
POINTS_THERE = RuntimeError("Engine core initialization failed. See root cause above. Failed core proc(s): {}")


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (
            "WARNING 11-25 21:42:21 [cpu.py:471] Failed to import from vllm._C: ImportError('libnuma.so.1: cannot open "
            "shared object file: No such file or directory')\n"
            "ERROR 11-25 21:42:37 [multiproc_executor.py:941] AttributeError: '_OpNamespace' '_C' object has no "
            "attribute 'init_cpu_memory_env'\n",
            "vLLM's compiled library cannot be loaded (libnuma.so.1: cannot open shared object file: No such file or "
            "directory); install it: apt-get install libnuma1 on Debian and Ubuntu, dnf install numactl-libs on Fedora",
        ),
        (
            "(EngineCore pid=3) ERROR 11-25 21:44:55 [core.py:1346]     raise ValueError(\n"
            "(EngineCore pid=3) ERROR 11-25 21:44:55 [core.py:1346] ValueError: No available memory for the cache "
            "blocks. Try increasing `gpu_memory_utilization`.\n",
            "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
        ),
        (
            "(EngineCore pid=3) ERROR 11-25 21:45:53 [core.py:1346] RuntimeError: Insufficient space in /dev/shm: "
            "160 MiB required, 0 MiB free. Increase /dev/shm (e.g. --shm-size or --ipc=host).\n",
            "RuntimeError: Insufficient space in /dev/shm: 160 MiB required, 0 MiB free. Increase /dev/shm (e.g. "
            "--shm-size or --ipc=host)",
        ),
        (
            "(Worker pid=8) ERROR 11-25 21:43:42 [multiproc_executor.py:941] "
            "safetensors._safetensors_rust.SafetensorError: Error while deserializing header: invalid header length\n",
            "SafetensorError: Error while deserializing header: invalid header length; a file of the model's weights "
            "is broken or incomplete: copy or download it again",
        ),
        (  # in Ray's colours, as a driver shows it
            "\x1b[36m(vLLMHttpServer pid=5)\x1b[0m (EngineCore pid=6) ERROR 11-25 21:45:53 [core.py:1346] OSError: "
            "[Errno 98] Address already in use\n",
            "OSError: [Errno 98] Address already in use",
        ),
        (  # an error that is not vLLM's own to log
            "Traceback (most recent call last):\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n",
            "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
        ),
    ],
)
def test_the_first_error_is_the_cause(log, cause):
    whole = f"INFO 11-25 21:42:21 [llm.py:1] starting\n{log}{FOLLOWS}"
    assert cause_in(whole) == cause
    assert cause_of(POINTS_THERE, whole) == cause


def test_a_process_that_was_killed_says_nothing():
    assert cause_in(FOLLOWS) is None
    assert "was ended from outside" in cause_of(POINTS_THERE, FOLLOWS)
    assert "was ended from outside" in cause_of(POINTS_THERE, "")


def test_an_error_that_is_itself_the_cause():
    assert cause_of(ValueError("max_model_len is too large."), "") == "ValueError: max_model_len is too large"


def test_the_error_that_ended_a_run_is_the_last():
    log = (
        "ValueError: early, caught\n\x1b[36m(pid=5)\x1b[0m RuntimeError: vLLM's engine did not start: why\nSet HYDRA\n"
    )
    assert last_error_in(log) == "RuntimeError: vLLM's engine did not start: why"
    assert last_error_in("all is well\n") is None


WRITES = """
import os, subprocess, sys
from pathlib import Path
from rich.console import Console
from sgrpo_verl.engine.log import written_to
console = Console()
console.print("before")
with written_to(Path(sys.argv[1]), console):
    print("of this process")
    subprocess.run(["sh", "-c", "echo of a child; echo its error >&2"])
    console.print("progress")
print("after")
"""


def test_processes_write_to_the_log_and_the_console_to_the_terminal(tmp_path):
    log = tmp_path / "engine.log"
    done = subprocess.run([sys.executable, "-c", WRITES, log], capture_output=True, text=True, env={**os.environ})
    assert done.stdout.split("\n") == ["before", "progress", "after", ""], done.stderr
    assert log.read_text().splitlines() == ["of this process", "of a child", "its error"]
