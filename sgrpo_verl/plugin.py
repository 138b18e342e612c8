"""The one door by which verl comes in: verl loads this entry point (``verl.plugins``) in each of its processes.

It runs inside ``import verl``, so it imports next to nothing: what there is to register waits until verl imports the
module concerned. Whatever fails here is reported, and verl goes on without S-GRPO.
"""

import inspect
import logging
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import wrapt

logger = logging.getLogger(__name__)
logger.setLevel(logging.WARNING)  # verl's vLLM server raises the root's to ERROR, and what fails here must be seen
Hook = Callable[[ModuleType], None]


def _guarded(hook: Hook) -> Hook:
    """An error in ours must not become one of verl's."""

    def run(module: ModuleType) -> None:
        try:
            hook(module)
        except Exception as error:
            logger.warning(
                "sgrpo-verl could not register with %s (%s: %s). verl goes on; S-GRPO or the CPU platform will not "
                "work. Install a version of verl that sgrpo-verl's README names as tested, and sgrpo-verl again.",
                module.__name__,
                type(error).__name__,
                error,
            )

    return run


def _register_advantage_estimator(core_algos: ModuleType) -> None:
    from sgrpo_verl.advantage import compute_sgrpo_advantage
    from sgrpo_verl.config import ADV_ESTIMATOR

    core_algos.register_adv_est(ADV_ESTIMATOR)(compute_sgrpo_advantage)


def _complete_config_in_driver(verl_config: ModuleType) -> None:
    """verl has no registry for checks of an algorithm's settings; the driver makes its own in ``validate_config``."""

    def validate(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
        config = args[0] if args else kwargs["config"]
        if str(config.algorithm.adv_estimator) == "sgrpo":
            from sgrpo_verl.driver import prepare

            prepare(config)
        return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper(verl_config, "validate_config", validate)


def _add_metrics(trainer_base: ModuleType) -> None:
    """The V1 trainer has no registry for an algorithm's metrics; all its modes compute theirs here."""
    signature = inspect.signature(trainer_base.PPOTrainer._compute_metrics.__get__(object()))
    signature.bind_partial(batch=None, metrics=None)  # raises, and so is reported, when verl renames them

    def compute_metrics(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
        result = wrapped(*args, **kwargs)
        if str(instance.config.algorithm.adv_estimator) == "sgrpo":
            from sgrpo_verl.metrics import check_metrics, notes_of, nothing_to_cut, serial_group_metrics

            arguments = signature.bind(*args, **kwargs).arguments
            batch = arguments["batch"]
            ours = serial_group_metrics(batch.tags)
            if not hasattr(instance, "_sgrpo_notes") and (warning := nothing_to_cut(ours, instance.config)):
                logger.warning(warning)
            arguments["metrics"].update(ours)
            arguments["metrics"].update(check_metrics(instance.get_reward_handles() or []))
            instance._sgrpo_notes = {key: notes_of(tag) for key, tag in zip(batch.keys, batch.tags, strict=True)}
        return result

    wrapt.wrap_function_wrapper(trainer_base, "PPOTrainer._compute_metrics", compute_metrics)


def _add_columns_to_dump(trainer_base: ModuleType) -> None:
    """``trainer.rollout_data_dir``: verl dumps text and scores of a step's rows; which exit a row is, the tags say."""
    signature = inspect.signature(trainer_base.PPOTrainer._dump_generations.__get__(object()))
    signature.bind_partial(reward_extra_infos_dict=None, dump_path=None)

    def dump(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
        bound = signature.bind(*args, **kwargs)
        notes = getattr(instance, "_sgrpo_notes", None)
        columns = bound.arguments["reward_extra_infos_dict"]
        if notes is not None and bound.arguments["dump_path"] == instance.config.trainer.get("rollout_data_dir"):
            from sgrpo_verl.metrics import dumped_columns

            bound.arguments["reward_extra_infos_dict"] = {**columns, **dumped_columns(columns["uid"], notes)}
        return wrapped(*bound.args, **bound.kwargs)

    wrapt.wrap_function_wrapper(trainer_base, "PPOTrainer._dump_generations", dump)


def _end_a_lost_rollout(replay_buffer: ModuleType) -> None:
    """verl's trainer polls for rows, and looks no further; this is where it waits."""

    def wait(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
        if manager := sys.modules.get("sgrpo_verl.rollout.manager"):
            manager.raise_if_lost()
        return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper(replay_buffer, "ReplayBuffer._wait_for_next_poll", wait)


def _balance_packed_groups(trainer_base: ModuleType) -> None:
    """verl deals rows to ranks one by one, by their own length; a packed group has to stay on one rank."""
    signature = inspect.signature(trainer_base.PPOTrainer._balance_batch.__get__(object()))
    signature.bind_partial(batch=None, metrics=None)

    def balance(wrapped: Callable, instance: Any, args: tuple, kwargs: dict) -> Any:
        batch = wrapped(*args, **kwargs)
        algorithm = instance.config.algorithm
        if str(algorithm.adv_estimator) == "sgrpo" and algorithm.sgrpo.layout == "packed":
            from sgrpo_verl.packed.balance import by_rank, own_tokens

            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            ranks = max(instance.actor_rollout_wg._dispatch_info["actor"]) + 1
            rows = by_rank(batch.keys, batch.tags, ranks)
            tokens = [own_tokens(tag) for tag in batch.tags]
            prefix = bound.arguments["logging_prefix"]
            bound.arguments["metrics"].update(trainer_base.log_seqlen_unbalance(tokens, rows, prefix))
            batch.reorder([row for rank in rows for row in rank])
        return batch

    wrapt.wrap_function_wrapper(trainer_base, "PPOTrainer._balance_batch", balance)


def _register_cpu_platform(platform_manager: ModuleType) -> None:
    from sgrpo_verl.cpu import patches, platform

    platform_manager.PlatformRegistry.register(platform="cpu")(platform.PlatformCPU)
    patches.apply()


def _pack_rows(transformer_impl: ModuleType) -> None:
    """verl has no hook between an engine's rows and its model."""
    from sgrpo_verl.packed import engine

    engine.install(transformer_impl)


def _tell_why_an_engine_failed(vllm_server: ModuleType) -> None:
    """verl hands on what vLLM says of its engine's failure: that the cause stands in some log."""
    from sgrpo_verl.rollout import engine_failure

    engine_failure.install(vllm_server)


for _module, _hook in (
    ("verl.plugin.platform.platform_manager", _register_cpu_platform),
    ("verl.utils.config", _complete_config_in_driver),
    ("verl.trainer.ppo.core_algos", _register_advantage_estimator),
    ("verl.trainer.ppo.v1.trainer_base", _add_metrics),
    ("verl.trainer.ppo.v1.trainer_base", _add_columns_to_dump),
    ("verl.trainer.ppo.v1.replay_buffer", _end_a_lost_rollout),
    ("verl.trainer.ppo.v1.trainer_base", _balance_packed_groups),
    ("verl.workers.engine.fsdp.transformer_impl", _pack_rows),
    ("verl.workers.rollout.vllm_rollout.vllm_async_server", _tell_why_an_engine_failed),
):
    wrapt.when_imported(_module)(_guarded(_hook))
