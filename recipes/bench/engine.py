"""verl's own actor engine and loss in this process, as its worker builds them, without Ray."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_module
from omegaconf import DictConfig

from sgrpo_verl.packed.settings import PACKED_ATTENTION

ATTENTION = {"rows": "sdpa", "packed": PACKED_ATTENTION}


def join_process_group(store: Path) -> None:
    """A process group of this process alone; ``store`` is a file that does not exist yet."""
    torch.distributed.init_process_group("cpu:gloo", init_method=f"file://{store}", rank=0, world_size=1)


def _composed(overrides: tuple[str, ...]) -> DictConfig:
    stock = ["actor_rollout_ref.rollout.name=vllm", "+cpu=default"]
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer", [*stock, *(f"actor_rollout_ref.{one}" for one in overrides)]).actor_rollout_ref


def build_engine(model: Path, layout: str, *overrides: str) -> Any:
    """An FSDP2 engine on the CPU; ``overrides`` are keys of actor_rollout_ref."""
    from verl.utils.config import omega_conf_to_dataclass
    from verl.workers.engine import EngineRegistry

    attention = f"model.override_config.attn_implementation={ATTENTION[layout]}"
    config = _composed((f"model.path={model}", attention, *overrides))
    actor = omega_conf_to_dataclass(config.actor)
    engine = EngineRegistry.new(
        model_type="language_model",
        backend=actor.strategy,
        model_config=omega_conf_to_dataclass(config.model),
        engine_config=actor.engine,
        optimizer_config=actor.optim,
        checkpoint_config=actor.checkpoint,
    )
    torch.manual_seed(0)  # LoRA's own weights
    engine.initialize()
    return engine


@functools.cache
def build_loss(*overrides: str) -> Callable:
    """verl's actor loss; ``overrides`` are keys of actor_rollout_ref.actor."""
    from verl.utils.config import omega_conf_to_dataclass
    from verl.workers.utils.losses import ppo_loss

    actor = omega_conf_to_dataclass(_composed(tuple(f"actor.{one}" for one in overrides)).actor)
    return functools.partial(ppo_loss, config=actor)
