"""What the language recipe trains: S-GRPO, the rows of the ablation, and the two loss aggregations at two rates."""

from recipes.ablation.variants import PAPER, ROWS, TAUGHT, Variant

EXITS = 4  # fewer than the paper's 8, for time
_SEQ_MEAN = "actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-mean"
_HIGH_RATE = "actor_rollout_ref.actor.optim.lr=6.0e-5"  # twice the recipe's own
_LOW_RATE = "actor_rollout_ref.actor.optim.lr=1.5e-5"  # half of it
_CUT_IS_WRONG = "algorithm.sgrpo.cut_answers=wrong"

# A closing tag was not sampled, so the rollout has no log-prob of it; the actor computes its own.
_OLD_LOG_PROBS = "algorithm.rollout_correction.bypass_mode=false"


def variants() -> dict[str, Variant]:
    """By their names; each starts from the same taught model and sees the same prompts."""
    further = (
        Variant("length_penalty", "GRPO, length penalty", ("+sgrpo=length_penalty",)),
        Variant("cut_answers_wrong", "S-GRPO, cut answers are wrong", (PAPER, _CUT_IS_WRONG)),
        Variant(
            "cut_answers_wrong_high_rate",
            "S-GRPO, cut answers are wrong, twice the rate",
            (PAPER, _CUT_IS_WRONG, _HIGH_RATE),
        ),
        Variant("high_rate", "S-GRPO, twice the rate", (PAPER, _HIGH_RATE)),
        Variant("seq_mean", "S-GRPO, seq-mean-token-mean", (PAPER, _SEQ_MEAN)),
        Variant("seq_mean_high_rate", "S-GRPO, seq-mean-token-mean, twice the rate", (PAPER, _SEQ_MEAN, _HIGH_RATE)),
        Variant("taught_stop", "taught stop", (TAUGHT, _OLD_LOG_PROBS)),
        Variant("taught_stop_low_rate", "taught stop, half the rate", (TAUGHT, _OLD_LOG_PROBS, _LOW_RATE)),
        Variant("positions", "exits at the ends of lines alone", (TAUGHT, "algorithm.sgrpo.train_closing_tag=false")),
        Variant(
            "closing_tag",
            "closing tag trained alone",
            (TAUGHT, "algorithm.sgrpo.exit_sampling=uniform", _OLD_LOG_PROBS),
        ),
    )
    return {variant.name: variant for variant in (*ROWS, *further)}


def rows_of_a_prompt(variant: Variant, answer_tokens: int) -> tuple[str, ...]:
    """The overrides that give every variant as many rows a prompt; ``answer_tokens``: limit of an early exit's answer.

    Rows that share no thought are computed without padding, 1,024 tokens at a time. With padding, 4,096 at a time took
    23 GB; without, 4,096 at a time took half as long again, because every row is masked against all others.
    """
    if variant.overrides[0] in ("+sgrpo=without_serial_group", "+sgrpo=length_penalty"):
        without_padding = "actor_rollout_ref.model.use_remove_padding=true"
        few_at_a_time = "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=1024"
        return f"actor_rollout_ref.rollout.n={EXITS + 1}", without_padding, few_at_a_time
    return f"algorithm.sgrpo.num_exits={EXITS}", f"algorithm.sgrpo.answer_length={answer_tokens}"
