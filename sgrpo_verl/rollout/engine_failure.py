"""Why verl's vLLM server did not start, or died, told by the error that ends the run.

vLLM's engine is a process of its own beneath verl's server, a Ray actor. What verl is told of a failure there is "See
root cause above"; above is the actor's own log on its own node, and this is where it is read.
"""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import wrapt

from sgrpo_verl.config import AGENT_LOOP_MANAGER
from sgrpo_verl.engine_log import cause_of


def install(vllm_server: ModuleType) -> None:
    """Wrap the two methods of ``vllm_async_server.vLLMHttpServer`` that an engine's failure comes out of."""
    for method, what in (("launch_server", "did not start"), ("generate", "died")):
        wrapt.wrap_function_wrapper(vllm_server, f"vLLMHttpServer.{method}", _telling_why(what))


def _telling_why(what: str) -> Callable[..., Awaitable[Any]]:
    def wrapper(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Awaitable[Any]:
        if instance.config.agent.get("agent_loop_manager_class") != AGENT_LOOP_MANAGER:
            return wrapped(*args, **kwargs)  # another algorithm's run
        return _raise_with_cause(wrapped(*args, **kwargs), what)

    return wrapper


async def _raise_with_cause(call: Awaitable[Any], what: str) -> Any:
    from vllm.v1.engine.exceptions import EngineDeadError

    try:
        return await call
    except Exception as error:
        if what == "died" and not isinstance(error, EngineDeadError):
            raise  # of this one request
        logs = own_logs()
        where = f". Its whole log is {' and '.join(map(str, logs))} on {os.uname().nodename}" if logs else ""
        raise RuntimeError(f"vLLM's engine {what}: {cause_of(error, logs)}{where}") from error


def own_logs() -> list[Path]:
    """The files that this process, and so its engine, writes stdout and stderr to; Ray gives every actor its own."""
    files = [Path(f"/proc/self/fd/{number}").resolve() for number in (1, 2)]
    return [file for number, file in enumerate(files) if file.is_file() and file not in files[:number]]
