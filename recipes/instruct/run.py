"""S-GRPO on an instruct model as it is, with nothing taught: GSM8K, where the thought is what stands before the box.

    python -m recipes.instruct.run --out outputs/instruct --model Qwen/Qwen2.5-0.5B-Instruct

Chooses training problems, trains with stock main_ppo, and evaluates before and after; on one GPU if there is one, else
on the CPU. Every part is kept, so that it continues where it was stopped.
"""

import os
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from recipes import command, kept
from recipes.ablation.variants import UNTRAINED, Variant
from recipes.instruct import model as models
from recipes.instruct import report
from recipes.instruct.data import ALL_TRAINING, CHOICE_PROBLEMS, TEST, TRAINING, choose, write_data
from recipes.instruct.variants import ANSWER_TOKENS, VARIANTS, rows_of_a_prompt, thought_form

NUM_STEPS, SAVE_EVERY = 24, 4
MAX_TOKENS = 512  # of a response
TEST_PROBLEMS, TEST_EXITS = 512, 8
console = Console()


class Part(str, Enum):
    train = "train"
    evaluate = "evaluate"


def main(
    model: Annotated[str, typer.Option(help="Instruct model: folder, or Hugging Face hub id.")],
    out: Annotated[Path, typer.Option(help="Folder of the models, runs, tables and plots.")] = Path("outputs/instruct"),
    names: Annotated[str, typer.Option("--variants", help=f"Comma-separated: {', '.join(VARIANTS)}.")] = "sgrpo",
    seeds: Annotated[
        str, typer.Option(help="Seeds of the order of the prompts and the samples, comma-separated.")
    ] = "0",
    num_steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Training steps.", show_default=str(NUM_STEPS))
    ] = None,
    only: Annotated[
        Part | None, typer.Option(help="train: choose problems and train; evaluate: what is trained already.")
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(help="Local file of GSM8K's training problems; by default those in OUT, or else from the hub."),
    ] = None,
    test: Annotated[Path | None, typer.Option(help="Local file of its test problems.")] = None,
    settings: Annotated[
        list[str] | None, typer.Argument(help="Further settings of main_ppo, such as data.train_batch_size=64.")
    ] = None,
) -> None:
    """Train and evaluate what is not there yet; then the table, the plots and an example."""
    variants, numbers = kept.chosen(names, VARIANTS), kept.seeds(seeds)
    model = models.found(model)
    out = command.made(out)
    models.check_same(model, out)
    runs = {out / variant.name / f"seed{seed}": (variant, seed) for seed in numbers for variant in variants}
    further, steps, dtype = settings or [], num_steps or NUM_STEPS, data_type(out)
    named = [*further, *([f"trainer.total_training_steps={num_steps}"] if num_steps else [])]
    commands = {
        folder: [*training_command(*run, steps, model, out / "data", folder, dtype), *further]
        for folder, run in runs.items()
    }
    for folder, ordered in commands.items():
        kept.check_settings(folder, ordered, named if only is Part.evaluate else None)
    write_data(out / "data", train, test)
    if only is not Part.train:
        evaluate_untrained(model, out)
    if only is not Part.evaluate and not (out / "data" / f"{TRAINING}.parquet").exists():
        _choose(model, out)
    for number, (folder, (variant, seed)) in enumerate(runs.items(), start=1):
        console.rule(f"{variant.title}, seed {seed} ({number} of {len(runs)})")
        if only is not Part.evaluate:
            kept.trained(commands[folder], folder, steps, console, **environment())
        if only is not Part.train and (folder / "model").is_dir():
            evaluate_trained(out, folder)
    if only is not Part.train:
        report.write(out, console)
    if missing := [str(folder.relative_to(out)) for folder in runs if not (folder / "model").is_dir()]:
        console.print(f"not trained yet, and so not evaluated: {', '.join(missing)}", style="yellow")


def on_cpu() -> bool:
    return not torch.cuda.is_available()


