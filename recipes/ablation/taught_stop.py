"""Can a model be taught to stop that never does? Trains the toy reasoner that always checks itself, on the CPU.

    python -m recipes.ablation.taught_stop --out outputs/ablation

With --stops-by-itself, it trains the toys' usual reasoner instead, which stops by itself now and then, to see what the
taught stop costs there. Can be stopped and started again: finished runs are kept.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from recipes import command, kept
from recipes.ablation import report
from recipes.ablation.run import train_all
from recipes.ablation.variants import SEEDS, STOPS, Variant
from sgrpo_verl.workbench.tasks import TASKS

VARIANTS = ",".join(variant.name for variant in STOPS)
NEVER_STOPS, STOPS_BY_ITSELF = "rechecked_sums", "sums"
console = Console()


def main(
    out: Annotated[Path, typer.Option(help="Folder of all runs, tables and plots.")] = Path("outputs/ablation"),
    reasoners: Annotated[Path, typer.Option(help="Folder where taught reasoners are kept.")] = Path(
        "outputs/reasoners"
    ),
    variants: Annotated[str, typer.Option(help="Comma-separated.")] = VARIANTS,
    seeds: Annotated[str, typer.Option(help="Comma-separated.")] = ",".join(map(str, SEEDS)),
    stops_by_itself: Annotated[
        bool, typer.Option("--stops-by-itself", help="Train the reasoner that stops by itself now and then instead.")
    ] = False,
) -> None:
    """Every variant on every seed, one run after another; then the tables and plots."""
    named = {variant.name: variant for variant in STOPS}
    chosen, numbers = kept.chosen(variants, named), kept.seeds(seeds)
    task = STOPS_BY_ITSELF if stops_by_itself else NEVER_STOPS
    out = command.made(out)
    train_all(out, reasoners.resolve(), [(task, one, seed) for seed in numbers for one in chosen])
    write(out / task, task)


def write(folder: Path, task: str) -> None:
    """Tables and plots of the runs that are there."""
    there: list[Variant] = [variant for variant in STOPS if list(folder.glob(f"{variant.name}/seed*/seconds.json"))]
    report.write_rechecks(folder)
    report.write(folder, TASKS[task], "taught_stop", there, console)
    report.write_by_additions(folder, there)


if __name__ == "__main__":
    command.run(main)
