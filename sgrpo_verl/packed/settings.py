"""What ``algorithm.sgrpo.layout=packed`` requires of a verl config, checked in the driver."""

import os
from typing import Any

import verl
from omegaconf import DictConfig, OmegaConf, open_dict
from packaging.version import Version

from sgrpo_verl.hooks.table import PACKED_ATTENTION

STRATEGIES = ("fsdp", "fsdp2")
_ATTENTION = "actor_rollout_ref.model.override_config.attn_implementation"
_REPLACED = (None, "sdpa", PACKED_ATTENTION)  # torch's own is what rows have where there is no other
_KEEPS_WITHIN = Version("0.9.1")


def choose_packed_attention(config: DictConfig) -> dict[str, Any]:
    """Give actor and reference the attention of packed rows, in place; returns what was filled in, by its name."""
    if OmegaConf.select(config, _ATTENTION) == PACKED_ATTENTION:
        return {}
    with open_dict(config):
        OmegaConf.update(config, _ATTENTION, PACKED_ATTENTION, force_add=True)
    return {_ATTENTION: PACKED_ATTENTION}


def why_not_packed(config: DictConfig, rows: int) -> str | None:
    """The setting of a verl config that rules out packed rows, and what it would have to be; None if there is none.

    Args:
        config: verl's.
        rows: of a group, early exits and full response.
    """
    if (chosen := OmegaConf.select(config, _ATTENTION)) not in _REPLACED:
        return f"{_ATTENTION}={chosen}: packed rows bring an attention of their own; leave it out"
    for name, right, why in (
        ("actor_rollout_ref.actor.strategy", STRATEGIES, "only verl's FSDP engines pack"),
        ("actor_rollout_ref.ref.strategy", (None, *STRATEGIES), "only verl's FSDP engines pack"),
        ("actor_rollout_ref.actor.fsdp_config.pad_to_length", (None, False), "packed rows have no padding"),
        ("actor_rollout_ref.ref.fsdp_config.pad_to_length", (None, False), "packed rows have no padding"),
        ("actor_rollout_ref.actor.shuffle", (None, False), "it scatters the rows of a group"),
    ):
        value = OmegaConf.select(config, name)
        if value not in right:
            choices = " or ".join(str(choice) for choice in right if choice is not None)
            return f"{name}={value}: {why}; set it to {choices}"
    if OmegaConf.select(config, "trainer.device") == "npu":
        return "trainer.device=npu: torch has no flex_attention there; use another device"
    if what := _what_no_packed_attention_has(config):
        return f"actor_rollout_ref.model.path={config.actor_rollout_ref.model.path}, whose {what}: choose another model"
    return None if config.actor_rollout_ref.actor.use_dynamic_bsz else _wrong_micro_batches(config, rows)


def overfull_micro_batches() -> str | None:
    """What verl before 0.9.1 does to packed groups, which are long; None for later ones."""
    if Version(verl.__version__) >= _KEEPS_WITHIN:
        return None
    return (
        f"verl {verl.__version__} makes micro-batches of packed groups up to half as long again as "
        "actor_rollout_ref.actor.ppo_max_token_len_per_gpu allows; install verl 0.9.1"
    )


def _what_no_packed_attention_has(config: DictConfig) -> str | None:
    """What the model's attention needs that packed rows do not support; None also if its config cannot be read.

    The attention itself also refuses most of it, once the model runs.
    """
    found = _model_config(config.actor_rollout_ref.model)
    if found is None:
        return None
    if hasattr(found, "vision_config"):
        return "tokens have positions in pictures (vision_config)"
    text = found.get_text_config()
    for name, none in (("sliding_window", None), ("attn_logit_softcapping", None), ("attention_dropout", 0.0)):
        value = getattr(text, name, none)
        if value not in (None, none):
            return f"attention has {name}={value}"
    if other := sorted({*(getattr(text, "layer_types", None) or ())} - {"full_attention"}):
        return f"layers are not all full attention: layer_types has {', '.join(other)}"
    if not _takes_an_attention(found):
        return f"model class brings an attention of its own (model_type={found.model_type})"
    return None


def _takes_an_attention(found: Any) -> bool:
    """Whether transformers lets the attention of the model that verl will load be replaced."""
    from transformers import AutoModelForCausalLM

    if "AutoModelForCausalLM" in (getattr(found, "auto_map", None) or {}):
        return False
    model = AutoModelForCausalLM._model_mapping.get(type(found), None)
    return model is None or bool(getattr(model, "_supports_attention_backend", True))


def _model_config(model: DictConfig) -> Any:
    """transformers' config of a model that verl will load; from the disk if it is there, else from the hub."""
    from transformers import AutoConfig

    for local_files_only in (True, False):
        try:
            return AutoConfig.from_pretrained(
                os.path.expanduser(str(model.path)),
                trust_remote_code=bool(model.get("trust_remote_code", False)),
                local_files_only=local_files_only,
            )
        except (OSError, ValueError):
            continue
    return None


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