def environment() -> dict[str, str]:
    """Variables for main_ppo: on a CPU glibc's thresholds, unless they are set; on a GPU verl's platform, left to verl.

    With thresholds of 2 MiB glibc gives freed activations back at once: less memory, for up to a fifth more time in the
    actor.
    """
    if not on_cpu():
        return {"VERL_PLATFORM": ""}
    return kept.unless_set(dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(2 * 2**20)))


def data_type(out: Path) -> str:
    """Of the engine, and of what the actor computes."""
    return kept.data_type(out) if on_cpu() else "bfloat16"


def _choose(model: str, out: Path) -> None:
    _run_eval(model, out, out / "choice", ALL_TRAINING, 0, "--limit", str(CHOICE_PROBLEMS))
    choose(out / "data", out / "choice", console)


def evaluate_untrained(model: str, out: Path) -> None:
    """Greedy with early exits in each thought, which say how much can be saved; and sampled."""
    limits = ("--limit", str(TEST_PROBLEMS))
    exits = ("--method", "exits", "--num-exits", str(TEST_EXITS))
    _run_eval(model, out, out / UNTRAINED / "greedy", TEST, 0, *limits, *exits)
    _run_eval(model, out, out / UNTRAINED / "sampled", TEST, 1, *limits)


def evaluate_trained(out: Path, folder: Path) -> None:
    """Greedy and sampled."""
    for name, temperature in (("greedy", 0), ("sampled", 1)):
        _run_eval(str(folder / "model"), out, folder / name, TEST, temperature, "--limit", str(TEST_PROBLEMS))


def _run_eval(model: str, out: Path, run: Path, benchmark: str, temperature: int, *options: str) -> None:
    """``sgrpo eval`` with this recipe's limits, and the model's own way to think."""
    form = thought_form()
    thoughts = ("--think-start", form.think_start, "--think-end", form.think_end, "--exit-prompt", form.exit_prompt)
    decoding = ("--temperature", str(temperature), "--top-p", "1", "--dtype", data_type(out))
    limits = ("--max-tokens", str(MAX_TOKENS), "--answer-tokens", str(ANSWER_TOKENS))
    kept.evaluated(
        model, out / "data", run, console, "--benchmarks", benchmark, *thoughts, *decoding, *limits, *options
    )


def training_command(
    variant: Variant, seed: int, num_steps: int, model: str, data: Path, folder: Path, dtype: str
) -> list[str]:
    """Stock main_ppo with the recipe's config groups, this run's files, and the variant's overrides.

    Args:
        dtype: on a CPU, of the engine and of what the actor computes; on a GPU both are verl's own, bfloat16.
    """
    cpu = on_cpu()
    on_a_cpu = (
        f"actor_rollout_ref.rollout.dtype={dtype}",
        f"actor_rollout_ref.actor.fsdp_config.mixed_precision.param_dtype={dtype}",
        # Of the prefix cache, in tokens: the shortest that vLLM is quick with on a CPU, where it would take 128.
        "+actor_rollout_ref.rollout.engine_kwargs.vllm.block_size=32",
        # Memory. The logits of 1,024 tokens over a vocabulary of 152,000 take 600 MB, several times over; an optimizer
        # step that is not fused copies whole embeddings; verl's buffer for weights need only hold the largest.
        "actor_rollout_ref.model.use_fused_kernels=true",
        "actor_rollout_ref.model.fused_kernel_options.impl_backend=torch",
        "+actor_rollout_ref.actor.optim.override_optimizer_config.fused=true",
        "actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes=1024",
    )
    return [
        *(sys.executable, "-m", "verl.trainer.main_ppo", *(["+cpu=default"] if cpu else [])),
        *(*variant.overrides, "+instruct=gsm8k"),
        *rows_of_a_prompt(variant, cpu),
        *(on_a_cpu if cpu else ()),
        f"data.train_files={data / f'{TRAINING}.parquet'}",
        f"data.val_files={data / f'{TEST}.parquet'}",
        f"data.seed={seed}",
        f"actor_rollout_ref.model.path={model}",
        f"actor_rollout_ref.rollout.seed={seed}",
        *kept.checkpoints_of(folder, num_steps, SAVE_EVERY),
    ]


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    command.run(main)
