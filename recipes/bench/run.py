"""What S-GRPO costs beside GRPO, and what the packed layout saves: one model, on the CPU, every figure of one run.

    python -m recipes.bench.run --out outputs/bench

First old_log_prob and update alone, at fixed lengths of the thought; then whole steps of stock main_ppo, whose thoughts
have a long tail; last, whether five steps with either layout end at the same weights. Each measurement is a process of
its own, one after another, so compare within a run only.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from recipes.bench import report
from recipes.bench.agree import agreement
from recipes.bench.model import S_GRPO, write_model
from sgrpo_verl.files import read_lines
from sgrpo_verl.selftest.groups import NUM_EXITS
from sgrpo_verl.toy.data import write_data
from sgrpo_verl.toy.tasks import TASKS
from sgrpo_verl.toy.train import train, training_command

LAYOUTS = ("GRPO", "rows", "unpadded", "packed")
THOUGHTS = "256,512,1024,2048,4096"
BLOCK_SIZE = 32  # of vLLM's prefix cache, in tokens; the CPU's own is 128
STEPS = 3  # of which the first counts for nothing
PROMPTS = 8
RUNS = {
    "GRPO": (("+sgrpo=without_serial_group",), {}),
    "S-GRPO-rows": (S_GRPO, {}),
    "S-GRPO-packed": ((*S_GRPO, "algorithm.sgrpo.layout=packed"), {}),
    "S-GRPO-packed-barrier": ((*S_GRPO, "algorithm.sgrpo.layout=packed"), {"SGRPO_BENCH_BARRIER": "1"}),
}
console = Console()


def main(
    out: Annotated[Path, typer.Option(help="Folder for results.json, tables and plots.")] = Path("outputs/bench"),
    thoughts: Annotated[str, typer.Option(help="Lengths of the thought for old_log_prob and update.")] = THOUGHTS,
    max_response: Annotated[int, typer.Option(help="Most tokens of a response in main_ppo.")] = 4096,
) -> None:
    """Measure everything, then write ``results.json``, ``performance.md`` and plots."""
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    model = write_model(out / "model")
    updates = []
    for thought in map(int, thoughts.split(",")):
        for layout in LAYOUTS:
            updates.append(_update(model, layout, thought))
            console.print(updates[-1])
    steps = {name: _steps(model, out / name, max_response, *run) for name, run in RUNS.items()}
    agree = agreement(model, out / "agree", console)
    results = {"block_size": BLOCK_SIZE, "updates": updates, "steps": steps, "agreement": agree}
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    report.write(out, console)


def _update(model: Path, layout: str, thought: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "recipes.bench.update", "--model", str(model), "--layout", layout]
    done = subprocess.run([*command, "--thought", str(thought)], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _steps(
    model: Path, folder: Path, max_response: int, overrides: tuple[str, ...], environment: dict[str, str]
) -> dict[str, Any]:
    """Metrics of every step but the first, and what the server had of each early exit's prompt."""
    folder.mkdir(exist_ok=True)
    exits = folder / "exits.jsonl"
    exits.unlink(missing_ok=True)
    data = write_data(folder / "data", TASKS["sums"], train=PROMPTS * STEPS, validation=8, test=8)
    command = training_command(model, data, folder, 0, STEPS, overrides)
    command += [
        f"data.train_batch_size={PROMPTS}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={PROMPTS}",
        f"data.max_response_length={max_response}",
        f"actor_rollout_ref.actor.ppo_max_token_len_per_gpu={max_response + 4096}",
        f"actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu={max_response + 4096}",
        f"+actor_rollout_ref.rollout.engine_kwargs.vllm.block_size={BLOCK_SIZE}",
        "reward.custom_reward_function.path=pkg://recipes.bench.model",
        "trainer.save_freq=-1",
    ]
    console.rule(folder.name)
    probe = {
        "VERL_USE_EXTERNAL_MODULES": "recipes.bench.probe",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "SGRPO_BENCH_EXITS": str(exits),
    }
    steps, _ = train(command, folder, STEPS, console, **probe, **environment)
    return {
        "rows": PROMPTS * (NUM_EXITS + 1),
        "metrics": steps[1:],
        "exits": list(read_lines(exits)) if exits.exists() else [],
    }


if __name__ == "__main__":
    typer.run(main)
