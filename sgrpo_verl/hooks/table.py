"""The table: every function of verl that S-GRPO wraps, registers with, or overrides. A new hook is one row here.

verl has no registry for most of what an algorithm with a rollout of its own needs, so functions are wrapped. This
module is loaded inside ``import verl`` and imports next to nothing; our functions are imported when they first act.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MANAGER = "sgrpo_verl.rollout.manager"
COMPLETED = "sgrpo_completed"  # of verl's algorithm config: the driver has checked it and chosen our rollout
PACKED_ATTENTION = "sgrpo_packed"  # the attention implementation's name, which tells an engine to pack


def is_sgrpo(config: Any) -> bool:
    """Whether a verl config belongs to an S-GRPO run."""
    return str(config.algorithm.adv_estimator) == "sgrpo"


def _config_names_sgrpo(instance: Any, arguments: dict[str, Any]) -> bool:
    """the config says `algorithm.adv_estimator=sgrpo`, or has settings in `algorithm.sgrpo`"""
    config = arguments["config"]
    return is_sgrpo(config) or bool(config.algorithm.get("sgrpo"))


def _trainer_is_sgrpo(trainer: Any, arguments: dict[str, Any]) -> bool:
    """the trainer's config says `algorithm.adv_estimator=sgrpo`"""
    return is_sgrpo(trainer.config)


def _engine_packs(engine: Any, arguments: dict[str, Any]) -> bool:
    """the engine's model attends with `sgrpo_packed`"""
    return engine.model_config.hf_config._attn_implementation == PACKED_ATTENTION


def _batch_is_packed(instance: Any, arguments: dict[str, Any]) -> bool:
    """the batch comes from such an engine"""
    engine = sys.modules.get("sgrpo_verl.packed.engine")
    return engine is not None and engine.is_packed(arguments["data"])


def _our_rollout_runs_here(instance: Any, arguments: dict[str, Any]) -> bool:
    """the process has started our rollout"""
    return MANAGER in sys.modules


def _our_rollout_is_served(replica: Any, arguments: dict[str, Any]) -> bool:
    """the server is for our rollout"""
    return replica.config.agent.get("agent_loop_manager_class") == f"{MANAGER}.SerialGroupManager"


@dataclass(frozen=True)
class Hook:
    """A function of verl that we depend on, and what we do with it.

    ``ours`` names our function as ``module:name``. It wraps verl's: ``ours(wrapped, instance, call)``, where ``call``
    is an ``inspect.BoundArguments`` with verl's defaults filled in. With ``registers`` it is called once instead, with
    verl's module. Without ``ours``, a subclass of ours overrides the function, or we call it.
    """

    module: str  # of verl
    function: str  # "Class.method" or "function"
    parameters: tuple[str, ...]  # the ones that we rely on
    purpose: str
    ours: str | None = None
    acts: Callable[[Any, dict[str, Any]], bool] | None = None  # whether ours acts in a call; its docstring is for docs
    registers: bool = False


_TRAINER = "verl.trainer.ppo.v1.trainer_base"
_WORKER = "verl.trainer.ppo.v1.agent_loop_tq"
_ENGINE = "verl.workers.engine.fsdp.transformer_impl"
_ENGINE_CLASS = "FSDPEngineWithLMHead"
_PACKED = "packed layout"

