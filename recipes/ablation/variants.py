"""What the ablation trains: the paper's four rows, and the variants of three further questions."""

from dataclasses import dataclass

SEEDS = (0, 1, 2)
NUM_STEPS = 24
UNTRAINED = "untrained"
PAPER = "+sgrpo=paper"


@dataclass(frozen=True)
class Variant:
    """One way to train; every variant of a task starts from the same reasoner and sees the same prompts."""

    name: str  # of its folder
    title: str  # in tables and plots
    overrides: tuple[str, ...]  # on stock main_ppo


# 16 prompts a step and 9 rows each, whichever row of the table.
ROWS = (
    Variant("sgrpo", "S-GRPO", (PAPER,)),
    Variant("without_decay", "w/o decay (all 1)", ("+sgrpo=without_decay",)),
    Variant("shortest_only", "w/o decay (shortest 1)", ("+sgrpo=shortest_only",)),
    Variant("without_serial_group", "w/o serial group (GRPO)", ("+sgrpo=without_serial_group",)),
)
QUESTIONS = (
    Variant(
        "seq_mean_token_mean",
        "S-GRPO, seq-mean-token-mean",
        (PAPER, "actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-mean"),
    ),
    Variant("train_exit_prompt", "S-GRPO, exit prompt trained on", (PAPER, "algorithm.sgrpo.train_exit_prompt=true")),
    Variant("exits_2", "S-GRPO, 2 exits", (PAPER, "algorithm.sgrpo.num_exits=2")),
    Variant("exits_4", "S-GRPO, 4 exits", (PAPER, "algorithm.sgrpo.num_exits=4")),
    Variant("even_exits", "S-GRPO, exits evenly spaced", (PAPER, "algorithm.sgrpo.exit_sampling=even")),
)
