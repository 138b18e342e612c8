"""Loaded into verl's processes (``VERL_USE_EXTERNAL_MODULES``): watches early exits, or says how long thoughts are.

``SGRPO_BENCH_EXITS=FILE`` notes of every exit what the server had of its prompt. ``SGRPO_BENCH_LENGTHS=mean`` gives
every thought a length of its own from a long tail, the same in every run; ``SGRPO_BENCH_ALONE=1`` takes no exits.
``SGRPO_BENCH_SEEDS=1`` seeds every request by its prompt, so that runs with the same weights sample the same.
"""

import json
import os
import random
import zlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import wrapt


def length_of(prompt: int, step: int, mean: int, longest: int) -> int:
    """Tokens of a thought: each token ends it with probability 1 / mean."""
    return min(longest, 1 + int(random.Random(step * 10_000 + prompt).expovariate(1 / mean)))


def _install(agent_loop: ModuleType) -> None:
    name = "SerialGroupAgentLoop"
    if mean := int(os.environ.get("SGRPO_BENCH_LENGTHS", 0)):

        async def run(wrapped: Callable, loop: Any, args: tuple, kwargs: dict) -> Any:
            sampling_params = {**(args[0] if args else kwargs.pop("sampling_params")), "ignore_eos": True}
            tokens = length_of(int(kwargs["index"]), int(kwargs["global_steps"]), mean, loop.response_length)
            return await wrapped({**sampling_params, "max_tokens": tokens}, **kwargs)

        wrapt.wrap_function_wrapper(agent_loop, f"{name}.run", run)

    if os.environ.get("SGRPO_BENCH_ALONE"):
        wrapt.wrap_function_wrapper(agent_loop, f"{name}._exit_positions", lambda *_: [])

    if os.environ.get("SGRPO_BENCH_SEEDS"):

        async def seeded(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
            seed = zlib.crc32(json.dumps(list(kwargs["prompt_ids"])).encode())
            return await wrapped(*args, **kwargs | {"sampling_params": {**kwargs["sampling_params"], "seed": seed}})

        wrapt.wrap_function_wrapper(agent_loop, "_OneRequestId.generate", seeded)

    if path := os.environ.get("SGRPO_BENCH_EXITS"):

        async def note(wrapped: Callable, _: Any, args: tuple, kwargs: dict) -> Any:
            row = await wrapped(*args, **kwargs)
            prompt = len(row.output.prompt_ids) + len(row.output.response_ids) - len(row.answer_ids)
            prefix = len(row.output.prompt_ids) + row.exit_position  # this model writes no opening tag
            with open(path, "a") as file:
                found = {
                    "prefix": prefix,
                    "cached": round(row.cached_share * prompt),
                    "seconds": row.finished - row.started,
                    "tokens": len(row.answer_ids),
                    "finished": row.finished,
                }
                file.write(json.dumps(found) + "\n")
            return row

        wrapt.wrap_function_wrapper(agent_loop, f"{name}._early_exit", note)


wrapt.when_imported("sgrpo_verl.rollout.agent_loop")(_install)