HOOKS = (
    Hook(
        "verl.plugin.platform.platform_manager",
        "PlatformRegistry.register",
        ("platform",),
        "CPU platform",
        "sgrpo_verl.cpu.patches:register_platform",
        registers=True,
    ),
    Hook(
        "verl.utils.config",
        "validate_config",
        ("config",),
        "config check",
        "sgrpo_verl.settings.driver:validate_config",
        _config_names_sgrpo,
    ),
    Hook(
        "verl.trainer.ppo.core_algos",
        "register_adv_est",
        ("name_or_enum",),
        "advantage estimator",
        "sgrpo_verl.algorithm.advantage:register",
        registers=True,
    ),
    Hook(
        _TRAINER,
        "PPOTrainer._compute_advantage",
        ("batch", "metrics"),
        "closing tag",
        "sgrpo_verl.hooks.closing_tag:after_advantage",
        _trainer_is_sgrpo,
    ),
    Hook(
        _TRAINER,
        "PPOTrainer._compute_metrics",
        ("batch", "metrics"),
        "metrics",
        "sgrpo_verl.hooks.metrics:add_metrics",
        _trainer_is_sgrpo,
    ),
    Hook(
        _TRAINER,
        "PPOTrainer._dump_generations",
        ("reward_extra_infos_dict", "dump_path"),
        "rollout dumps",
        "sgrpo_verl.hooks.metrics:add_columns",
        _trainer_is_sgrpo,
    ),
    Hook(
        "verl.trainer.ppo.v1.replay_buffer",
        "ReplayBuffer._wait_for_next_poll",
        (),
        "end of a failed rollout",
        "sgrpo_verl.rollout.watch:check_before_wait",
        _our_rollout_runs_here,
    ),
    *(
        Hook(
            "verl.trainer.ppo.v1.replay_buffer",
            f"{buffer}.sample",
            ("partition_id",),
            "end of a failed rollout",
            "sgrpo_verl.rollout.watch:check_sample",
            _our_rollout_runs_here,
        )
        for buffer in ("ReplayBuffer", "ReplayBufferAsync")
    ),
    Hook(
        _TRAINER,
        "PPOTrainer.fit",
        (),
        "cause of an engine's failure",
        "sgrpo_verl.rollout.watch:name_dead_engine",
        _trainer_is_sgrpo,
    ),
    Hook(
        "verl.workers.rollout.vllm_rollout.vllm_async_server",
        "vLLMReplica.launch_servers",
        (),
        "cause of an engine's failure",
        "sgrpo_verl.rollout.engine_failure:launch_servers",
        _our_rollout_is_served,
    ),
    Hook(
        "verl.trainer.ppo.v1.trainer_separate_async",
        "PPOTrainerSeparateAsync._setup",
        (),
        "separate_async without hybrid engines",
        "sgrpo_verl.hooks.separate_async:setup",
        _trainer_is_sgrpo,
    ),
    Hook(
        _TRAINER,
        "PPOTrainer._balance_batch",
        ("batch", "metrics", "logging_prefix"),
        "order of the rows",
        "sgrpo_verl.hooks.balance:balance_batch",
        _trainer_is_sgrpo,
    ),
    Hook(_ENGINE, f"{_ENGINE_CLASS}.initialize", (), _PACKED, "sgrpo_verl.packed.engine:initialize", _engine_packs),
    Hook(
        _ENGINE,
        f"{_ENGINE_CLASS}.forward_backward_batch",
        ("data", "loss_function"),
        _PACKED,
        "sgrpo_verl.packed.engine:forward_backward_batch",
        _engine_packs,
    ),
    Hook(
        _ENGINE,
        "prepare_micro_batches",
        ("data", "dp_group"),
        _PACKED,
        "sgrpo_verl.packed.engine:prepare_micro_batches",
        _batch_is_packed,
    ),
    Hook(
        _ENGINE,
        f"{_ENGINE_CLASS}.prepare_model_inputs",
        ("micro_batch",),
        _PACKED,
        "sgrpo_verl.packed.engine:prepare_model_inputs",
        _engine_packs,
    ),
    Hook(
        _ENGINE,
        f"{_ENGINE_CLASS}.prepare_model_outputs",
        ("output", "output_args", "micro_batch"),
        _PACKED,
        "sgrpo_verl.packed.engine:prepare_model_outputs",
        _engine_packs,
    ),
    # What our rollout overrides or calls; agent_loop_manager_class names it, so nothing is wrapped.
    Hook(_WORKER, "AgentLoopManagerTQ.__init__", (), "rollout"),
    Hook(_WORKER, "AgentLoopWorkerTQ._run_prompt", ("prompt", "sampling_params", "trajectory", "trace"), "rollout"),
    Hook(_WORKER, "AgentLoopWorkerTQ._run_agent_loop", (), "rollout"),
    Hook(_WORKER, "AgentLoopWorkerTQ._agent_loop_postprocess", ("output", "validate"), "rollout"),
    Hook(_WORKER, "AgentLoopWorkerTQ._compute_score", ("outputs", "kwargs"), "rollout"),
    Hook(_WORKER, "AgentLoopWorkerTQ._compute_multi_modal_inputs", ("output", "input_ids"), "rollout"),
    Hook(
        _WORKER,
        "AgentLoopWorkerTQ._compute_position_ids",
        ("input_ids", "attention_mask", "multi_modal_inputs"),
        "rollout",
    ),
    Hook(
        "verl.experimental.agent_loop.single_turn_agent_loop",
        "SingleTurnAgentLoop.run",
        ("sampling_params",),
        "rollout",
    ),
)
