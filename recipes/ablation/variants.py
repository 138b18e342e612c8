"""What the ablation trains: the paper's four rows, and the variants of three further questions."""

from dataclasses import dataclass

SEEDS = (0, 1, 2)
NUM_STEPS = 24
UNTRAINED = "untrained"
PAPER, TAUGHT = "+sgrpo=paper", "+sgrpo=taught_stop"
RATE = "actor_rollout_ref.actor.optim.lr=1.5e-4"  # three times the toy's
NO_FLOOR = "algorithm.sgrpo.closing_tag_floor=0"
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

# Of a reasoner that never stops after the first pass: the paper's form at two rates, the taught stop at three, either
# half of it alone, and other choices of its floor and weight.
_LOWER = "actor_rollout_ref.actor.optim.lr=1e-4"
_HIGH_FLOOR = "algorithm.sgrpo.closing_tag_floor=0.01"
_LIGHT, _HEAVY = "algorithm.sgrpo.closing_tag_weight=1", "algorithm.sgrpo.closing_tag_weight=16"
_UNTRAINED, _UNIFORM = "algorithm.sgrpo.train_closing_tag=false", "algorithm.sgrpo.exit_sampling=uniform"
STOPS = (
    Variant("paper_low_rate", "S-GRPO, 5e-5", (PAPER,)),
    Variant("paper", "S-GRPO, 1.5e-4", (PAPER, RATE)),
    Variant("taught_stop", "taught stop, 1e-4", (TAUGHT, _LOWER)),
    Variant("high_rate", "taught stop, 1.5e-4", (TAUGHT, RATE)),
    Variant("low_rate", "taught stop, 5e-5", (TAUGHT,)),
    Variant(
        "warm_up", "taught stop, 1e-4, warm-up", (TAUGHT, _LOWER, "actor_rollout_ref.actor.optim.lr_warmup_steps=2")
    ),
    Variant("no_floor_lower_rate", "no floor, 1e-4", (TAUGHT, _LOWER, NO_FLOOR)),
    Variant("no_floor", "no floor, 1.5e-4", (TAUGHT, RATE, NO_FLOOR)),
    Variant("no_floor_weight_1", "no floor, 1.5e-4, weight 1", (TAUGHT, RATE, NO_FLOOR, _LIGHT)),
    Variant("no_floor_weight_16", "no floor, 1.5e-4, weight 16", (TAUGHT, RATE, NO_FLOOR, _HEAVY)),
    Variant("high_floor_low_rate", "floor 0.01, 5e-5", (TAUGHT, _HIGH_FLOOR)),
    Variant("high_floor", "floor 0.01, 1e-4", (TAUGHT, _LOWER, _HIGH_FLOOR)),
    Variant("positions", "ends of lines alone, 1.5e-4", (TAUGHT, RATE, _UNTRAINED)),
    Variant("closing_tag", "closing tag alone, no floor, 1.5e-4", (TAUGHT, RATE, NO_FLOOR, _UNIFORM)),
)
