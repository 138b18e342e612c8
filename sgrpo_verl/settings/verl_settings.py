"""What S-GRPO asks of verl's own settings: what it cannot work with is an error, what is hardly meant a warning."""

import math
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from sgrpo_verl.packed.settings import STRATEGIES, overfull_micro_batches
from sgrpo_verl.settings.config import AGENT_LOOP_MANAGER, SINGLE_TURN_AGENT, SGRPOConfig
from sgrpo_verl.settings.escapes import miswritten, shown

REWARD_PHRASE = "reward.custom_reward_function.reward_kwargs.think_end"
# Names from older versions of verl that its config still has, and that main_ppo no longer reads; the names it reads
# (verl/experimental/reward_loop/reward_loop.py, migrate_legacy_reward_impl).
UNREAD = {
    "custom_reward_function.path": "reward.custom_reward_function.path",
    "custom_reward_function.name": "reward.custom_reward_function.name",
    "reward_model.enable": "reward.reward_model.enable",
    "reward_model.reward_manager": "reward.reward_manager.name",
    "reward_model.reward_loop_source": "reward.reward_manager.source",
    "reward_model.reward_loop_module_path": "reward.reward_manager.module.path",
    "reward_model.reward_loop_class_name": "reward.reward_manager.module.name",
    "reward_model.reward_kwargs": "reward.reward_kwargs",
    "reward_model.model.path": "reward.reward_model.model_path",
    "sandbox_fusion.url": "reward.sandbox_fusion.url",
}


def check_verl_settings(config: DictConfig, settings: SGRPOConfig) -> None:
    """Check the settings of verl that S-GRPO cannot work with."""
    rollout = config.actor_rollout_ref.rollout
    for section in ("rollout", "async_training"):  # of verl's experimental one-step-off and fully-async trainers
        if section in config:
            raise ValueError(
                f"{section}.* is a section of another trainer's config: S-GRPO needs verl's own, "
                "python -m verl.trainer.main_ppo; for asynchronous training set trainer.v1.trainer_mode"
            )
    if not config.trainer.use_v1:
        raise ValueError("trainer.use_v1=false: S-GRPO needs verl's V1 trainer, so leave trainer.use_v1 at true")
    if not config.trainer.get("val_only", False):
        _check_temperature(rollout.temperature)
        _check_mini_batches(config, settings)
    manager = rollout.agent.get("agent_loop_manager_class")
    if manager not in (None, "", AGENT_LOOP_MANAGER):
        raise ValueError(
            f"actor_rollout_ref.rollout.agent.agent_loop_manager_class={manager}: S-GRPO brings its own "
            "rollout, so leave it out"
        )
    if rollout.agent.default_agent_loop != SINGLE_TURN_AGENT:
        raise ValueError(
            f"actor_rollout_ref.rollout.agent.default_agent_loop={rollout.agent.default_agent_loop}: S-GRPO cuts the "
            f"thought of a single turn, so it must be {SINGLE_TURN_AGENT} (rows that name another are left to verl)"
        )
    if rollout.multi_turn.enable:
        raise ValueError(
            "actor_rollout_ref.rollout.multi_turn.enable=true: S-GRPO cuts the thought of a single turn; set it to "
            "false (rows that name another agent are left to verl)"
        )
    phrase = OmegaConf.select(config, REWARD_PHRASE)
    if isinstance(phrase, str) and (why := miswritten(phrase)):
        raise ValueError(f"{REWARD_PHRASE}={shown(phrase)} {why}")
    model = config.actor_rollout_ref.model
    if not model.get("lora_adapter_path") and (Path(str(model.path)) / "lora_adapter").is_dir():
        raise ValueError(
            f"actor_rollout_ref.model.path={model.path} holds a LoRA adapter beside the weights of its base, as verl's "
            "merger leaves it, and verl loads the base alone: set actor_rollout_ref.model.lora_adapter_path="
            f"{model.path}/lora_adapter, or train on the folder merged_model that `sgrpo eval` makes"
        )
    reward_model = config.reward.reward_model
    if reward_model.enable and not reward_model.enable_resource_pool:
        raise ValueError(
            "reward.reward_model.enable=true without a resource pool: a colocated reward model scores after rollout, "
            "too late for S-GRPO; use a reward function alone, or set reward.reward_model.enable_resource_pool=true "
            "and a reward.custom_reward_function that asks the model"
        )
    _check_unread(config)
    if config.critic.get("enable"):
        raise ValueError(
            "critic.enable=true: S-GRPO's advantages need no critic, so it would be trained for nothing; set it to "
            "false, or leave it out"
        )
    if OmegaConf.select(config, "skip.rollout_tq.enable", default=False):
        raise ValueError(
            "skip.rollout_tq.enable=true: verl's rollout cache repeats rows of a serial group that is short of some, "
            "which changes its advantages; set it to false"
        )
    if OmegaConf.select(config, "distillation.enabled", default=False):
        raise ValueError(
            "distillation.enabled=true: S-GRPO has no teacher log-probs for its early exits; set it to false"
        )
    if rollout.get("enable_rollout_routing_replay", False):
        raise ValueError(
            "actor_rollout_ref.rollout.enable_rollout_routing_replay=true: S-GRPO does not record expert routing for "
            "its early exits; set it to false"
        )
    correction = config.algorithm.get("rollout_correction") or {}
    for name in ("train_exit_prompt", "train_closing_tag"):
        if getattr(settings, name) and (
            corrects := [key for key in ("bypass_mode", "rollout_is", "rollout_rs") if correction.get(key)]
        ):
            raise ValueError(
                f"algorithm.sgrpo.{name}=true with algorithm.rollout_correction.{corrects[0]}="
                f"{correction[corrects[0]]}: inserted tokens were not sampled and have no rollout log-probs to correct "
                "with; switch one of the two off"
            )


