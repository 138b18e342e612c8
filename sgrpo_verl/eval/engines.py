"""Several vLLM engines, each in a process of its own with its own devices and its share of the jobs."""

import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

import psutil

from sgrpo_verl.errors import UserError
from sgrpo_verl.eval.engine import Engine, EngineOptions
from sgrpo_verl.eval.jobs import Answering, EngineDied, RequestId
from sgrpo_verl.eval.response import Generated, Request

SECONDS_TO_END = 20
SECONDS_TO_TELL = 0.5  # how often an engine says how far its requests are


def choose_devices(engines: int | None, tensor_parallel_size: int) -> list[dict[str, str]]:
    """What each engine finds in its environment: its own GPUs, or its own cores where there are no GPUs.

    Args:
        engines: how many; None means as many as the visible GPUs suffice for, and one without a GPU.
        tensor_parallel_size: GPUs of each engine.

    Raises:
        UserError: there are not enough GPUs.
    """
    variable, devices = _visible_devices()
    if variable is None:
        return _cores(engines or 1, tensor_parallel_size)
    engines = engines or max(1, len(devices) // tensor_parallel_size)
    if engines == 1:
        return [{}]  # vLLM chooses among what is visible, and says so where it is not enough
    if engines * tensor_parallel_size > len(devices):
        raise UserError(
            f"--data-parallel-size {engines} with --tensor-parallel-size {tensor_parallel_size}: needs "
            f"{engines * tensor_parallel_size} GPUs, and {len(devices)} are visible"
        )
    shares = [devices[start : start + tensor_parallel_size] for start in range(0, len(devices), tensor_parallel_size)]
    return [{variable: ",".join(share)} for share in shares[:engines]]


def _visible_devices() -> tuple[str | None, list[str]]:
    """The environment variable that says which devices vLLM sees, and those; None where vLLM runs on the CPU."""
    try:
        import torch
        from vllm.platforms import current_platform
    except ImportError:
        return None, []  # starting the engine will say so
    if current_platform.is_cpu():
        return None, []
    variable = current_platform.device_control_env_var
    chosen = os.environ.get(variable)
    if chosen is not None:
        return variable, [device for device in chosen.split(",") if device]
    return variable, [str(device) for device in range(torch.accelerator.device_count())]


def _cores(engines: int, tensor_parallel_size: int) -> list[dict[str, str]]:
    """vLLM binds its threads to cores on the CPU, every engine to the same ones unless it is told which are its own."""
    variable = "VLLM_CPU_OMP_THREADS_BIND"
    cores = sorted(os.sched_getaffinity(0))
    if engines == 1 or variable in os.environ:
        return [{}] * engines
    if tensor_parallel_size > 1 or len(cores) < engines:
        return [{variable: "nobind"}] * engines
    return [{variable: ",".join(map(str, cores[number::engines]))} for number in range(engines)]


class Engines(Answering):
    """Hands each job to the engine with the fewest open jobs, and ends all engines when one fails."""

    def __init__(
        self, model: str, options: EngineOptions, temperature: float, top_p: float, shares: Sequence[dict[str, str]]
    ):
        """Start an engine for each of ``shares``, which ``choose_devices`` gives.

        Raises:
            UserError: vLLM is not installed.
            Exception: an engine did not start; its own error, with type name and text.
        """
        super().__init__()
        self.engines = len(shares)
        self._home: dict[int, int] = {}  # which engine has which job
        self._open_jobs = [0] * len(shares)
        context = multiprocessing.get_context("spawn")  # vLLM's processes cannot be forked
        self._connections: list[Connection] = []
        self._processes = []
        for share in shares:
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, share, model, options, temperature, top_p))
            process.start()
            theirs.close()
            self._connections.append(ours)
            self._processes.append(process)
        self._below: list[psutil.Process] = []  # vLLM's own, which would outlive an engine that is killed
        try:
            for number, process in enumerate(self._processes):
                self._receive(number)  # it is ready
                self._below += psutil.Process(process.pid).children(recursive=True)
        except BaseException:
            self.close()
            raise

    def add(self, request_id: RequestId, request: Request, seed: int) -> None:
        job = request_id[0]
        if job not in self._home:
            self._home[job] = min(range(self.engines), key=self._open_jobs.__getitem__)
            self._open_jobs[self._home[job]] += 1
        try:
            self._connections[self._home[job]].send((request_id, request, seed))
        except OSError as error:
            raise _gone() from error

    def ended(self, job: int) -> None:
        self._open_jobs[self._home.pop(job)] -= 1

    def step(self) -> list[tuple[RequestId, Generated]]:
        ended: list[tuple[RequestId, Generated]] = []
        for ready in wait(self._connections):
            answers, under_way = self._receive(self._connections.index(ready))  # type: ignore[arg-type]
            self.under_way.update(under_way)
            ended += answers
        return ended

    def _receive(self, number: int) -> Any:
        try:
            kind, content = self._connections[number].recv()
        except (EOFError, OSError) as error:
            raise _gone() from error
        if kind == "user error":
            raise UserError(content)
        if kind == "died":
            raise EngineDied(content)
        if kind == "error":
            name, text = content
            raise type(name, (Exception,), {})(text)  # many of vLLM's own cannot be sent
        return content

    def close(self) -> None:
        for connection in self._connections:
            connection.close()  # which ends the engine at the other end
        deadline = time.monotonic() + SECONDS_TO_END
        for process in self._processes:
            process.join(max(0.0, deadline - time.monotonic()))
        for process in (*self._processes, *self._below):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _gone() -> EngineDied:
    return EngineDied("one of the engines' processes has ended; the log may have the root cause")


def _serve(
    connection: Connection, share: dict[str, str], model: str, options: EngineOptions, temperature: float, top_p: float
) -> None:
    """An engine's process: it answers requests until the other end of the connection is closed."""
    os.environ.update(share)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        try:
            engine = Engine(model, options, temperature, top_p)
        except UserError as error:
            connection.send(("user error", str(error)))
            return
        except Exception as error:
            connection.send(("error", (type(error).__name__, str(error))))
            return
        try:
            connection.send(("ready", None))
            _answer(connection, engine)
        except EngineDied as error:
            connection.send(("died", str(error)))
        except (EOFError, OSError):
            raise
        except Exception as error:
            connection.send(("error", (type(error).__name__, str(error))))
        finally:
            engine.close()


def _answer(connection: Connection, engine: Engine) -> None:
    requests: queue.SimpleQueue = queue.SimpleQueue()
    # A thread of its own takes requests in: were both ends busy sending, neither would read.
    threading.Thread(target=_take_in, args=(connection, requests), daemon=True).start()
    opened, told = 0, 0.0
    while True:
        while opened == 0 or not requests.empty():
            request = requests.get()
            if request is None:
                return
            engine.add(*request)
            opened += 1
        answers = engine.step()
        opened -= len(answers)
        now = time.monotonic()
        if answers or now - told > SECONDS_TO_TELL:
            connection.send(("step", (answers, dict(engine.under_way))))
            told = now


def _take_in(connection: Connection, requests: queue.SimpleQueue) -> None:
    """Every request, and None once the other end is closed."""
    with suppress(EOFError, OSError):
        while True:
            requests.put(connection.recv())
    requests.put(None)
