"""Five optimizer steps of stock main_ppo with rows, packed, and without old_log_prob: how far apart the weights end.

Every request has a seed that its prompt gives it, so that the runs sample the same for as long as their weights agree.
"""

from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import AutoModelForCausalLM

from recipes.bench.model import BYPASS, MAX_POSITIONS, S_GRPO
from sgrpo_verl.files import read_lines
from sgrpo_verl.workbench.data import write_data
from sgrpo_verl.workbench.tasks import TASKS
from sgrpo_verl.workbench.train import train, training_command

STEPS = 5
PROMPTS = 4  # a step, and in its one mini-batch
LEARNING_RATE = 1e-3  # so that the weights move by far more than they may differ


LAYOUTS: dict[str, tuple[str, ...]] = {
    "rows": ("algorithm.sgrpo.layout=rows",),
    "packed": ("algorithm.sgrpo.layout=packed",),
    "packed-bypass": ("algorithm.sgrpo.layout=packed", BYPASS),
}


def agreement(model: Path, out: Path, console: Console) -> dict[str, Any]:
    """Train in every way; rollouts and weights compared with those of rows."""
    data = write_data(out / "data", TASKS["sums"], train=PROMPTS * STEPS, validation=8, test=8)
    trained = {name: _train(model, data, out / name, chosen, console) for name, chosen in LAYOUTS.items()}
    before, rows = _weights(model), _weights(trained["rows"])
    moved = (rows - before).abs()
    found: dict[str, Any] = {
        "steps": STEPS,
        "learning_rate": LEARNING_RATE,
        "largest_movement": moved.max().item(),
        "median_movement": moved.median().item(),
    }
    rollouts = _rollouts(out / "rows")
    for name in [name for name in LAYOUTS if name != "rows"]:
        apart = (_weights(trained[name]) - rows).abs()
        found[name] = {
            "same_rollouts": rollouts == _rollouts(out / name),
            "largest_difference": apart.max().item(),
            "relative_difference": (apart.norm() / moved.norm()).item(),
        }
    return found


def _train(model: Path, data: dict[str, Path], folder: Path, chosen: tuple[str, ...], console: Console) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    command = training_command(model, data, folder, 0, STEPS, (*S_GRPO, *chosen))
    command += [
        f"data.train_batch_size={PROMPTS}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={PROMPTS}",
        "data.max_response_length=512",
        f"actor_rollout_ref.actor.optim.lr={LEARNING_RATE}",
        "actor_rollout_ref.actor.optim.lr_scheduler_type=constant",
        "actor_rollout_ref.rollout.enable_chunked_prefill=false",  # vLLM on the CPU cannot split a seeded request
        f"actor_rollout_ref.rollout.max_num_batched_tokens={MAX_POSITIONS}",
        "reward.custom_reward_function.path=pkg://recipes.bench.model",
        f"trainer.rollout_data_dir={folder}/rollouts",
    ]
    console.rule(f"{STEPS} steps, {folder.name}")
    probe = {"VERL_USE_EXTERNAL_MODULES": "recipes.bench.probe", "SGRPO_BENCH_SEEDS": "1"}
    return train(command, folder, STEPS, console, PYTHONPATH=str(Path(__file__).parents[2]), **probe)[1]


def _rollouts(folder: Path) -> list[list[tuple[str, float]]]:
    """What every step trained on: responses and rewards, in no order."""
    files = [folder / "rollouts" / f"{step}.jsonl" for step in range(1, STEPS + 1)]
    return [sorted((row["output"], row["score"]) for row in read_lines(file)) for file in files]


def _weights(folder: Path) -> torch.Tensor:
    state = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
    return torch.cat([state[name].flatten() for name in sorted(state)])
