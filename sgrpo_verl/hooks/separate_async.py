"""Fixes one line of verl 0.9.1's ``separate_async`` trainer, which ends a run before it starts."""

from collections.abc import Callable
from inspect import BoundArguments
from typing import Any

from verl.trainer.ppo.v1 import trainer_separate_async


def setup(wrapped: Callable, trainer: Any, call: BoundArguments) -> Any:
    """Hook: with ``actor_rollout_ref.hybrid_engine=false``, verl hands ``flush=True`` to a logger: a TypeError.

    ``flush`` belongs to ``print``. As long as the trainer is set up, its module's logger ignores it.
    """
    logger = trainer_separate_async.logger
    info: Any = logger.info

    def without_flush(message: str, *args: Any, flush: bool = False, **more: Any) -> None:
        info(message, *args, **more)

    logger.info = without_flush  # type: ignore
    try:
        return wrapped(*call.args, **call.kwargs)
    finally:
        del logger.info  # the class's own is there again
