"""What ``algorithm.sgrpo.layout=packed`` needs of a verl config, checked in the driver."""

from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

PACKED_ATTENTION = "sgrpo_packed"  # the attention implementation's name, which tells an engine to pack
STRATEGIES = ("fsdp", "fsdp2")
_ATTENTION = "actor_rollout_ref.model.override_config.attn_implementation"


def choose_packed_attention(config: DictConfig) -> dict[str, Any]:
    """Give actor and reference the attention of packed rows, in place; returns what was filled in, by its name."""
    if OmegaConf.select(config, _ATTENTION) == PACKED_ATTENTION:
        return {}
    with open_dict(config):
        OmegaConf.update(config, _ATTENTION, PACKED_ATTENTION, force_add=True)
    return {_ATTENTION: PACKED_ATTENTION}


def why_not_packed(config: DictConfig, rows: int) -> str | None:
    """The setting of a verl config that packed rows do not work with, and what it would have to be; None if all fit.

    Args:
        config: verl's.
        rows: of a group, early exits and full response.
    """
    for name, right, why in (
        ("actor_rollout_ref.actor.strategy", STRATEGIES, "only verl's FSDP engines pack"),
        ("actor_rollout_ref.ref.strategy", (None, *STRATEGIES), "only verl's FSDP engines pack"),
        ("actor_rollout_ref.actor.fsdp_config.pad_to_length", (None, False), "packed rows have no padding"),
        ("actor_rollout_ref.actor.shuffle", (None, False), "it scatters the rows of a group"),
        ("actor_rollout_ref.actor.router_replay.mode", (None, "disabled"), "it replays rows"),
    ):
        value = OmegaConf.select(config, name)
        if value not in right:
            choices = " or ".join(str(choice) for choice in right if choice is not None)
            return f"{name}={value}: {why}; set it to {choices}"
    return None if config.actor_rollout_ref.actor.use_dynamic_bsz else _wrong_micro_batches(config, rows)


def _wrong_micro_batches(config: DictConfig, rows: int) -> str | None:
    for name in (
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu",
        "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu",
    ):
        value = OmegaConf.select(config, name)
        if value is not None and value % rows:
            return (
                f"{name}={value}: a micro-batch has to hold whole groups of {rows} rows, so set "
                f"actor_rollout_ref.actor.use_dynamic_bsz=true or make it a multiple of {rows}"
            )
    return None
