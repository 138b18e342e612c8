"""What the language recipe trains: S-GRPO, the rows of the ablation, and the two loss aggregations at two rates."""

from recipes.ablation.variants import PAPER, ROWS, Variant

EXITS = 4  # fewer than the paper's 8, for time
_SEQ_MEAN = "actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-mean"
_HIGH_RATE = "actor_rollout_ref.actor.optim.lr=6.0e-5"  # twice the recipe's own


def variants() -> dict[str, Variant]:
    """By their names; each starts from the same taught model and sees the same prompts."""
    further = (
        Variant("length_penalty", "GRPO, length penalty", ("+sgrpo=length_penalty",)),
        Variant("cut_answers_wrong", "S-GRPO, cut answers are wrong", (PAPER, "algorithm.sgrpo.cut_answers=wrong")),
        Variant("high_rate", "S-GRPO, twice the rate", (PAPER, _HIGH_RATE)),
        Variant("seq_mean", "S-GRPO, seq-mean-token-mean", (PAPER, _SEQ_MEAN)),
        Variant("seq_mean_high_rate", "S-GRPO, seq-mean-token-mean, twice the rate", (PAPER, _SEQ_MEAN, _HIGH_RATE)),
    )
    return {variant.name: variant for variant in (*ROWS, *further)}


def rows_of_a_prompt(variant: Variant) -> str:
    """The override that gives every variant as many rows a prompt."""
    serial_group = variant.overrides[0] not in ("+sgrpo=without_serial_group", "+sgrpo=length_penalty")
    return f"algorithm.sgrpo.num_exits={EXITS}" if serial_group else f"actor_rollout_ref.rollout.n={EXITS + 1}"
