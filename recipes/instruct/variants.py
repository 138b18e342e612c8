"""What the instruct recipe trains: S-GRPO, and beside it GRPO with and without a penalty on length."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from recipes.ablation.variants import PAPER, Variant

EXITS = 4  # fewer than the paper's 8, for time
ANSWER_TOKENS = 32  # of an early exit's answer, which begins inside the box
VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("sgrpo", "S-GRPO", (PAPER,)),
        Variant("grpo", "w/o serial group (GRPO)", ("+sgrpo=without_serial_group",)),
        Variant("length_penalty", "GRPO, length penalty", ("+sgrpo=length_penalty",)),
    )
}


def thought_form() -> Any:
    """``think_start``, ``think_end`` and ``exit_prompt`` of ``+thought=boxed``, for what does not read that group."""
    return OmegaConf.load(Path(__file__).parents[2] / "hydra_configs" / "thought" / "boxed.yaml").algorithm.sgrpo


def rows_of_a_prompt(variant: Variant, on_cpu: bool) -> tuple[str, ...]:
    """The overrides that give every variant as many rows a prompt, and no reward for an answer outside the box.

    An answer has to end: without that, the model went on thinking after its box. On a CPU, rows that share no thought
    are computed without padding.
    """
    if variant.overrides[0] == PAPER:
        exits = f"algorithm.sgrpo.num_exits={EXITS}", f"algorithm.sgrpo.answer_length={ANSWER_TOKENS}"
        return "+thought=boxed", *exits, "algorithm.sgrpo.cut_answers=wrong"
    without_padding = "actor_rollout_ref.model.use_remove_padding=true"
    boxed = f"+reward.custom_reward_function.reward_kwargs.think_end='{thought_form().think_end}'"
    return f"actor_rollout_ref.rollout.n={EXITS + 1}", boxed, *([without_padding] if on_cpu else [])
