"""Loaded into verl's processes (``VERL_USE_EXTERNAL_MODULES``): watches early exits, or holds them back.

``SGRPO_BENCH_EXITS=FILE`` notes of every exit what the server had of its prompt. ``SGRPO_BENCH_BARRIER=1`` makes exits
wait for the thoughts of all prompts, as an implementation with two phases a step would.
"""

import asyncio
import json
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import wrapt


class Barrier:
    """Open while no thought is being generated."""

    def __init__(self) -> None:
        self.thinking = 0
        self.opened = asyncio.Event()

    def thought_begins(self) -> None:
        self.thinking += 1
        self.opened.clear()

    def thought_ends(self) -> None:
        self.thinking -= 1
        if not self.thinking:
            self.opened.set()


def _install(agent_loop: ModuleType) -> None:
    name = "SerialGroupAgentLoop"
    if os.environ.get("SGRPO_BENCH_BARRIER"):
        barrier = Barrier()

        async def run(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
            barrier.thought_begins()
            return await wrapped(*args, **kwargs)

        def exit_positions(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
            barrier.thought_ends()
            return wrapped(*args, **kwargs)

        async def wait(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
            await barrier.opened.wait()
            return await wrapped(*args, **kwargs)

        wrapt.wrap_function_wrapper(agent_loop, f"{name}.run", run)
        wrapt.wrap_function_wrapper(agent_loop, f"{name}._exit_positions", exit_positions)
        wrapt.wrap_function_wrapper(agent_loop, f"{name}._early_exit", wait)

    if path := os.environ.get("SGRPO_BENCH_EXITS"):

        async def note(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
            row = await wrapped(*args, **kwargs)
            prompt = len(row.output.prompt_ids) + len(row.output.response_ids) - len(row.answer_ids)
            prefix = len(row.output.prompt_ids) + row.exit_position  # this model writes no opening tag
            with open(path, "a") as file:
                file.write(json.dumps({"prefix": prefix, "cached": round(row.cached_share * prompt)}) + "\n")
            return row

        wrapt.wrap_function_wrapper(agent_loop, f"{name}._early_exit", note)


wrapt.when_imported("sgrpo_verl.rollout.agent_loop")(_install)
