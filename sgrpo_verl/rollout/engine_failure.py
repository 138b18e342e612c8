"""Adds to the error that ends a run the reason why verl's vLLM server did not start, or died.

vLLM's engine is a process started by verl's server, which is a Ray actor. All that verl learns about a failure is
"See root cause above". The cause is in the actor's log on its own node, which is read here. The server's methods cannot
be wrapped, because Ray unwraps every method of an actor.
"""

import re
from collections.abc import Awaitable, Callable
from inspect import BoundArguments
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sgrpo_verl.engine.log import cause_of

# Where Ray says of an error that it came from the server: "ray::vLLMHttpServer.generate() (pid=7, ip=10.0.0.1, …".
_SERVER = re.compile(r"vLLMHttpServer\.\w+\(\)\S* \(pid=(\d+), ip=([^,)]+)")


def launch_servers(wrapped: Callable, replica: Any, call: BoundArguments) -> Awaitable[None]:
    """Hook: when an engine fails to start, verl only says that the cause is in some log."""
    return _raise_with_reason(wrapped(*call.args, **call.kwargs))


async def _raise_with_reason(launch: Awaitable[None]) -> None:
    try:
        await launch
    except Exception as error:
        raise RuntimeError(f"vLLM's engine did not start: {await reason(error)}") from error


def is_engine_dead(error: BaseException) -> bool:
    """Whether a request failed because vLLM's engine is gone. Checked by name, since another engine may be in use."""
    return any(kind.__name__ == "EngineDeadError" for kind in type(error).__mro__)


async def reason(error: BaseException) -> str:
    """The cause of an error of verl's vLLM server, as one sentence, and where its whole log is."""
    log, where = "", ""
    if server := _SERVER.search(str(error)):
        pid, address = server.groups()
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["NodeManagerAddress"] == address]
        if nodes:
            there = NodeAffinitySchedulingStrategy(nodes[0], soft=False)
            try:
                log, files = await ray.remote(num_cpus=0)(_log_of).options(scheduling_strategy=there).remote(pid)
                where = f". Its whole log is {files} on {address}"
            except RayError as unread:  # its node has died, too
                where = f". Its log on {address} could not be read: {unread}"
    return cause_of(getattr(error, "cause", error), log) + where


def _log_of(pid: str) -> tuple[str, str]:
    """What another worker on this node and its engine wrote, and the files: Ray keeps them all in one folder."""
    pattern = f"worker-*-{pid}.*"
    folder = Path("/proc/self/fd/1").resolve().parent
    return "\n".join(file.read_text(errors="replace") for file in sorted(folder.glob(pattern))), f"{folder}/{pattern}"
