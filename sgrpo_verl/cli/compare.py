"""``sgrpo compare``: several runs side by side."""

from pathlib import Path
from typing import Annotated

import typer

from sgrpo_verl.cli.console import console
from sgrpo_verl.cli.lists import listed


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of the runs; changes are against the first.")],
    out: Annotated[Path, typer.Option(help="Folder for table.md, table.csv and the plots.")] = Path("comparison"),
    labels: Annotated[str, typer.Option(help="Names for the runs, comma-separated.")] = "",
) -> None:
    """Accuracy and tokens of several runs, side by side."""
    from sgrpo_verl.eval.compare import compare

    compare(runs, listed(labels), out, console)
