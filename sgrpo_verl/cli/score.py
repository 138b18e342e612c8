"""``sgrpo score``: score a run again, with no model."""

from pathlib import Path
from typing import Annotated

import typer

from sgrpo_verl.cli.console import console


def score(run: Annotated[Path, typer.Argument(help="Folder of the run.")]) -> None:
    """Score a run's completions again; needs no model and no GPU."""
    from sgrpo_verl.eval.report import print_summary
    from sgrpo_verl.eval.score import score

    print_summary(score(run, console), console)
