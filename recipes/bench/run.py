"""What S-GRPO costs beside GRPO, and what the packed layout saves: one model, on the CPU, every figure of one run.

    python -m recipes.bench.run --out outputs/bench

First old_log_prob and update alone, at fixed lengths of the thought, and their memory with a large vocabulary; then
rollouts, and whole steps of stock main_ppo, whose thoughts have a long tail; last, whether five steps with either
layout end at the same weights. Each measurement is a process of
its own, one after another, so compare within a run only.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import typer
from rich.console import Console

from recipes import command
from recipes.bench import report
from recipes.bench.agree import agreement
from recipes.bench.model import BYPASS, S_GRPO, write_model
from recipes.bench.update import LOGITS
from sgrpo_verl.files import read_lines
from sgrpo_verl.selftest.groups import NUM_EXITS
from sgrpo_verl.workbench.data import write_data
from sgrpo_verl.workbench.tasks import TASKS
from sgrpo_verl.workbench.train import train, training_command

LAYOUTS = ("GRPO", "rows", "unpadded", "packed", "plain")
THOUGHTS = "512,2048,8192"
LONGEST_OF_ROWS = 4096  # beyond, only packed and plain: rows would take minutes
ONCE = ("--repeats", "0")
LARGE_VOCABULARY = 8_192  # where logits weigh most
SHORT = ("--thought", "120", "--answer", "12")
LANGUAGE_MODEL = {  # the shape of SmolLM2-135M
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "vocab_size": 49_152,
}
BLOCK_SIZE = 32  # of vLLM's prefix cache, in tokens; the CPU's own is 128
STEPS = 3  # of which the first counts for nothing
PROMPTS = 4
PACKED = "algorithm.sgrpo.layout=packed"
RUNS: dict[str, tuple[str, ...]] = {
    "GRPO": ("+sgrpo=without_serial_group",),
    "S-GRPO-rows": (*S_GRPO, "algorithm.sgrpo.layout=rows"),
    "S-GRPO-packed": (*S_GRPO, PACKED),
    "S-GRPO-packed-bypass": (*S_GRPO, PACKED, BYPASS),
}
# Rollouts of S-GRPO and of its thoughts alone: prompts a step, the most sequences that vLLM runs at once.
ROLLOUTS = {"few prompts": (8, 256), "many prompts": (32, 64)}
THOUGHT_LENGTH, ANSWER_LENGTH = 512, 24  # tokens: the mean thought of a rollout, and every answer
console = Console()


def main(
    out: Annotated[Path, typer.Option(help="Folder for results.json, tables and plots.")] = Path("outputs/bench"),
    thoughts: Annotated[str, typer.Option(help="Lengths of the thought, in tokens, comma-separated.")] = THOUGHTS,
    max_response: Annotated[int, typer.Option(help="Maximum tokens of a response in main_ppo.")] = 1024,
) -> None:
    """Measure everything that is not there yet, then write ``results.json``, ``performance.md`` and plots."""
    lengths = command.numbers("--thoughts", thoughts)
    out = command.made(out)
    model = write_model(out / "model")

    def updates() -> list[dict[str, Any]]:
        return [
            _update(model, "--layout", layout, "--thought", f"{thought}")
            for thought in lengths
            for layout in (LAYOUTS if thought <= LONGEST_OF_ROWS else ("packed", "plain"))
        ]

    def memory() -> list[dict[str, Any]]:
        large = write_model(out / "large-vocabulary", vocab_size=LARGE_VOCABULARY)
        return [
            _update(large, "--layout", layout, "--thought", f"{thought}", "--logits", logits, "--entropy", *ONCE)
            for thought in lengths
            if thought <= LONGEST_OF_ROWS
            for logits in LOGITS
            for layout in ("rows", "packed")
        ]

    def short_groups() -> list[dict[str, Any]]:
        language = write_model(out / "language-model", **LANGUAGE_MODEL)
        return [
            {"model": name, "groups": groups, **_update(folder, "--layout", layout, "--prompts", groups, *SHORT)}
            for name, folder, groups in (("3.4 M", model, "16"), ("135 M", language, "4"))
            for layout in ("packed", "plain")
        ]

    parts: dict[str, Callable[[], Any]] = {
        "rollouts": lambda: {name: _rollout(model, out / "rollouts" / name, *ROLLOUTS[name]) for name in ROLLOUTS},
        "short_groups": short_groups,
        "updates": updates,
        "memory": memory,
        "agreement": lambda: agreement(model, out / "agree", console),
        "steps": lambda: {name: _steps(model, out / name, max_response, RUNS[name]) for name in RUNS},
    }
    results = {
        "block_size": BLOCK_SIZE,
        **{name: _kept(out / f"{name}.json", measure) for name, measure in parts.items()},
    }
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    report.write(out, console)


def _kept(file: Path, measure: Callable[[], Any]) -> Any:
    """What an earlier start measured, or measured now."""
    if not file.exists():
        found = json.dumps(measure(), indent=2) + "\n"
        file.write_text(found)
    return json.loads(file.read_text())


def _update(model: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "recipes.bench.update", "--model", str(model), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    console.print(found)
    return found


def _rollout(model: Path, folder: Path, prompts: int, max_num_seqs: int) -> dict[str, float]:
    """Rollouts of serial groups and of their thoughts alone, which are equally long: seconds and tokens of a step."""
    found: dict[str, float] = {"prompts": prompts, "max_num_seqs": max_num_seqs}
    for name, alone in (("thoughts", {"SGRPO_BENCH_ALONE": "1"}), ("groups", {})):
        overrides = (
            *(*S_GRPO, PACKED, f"algorithm.sgrpo.answer_length={ANSWER_LENGTH}"),
            f"actor_rollout_ref.rollout.max_num_seqs={max_num_seqs}",
        )
        probe = {"SGRPO_BENCH_LENGTHS": str(THOUGHT_LENGTH), **alone}
        run = _steps(model, folder / name, 4 * THOUGHT_LENGTH, overrides, prompts, **probe)
        found[name] = mean(step["timing_s/gen"] for step in run["metrics"])
        found[f"{name}_tokens"] = mean(step["sgrpo/generated_tokens"] for step in run["metrics"])
    return found


def _steps(
    model: Path,
    folder: Path,
    max_response: int,
    overrides: tuple[str, ...],
    prompts: int = PROMPTS,
    **environment: str,
) -> dict[str, Any]:
    """Metrics of every step but the first, and what the server had of each early exit's prompt."""
    folder.mkdir(parents=True, exist_ok=True)
    exits = folder / "exits.jsonl"
    exits.unlink(missing_ok=True)
    data = write_data(folder / "data", TASKS["sums"], train=prompts * STEPS, validation=8, test=8)
    command = training_command(model, data, folder, 0, STEPS, overrides)
    command += [
        f"data.train_batch_size={prompts}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={prompts}",
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
        "rows": prompts * (NUM_EXITS + 1),
        "metrics": steps[1:],
        "exits": list(read_lines(exits)) if exits.exists() else [],
    }


if __name__ == "__main__":
    command.run(main)
