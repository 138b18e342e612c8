"""What the ablation trains: the paper's four rows, and the variants of three further questions."""

from dataclasses import dataclass

SEEDS = (0, 1, 2)
NUM_STEPS = 24
UNTRAINED = "untrained"
PAPER, TAUGHT = "+sgrpo=paper", "+sgrpo=taught_stop"
RATE = "actor_rollout_ref.actor.optim.lr=1.5e-4"  # three times the toy's
PUBLISHED = ("sums", "swaps")  # the tasks of the ablation, whose reasoners stop by themselves now and then


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

# Of a reasoner that never stops after the first pass: the paper's form, the taught stop, and either half of it alone.
STOPS = (
    Variant("paper_5e-5", "S-GRPO, 5e-5", (PAPER,)),
    Variant("paper_1.5e-4", "S-GRPO, 1.5e-4", (PAPER, RATE)),
    Variant("taught_5e-5", "taught stop, 5e-5", (TAUGHT,)),
    Variant("taught_1.5e-4", "taught stop, 1.5e-4", (TAUGHT, RATE)),
    Variant(
        "positions_1.5e-4",
        "exits at the ends of lines alone, 1.5e-4",
        (TAUGHT, RATE, "algorithm.sgrpo.train_closing_tag=false"),
    ),
    Variant("tag_1.5e-4", "closing tag trained alone, 1.5e-4", (TAUGHT, RATE, "algorithm.sgrpo.exit_sampling=uniform")),
)
