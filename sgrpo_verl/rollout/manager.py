"""The class for ``actor_rollout_ref.rollout.agent.agent_loop_manager_class``: verl's own manager with our workers."""

from typing import Any

import ray
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ

from sgrpo_verl.rollout.watch import watch
from sgrpo_verl.rollout.worker import SerialGroupWorker


class SerialGroupManager(AgentLoopManagerTQ):
    """Creates ``SerialGroupWorker`` actors where verl creates its own, and has them watched."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.agent_loop_workers_class = ray.remote(SerialGroupWorker)

    async def _init_agent_loop_workers(self) -> None:
        await super()._init_agent_loop_workers()
        watch(self.agent_loop_workers)
