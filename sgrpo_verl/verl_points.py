"""Every place in verl that S-GRPO hooks into or overrides, and whether this verl still has it as we know it."""

import importlib
import inspect
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Point:
    """A function or method of verl's, and the parameters of it that we rely on."""

    module: str
    name: str  # "Class.method" or "function"
    parameters: tuple[str, ...]
    used_for: str


_TRAINER = "verl.trainer.ppo.v1.trainer_base"
_WORKER = "verl.trainer.ppo.v1.agent_loop_tq"
_ENGINE = "verl.workers.engine.fsdp.transformer_impl"
_SERVER = "verl.workers.rollout.vllm_rollout.vllm_async_server"
POINTS = (
    Point("verl.utils.config", "validate_config", ("config",), "completing and checking the config in the driver"),
    Point("verl.trainer.ppo.core_algos", "register_adv_est", ("name_or_enum",), "the advantage estimator"),
    Point(_TRAINER, "PPOTrainer._compute_metrics", ("batch", "metrics"), "sgrpo/* metrics"),
    Point(_TRAINER, "PPOTrainer._dump_generations", ("reward_extra_infos_dict", "dump_path"), "rollout dumps"),
    Point(_WORKER, "AgentLoopManagerTQ.__init__", (), "the rollout's workers"),
    Point(
        _WORKER, "AgentLoopWorkerTQ._run_prompt", ("prompt", "sampling_params", "trajectory", "trace"), "the rollout"
    ),
    Point(_WORKER, "AgentLoopWorkerTQ._run_agent_loop", (), "ending a run whose rollout is lost"),
    Point(
        "verl.trainer.ppo.v1.replay_buffer",
        "ReplayBuffer._wait_for_next_poll",
        (),
        "ending a run whose rollout is lost",
    ),
    Point(_WORKER, "AgentLoopWorkerTQ._agent_loop_postprocess", ("output", "validate"), "the rollout"),
    Point(_WORKER, "AgentLoopWorkerTQ._compute_score", ("outputs", "kwargs"), "scoring each row"),
    Point(_WORKER, "AgentLoopWorkerTQ._compute_multi_modal_inputs", ("output", "input_ids"), "the rows' fields"),
    Point(
        _WORKER,
        "AgentLoopWorkerTQ._compute_position_ids",
        ("input_ids", "attention_mask", "multi_modal_inputs"),
        "the rows' fields",
    ),
    Point(
        "verl.experimental.agent_loop.single_turn_agent_loop",
        "SingleTurnAgentLoop.run",
        ("sampling_params",),
        "the full thought",
    ),
    Point(_SERVER, "vLLMReplica.launch_servers", (), "telling why an engine failed"),
    Point(_TRAINER, "PPOTrainer._balance_batch", ("batch", "metrics", "logging_prefix"), "layout=packed"),
    Point(_ENGINE, "FSDPEngineWithLMHead.initialize", (), "layout=packed"),
    Point(_ENGINE, "FSDPEngineWithLMHead.forward_backward_batch", ("data", "loss_function"), "layout=packed"),
    Point(_ENGINE, "prepare_micro_batches", ("data", "dp_group"), "layout=packed"),
    Point(_ENGINE, "FSDPEngineWithLMHead.prepare_model_inputs", ("micro_batch",), "layout=packed"),
    Point(
        _ENGINE, "FSDPEngineWithLMHead.prepare_model_outputs", ("output", "output_args", "micro_batch"), "layout=packed"
    ),
)


def changed(points: tuple[Point, ...] | None = None) -> list[str]:
    """A sentence for each point (all by default) that this verl does not have, or has with other parameters."""
    return [sentence for point in points or POINTS if (sentence := _change(point))]


def _change(point: Point) -> str | None:
    where = f"verl's {point.module}.{point.name} ({point.used_for})"
    try:
        found: Any = importlib.import_module(point.module)
        for part in point.name.split("."):
            found = getattr(_plain(found), part)
    except ModuleNotFoundError as error:
        if error.name == "vllm":  # another rollout engine's machine, where nothing of vLLM's is hooked into
            return None
        return f"{where} is gone: {error}"
    except (ImportError, AttributeError) as error:
        return f"{where} is gone: {error}"
    has = inspect.signature(found).parameters
    lost = [name for name in point.parameters if name not in has]
    return f"{where} no longer takes {', '.join(lost)}; it takes {', '.join(has)}" if lost else None


def _plain(found: Any) -> Any:
    """The class underneath a Ray actor class."""
    metadata = getattr(found, "__ray_metadata__", None)
    return found if metadata is None else metadata.modified_class
