"""verl's own actor engine and loss in this process, as its worker builds them, without Ray."""

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from sgrpo_verl.hooks.table import PACKED_ATTENTION

_DYNAMIC = "actor_rollout_ref.actor.use_dynamic_bsz"


def plain_attention() -> str:
    """What rows attend with here: flash attention, verl's default, where it is installed; else torch's own."""
    return "flash_attention_2" if importlib.util.find_spec("flash_attn") else "sdpa"


def on_cpu() -> bool:
    """Whether verl's platform is the CPU."""
    from verl.utils.device import get_device_name

    return get_device_name() == "cpu"


def join_process_group(store: Path) -> None:
    """A process group of this process alone; ``store`` is a file that does not exist yet."""
    backend = "cpu:gloo" if on_cpu() else "cpu:gloo,cuda:nccl"
    torch.distributed.init_process_group(backend, init_method=f"file://{store}", rank=0, world_size=1)


def _composed(overrides: tuple[str, ...]) -> DictConfig:
    stock = ["actor_rollout_ref.rollout.name=vllm"]
    stock += ["+cpu=default"] if on_cpu() else ["actor_rollout_ref.actor.strategy=fsdp2", f"{_DYNAMIC}=true"]
    outer = GlobalHydra.instance().hydra  # of somebody in this process who is composing a config of their own
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("verl.trainer.config", version_base=None):
            return compose("ppo_trainer", [*stock, *(_key(one) for one in overrides)]).actor_rollout_ref
    finally:
        GlobalHydra.instance().hydra = outer


def _key(override: str) -> str:
    plus = "+" if override.startswith("+") else ""
    return f"{plus}actor_rollout_ref.{override.removeprefix('+')}"


def build_engine(model: Path, layout: str, *overrides: str) -> Any:
    """An FSDP2 engine for ``layout`` rows or packed; ``overrides`` are keys of actor_rollout_ref."""
    from verl.utils.config import omega_conf_to_dataclass
    from verl.workers.engine import EngineRegistry

    attention = PACKED_ATTENTION if layout == "packed" else plain_attention()
    plus = "" if on_cpu() else "+"  # the CPU's config names one already
    chosen = f"{plus}model.override_config.attn_implementation={attention}"
    config = _composed((f"model.path={model}", chosen, *overrides))
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