def _check_unread(config: DictConfig) -> None:
    """Otherwise verl would score with another reward than the one that is named, and say nothing."""
    for old, new in UNREAD.items():
        value = OmegaConf.select(config, old)
        if value is not None and value != OmegaConf.select(config, new):
            raise ValueError(f"{old}={value}: verl's main_ppo no longer reads it; set {new}={value}")


def _check_temperature(temperature: float | None) -> None:
    if temperature is None or temperature <= 0:
        raise ValueError(
            f"actor_rollout_ref.rollout.temperature={'null' if temperature is None else temperature}: must be a number "
            "above 0; the actor divides logits by it, and nothing would be learned from greedy samples"
        )


def _check_mini_batches(config: DictConfig, settings: SGRPOConfig) -> None:
    """verl's FSDP workers assert it at the first update, after a whole rollout."""
    actor = config.actor_rollout_ref.actor
    if actor.strategy not in STRATEGIES:
        return
    old_name = actor.get("ulysses_sequence_parallel_size", 1)
    sequence_parallel = old_name if old_name > 1 else actor.fsdp_config.ulysses_sequence_parallel_size
    ranks = config.trainer.n_gpus_per_node * config.trainer.nnodes // sequence_parallel
    rows = settings.num_exits + 1
    if ranks > 0 and actor.ppo_mini_batch_size * rows % ranks:
        raise ValueError(
            f"actor_rollout_ref.actor.ppo_mini_batch_size={actor.ppo_mini_batch_size}: with {rows} rows of a prompt "
            f"that is {actor.ppo_mini_batch_size * rows} rows, and {ranks} data-parallel ranks cannot share them "
            f"evenly; set it to a multiple of {ranks // math.gcd(ranks, rows)}, and data.train_batch_size to a "
            "multiple of that"
        )


def doubtful(config: DictConfig) -> list[str]:
    """A sentence for each setting of verl's that works, and is most likely not what is wanted with S-GRPO."""
    doubts = []
    groups = config.algorithm.get("filter_groups")
    if groups is not None and groups.get("enable", False) and groups.get("metric") not in (None, "reward"):
        doubts.append(
            f"algorithm.filter_groups.metric={groups.metric}: groups are left out by something else than S-GRPO's "
            "reward. acc, for one, leaves out those whose rows are all correct, which teach most; set it to reward"
        )
    actor = config.actor_rollout_ref.actor
    if actor.loss_agg_mode == "seq-mean-token-sum-norm" and actor.get("loss_scale_factor") is None:
        doubts.append(
            "actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-sum-norm without loss_scale_factor: verl then "
            "divides a row's loss by the longest response of its micro-batch, so an early exit weighs less beside a "
            "long response than beside another exit; set actor_rollout_ref.actor.loss_scale_factor="
            f"{config.data.max_response_length}"
        )
    penalized = OmegaConf.select(config, "reward.reward_kwargs.overlong_buffer_cfg.enable", default=False)
    if penalized and OmegaConf.select(config, "reward.reward_manager.name") == "dapo":
        doubts.append(
            "reward.reward_kwargs.overlong_buffer_cfg.enable=true: S-GRPO asks only whether a row is right, so DAPO's "
            "penalty for long responses has no effect, or makes a right row wrong; set it to false. For answers that "
            "reach their limit there is algorithm.sgrpo.cut_answers=wrong"
        )
    settings = config.algorithm.get("sgrpo") or {}
    if settings.get("score") == "response" and not settings.get("think_start"):
        doubts.append(
            "algorithm.sgrpo.score=response with think_start='': the reward function sees the thought, too, so an "
            "early exit can be right by what its thought says. score=answer gives it the answer, from think_end on"
        )
    phrase, closing = OmegaConf.select(config, REWARD_PHRASE), settings.get("think_end")
    if phrase is not None and closing is not None and phrase != closing:
        doubts.append(
            f"{REWARD_PHRASE}={shown(str(phrase))} and algorithm.sgrpo.think_end={shown(closing)} differ: the reward "
            "function would look for the answer elsewhere than S-GRPO does; set both alike"
        )
    if settings.get("layout") == "packed" and (overfull := overfull_micro_batches()):
        doubts.append(f"algorithm.sgrpo.layout=packed: {overfull}, or lower that limit")
    for name in ("closing_tag_weight", "closing_tag_floor"):
        unused = settings.get(name) in (None, getattr(SGRPOConfig, name))
        if not settings.get("train_closing_tag") and not unused:
            doubts.append(
                f"algorithm.sgrpo.{name}={settings[name]} has no effect: the closing tag is trained only with "
                "algorithm.sgrpo.train_closing_tag=true"
            )
    return doubts
