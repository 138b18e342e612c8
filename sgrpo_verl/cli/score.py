"""``sgrpo score``: score a run again, with no model."""

from pathlib import Path
from typing import Annotated

import typer

from sgrpo_verl.cli.console import console


def score(run: Annotated[Path, typer.Argument(help="Folder of the run.")]) -> None:
    """Score a run's completions again; needs no model and no GPU."""
    score_and_show(run)


def score_and_show(run: Path) -> None:
    """Score a run and print the figures; of a finished one, say which files hold them, and draw the plot of exits."""
    from sgrpo_verl.eval.report import print_summary
    from sgrpo_verl.eval.score import score

    summary = score(run, console)
    print_summary(summary, console)
    if not (run / "summary.json").exists():  # it is not finished
        return
    written = "run.json, completions.jsonl, scores.jsonl and summary.json"
    if "exits" in summary:
        from sgrpo_verl.eval.exits import plot_exits

        plot_exits(summary["exits"], run / "exits.png")
        written = f"exits.png, {written}"
    console.print(f"{written} are in {run}", soft_wrap=True, markup=False)
