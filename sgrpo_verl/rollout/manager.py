"""The class for ``actor_rollout_ref.rollout.agent.agent_loop_manager_class``: verl's own manager with our workers.

It also ends the run when the rollout cannot continue, which verl does not do. verl's trainer waits for rows, and would
wait for ever if the worker that should deliver them has died, or if every prompt fails and is replaced by another.
"""

from collections.abc import Callable
from inspect import BoundArguments
from typing import Any

import ray
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ

from sgrpo_verl.rollout.worker import SerialGroupWorker

_watched: list[ray.ObjectRef] = []  # of this process's workers; each is ready once its worker is lost


class SerialGroupManager(AgentLoopManagerTQ):
    """Creates ``SerialGroupWorker`` actors where verl creates its own, and watches them."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.agent_loop_workers_class = ray.remote(SerialGroupWorker)

    async def _init_agent_loop_workers(self) -> None:
        await super()._init_agent_loop_workers()
        workers: list[Any] = self.agent_loop_workers  # verl annotates them as its own
        _watched[:] = [worker.until_lost.remote() for worker in workers]


def check_before_wait(wrapped: Callable, replay_buffer: Any, call: BoundArguments) -> Any:
    """Hook: verl's trainer polls for rows and checks nothing else; this is where it waits for them."""
    raise_if_lost()
    return wrapped(*call.args, **call.kwargs)


def raise_if_lost() -> None:
    """End a run whose rollout has failed.

    Raises:
        RuntimeError: an agent-loop worker has died or cannot continue; the message says why.
    """
    lost, _ = ray.wait(_watched, timeout=0) if _watched else ([], [])
    if lost:
        try:
            ray.get(lost[0])
        except Exception as error:
            reason = getattr(error, "cause", None) or error  # Ray's own error also lists its frames
            raise RuntimeError(f"the rollout cannot continue: {reason}") from error
