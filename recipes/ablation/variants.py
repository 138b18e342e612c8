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

# Of a reasoner that never stops after the first pass: the paper's form at two rates, the taught stop, either half of it
# alone, and other choices of its rate, weight and floor.
_LOWER = "actor_rollout_ref.actor.optim.lr=1e-4"
_FLOOR = "algorithm.sgrpo.closing_tag_floor=0.01"
STOPS = (
    Variant("paper_low_rate", "S-GRPO, 5e-5", (PAPER,)),
    Variant("paper", "S-GRPO, 1.5e-4", (PAPER, RATE)),
    Variant("taught_stop", "taught stop, 1.5e-4", (TAUGHT, RATE)),
    Variant("positions", "ends of lines alone, 1.5e-4", (TAUGHT, RATE, "algorithm.sgrpo.train_closing_tag=false")),
    Variant("closing_tag", "closing tag alone, 1.5e-4", (TAUGHT, RATE, "algorithm.sgrpo.exit_sampling=uniform")),
    Variant(
        "warm_up", "taught stop, 1.5e-4, warm-up", (TAUGHT, RATE, "actor_rollout_ref.actor.optim.lr_warmup_steps=2")
    ),
    Variant("weight_1", "taught stop, 1.5e-4, weight 1", (TAUGHT, RATE, "algorithm.sgrpo.closing_tag_weight=1")),
    Variant("weight_16", "taught stop, 1.5e-4, weight 16", (TAUGHT, RATE, "algorithm.sgrpo.closing_tag_weight=16")),
    Variant("lower_rate", "taught stop, 1e-4", (TAUGHT, _LOWER)),
    Variant("low_rate", "taught stop, 5e-5", (TAUGHT,)),
    Variant("floor_lower_rate", "taught stop, 1e-4, floor 0.01", (TAUGHT, _LOWER, _FLOOR)),
    Variant("floor_low_rate", "taught stop, 5e-5, floor 0.01", (TAUGHT, _FLOOR)),
)
