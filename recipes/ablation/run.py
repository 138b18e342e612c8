"""The paper's ablation in miniature, on the CPU: train every variant, evaluate it, and write tables and plots.

    python -m recipes.ablation.run --out outputs/ablation

Can be stopped and started again: finished runs are kept, a half-finished one is done anew.
"""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from recipes import command, kept
from recipes.ablation import report
from recipes.ablation.budgets import budgets_and_truncation
from recipes.ablation.variants import NUM_STEPS, PUBLISHED, QUESTIONS, ROWS, SEEDS, UNTRAINED, Variant
from sgrpo_verl.errors import UserError
from sgrpo_verl.toy.demo import kept_reasoner
from sgrpo_verl.workbench.data import write_data
from sgrpo_verl.workbench.evaluate import evaluate
from sgrpo_verl.workbench.tasks import TASKS
from sgrpo_verl.workbench.train import train, training_command

SAMPLED = ("--temperature", "1", "--samples", "4")
CAPS = "4,8,12,16,24,32,48,64,96,128,192"
console = Console()


def main(
    out: Annotated[Path, typer.Option(help="Folder of all runs, tables and plots.")] = Path("outputs/ablation"),
    reasoners: Annotated[Path, typer.Option(help="Folder where taught reasoners are kept.")] = Path(
        "outputs/reasoners"
    ),
    tasks: Annotated[str, typer.Option(help="Comma-separated.")] = ",".join(PUBLISHED),
    questions: Annotated[
        bool, typer.Option("--questions", help="Also train the variants of the three further questions.")
    ] = False,
    seeds: Annotated[str, typer.Option(help="Comma-separated.")] = ",".join(map(str, SEEDS)),
) -> None:
    """Every variant of every task on every seed, one run after another; then the tables and plots."""
    names, numbers = command.listed(tasks), kept.seeds(seeds)
    if unknown := [name for name in names if name not in TASKS]:
        raise UserError(f"--tasks {tasks}: {unknown[0]!r} is none of {', '.join(TASKS)}")
    variants = (*ROWS, *(QUESTIONS if questions else ()))
    out = command.made(out)
    wanted = [(task, variant, seed) for seed in numbers for task in names for variant in variants]
    train_all(out, reasoners.resolve(), wanted)
    for task in names:
        budgets_and_truncation(out / task, out / task / "reasoner", CAPS, evaluate, console)
        report.write_rechecks(out / task)
        report.write_examples(out / task)
        report.write(out / task, TASKS[task], "ablation", ROWS, console)
        if questions:
            report.write(out / task, TASKS[task], "questions", (ROWS[0], *QUESTIONS), console)
    console.print(f"tables and plots are in {out}")


def train_all(out: Path, reasoners: Path, wanted: Sequence[tuple[str, Variant, int]]) -> None:
    """Every run that is not there yet, one after another, each of a task, a variant and a seed."""
    for task in dict.fromkeys(task for task, _, _ in wanted):
        _untrained(out / task, task, reasoners)
    left = [(task, variant, seed) for task, variant, seed in wanted if not _folder(out, task, variant, seed).is_dir()]
    console.print(f"{len(wanted) - len(left)} of {len(wanted)} runs are done")
    started = time.monotonic()
    for number, (task, variant, seed) in enumerate(left):
        each = (time.monotonic() - started) / number if number else None
        remaining = f", about {each * (len(left) - number) / 60:.0f} min left" if each else ""
        console.rule(f"{task}: {variant.title}, seed {seed} ({number + 1} of {len(left)}{remaining})")
        _one_run(_folder(out, task, variant, seed), out / task, variant, seed)


def _folder(out: Path, task: str, variant: Variant, seed: int) -> Path:
    return out / task / variant.name / f"seed{seed}"


def _untrained(folder: Path, task: str, reasoners: Path) -> None:
    """The task's data, its reasoner, and the reasoner's own figures."""
    write_data(folder / "data", TASKS[task])
    reasoner = kept_reasoner(reasoners, task, seed=0)
    link = folder / "reasoner"
    if not link.is_dir():
        shutil.copytree(reasoner, link)
    _evaluate(link, folder / "data", folder / UNTRAINED)


def _evaluate(model: Path, data: Path, run: Path) -> None:
    """Greedy, and four samples at temperature 1, on the test problems; what is there is not done again."""
    for name, options in (("greedy", ()), ("sampled", SAMPLED)):
        if not kept.finished(run / name):
            evaluate(model, data, run / name, *options)


def _one_run(folder: Path, task_folder: Path, variant: Variant, seed: int) -> None:
    """Train and evaluate in a folder beside ``folder``, which exists once all of it is done."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    started = time.monotonic()
    data = {name: task_folder / "data" / f"{name}.parquet" for name in ("train", "validation", "test")}
    command = training_command(task_folder / "reasoner", data, unfinished, seed, NUM_STEPS, variant.overrides)
    _, trained = train(command, unfinished, NUM_STEPS, console)
    shutil.move(trained, unfinished / "model")
    shutil.rmtree(unfinished / "checkpoints")
    trained_at = time.monotonic()
    _evaluate(unfinished / "model", task_folder / "data", unfinished)
    seconds = {"train": trained_at - started, "evaluate": time.monotonic() - trained_at}
    (unfinished / "seconds.json").write_text(json.dumps(seconds) + "\n")
    unfinished.rename(folder)


if __name__ == "__main__":
    command.run(main)
