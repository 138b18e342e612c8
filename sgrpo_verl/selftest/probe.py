"""Loaded into verl's processes (``VERL_USE_EXTERNAL_MODULES``): saves the rollout engine's weights as a step ends.

By then verl has synced the weights that the step trained, which its checkpoint holds too.
``SGRPO_SELFTEST_WEIGHTS=FILE`` names the file; each step overwrites it.
"""

import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import wrapt


def _save(worker: Any, path: str) -> None:
    """In vLLM's worker; the first rank's suffices."""
    import torch

    if torch.distributed.get_rank() == 0:
        weights = {name: value.detach().cpu().clone() for name, value in worker.model_runner.model.named_parameters()}
        torch.save(weights, path)


def _install(trainer_base: ModuleType) -> None:
    def compute_metrics(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
        import ray

        # Those of separate_async come last, where there are any; verl 0.9.0 knows no others than the first.
        managers = getattr(instance, "_rollout_server_managers", lambda: [instance.llm_server_manager])()
        server = managers[-1].server_handles[0]
        ray.get(server.collective_rpc.remote(_save, kwargs={"path": os.environ["SGRPO_SELFTEST_WEIGHTS"]}))
        return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper(trainer_base, "PPOTrainer._compute_metrics", compute_metrics)


if "SGRPO_SELFTEST_WEIGHTS" in os.environ:
    wrapt.when_imported("verl.trainer.ppo.v1.trainer_base")(_install)
