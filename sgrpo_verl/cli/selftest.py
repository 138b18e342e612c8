"""``sgrpo selftest``: one command that proves S-GRPO on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from sgrpo_verl.cli.console import console
from sgrpo_verl.errors import UserError


def selftest(
    out: Annotated[
        Path, typer.Option(help="Folder for selftest.json, selftest.md and logs; those of an earlier run are replaced.")
    ] = Path("selftest"),
    stages: Annotated[
        str, typer.Option(help="Stages to run, comma-separated.", show_default="all; with --quick 1,2,3")
    ] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="The most telling checks alone; on a GPU it stops after five minutes.")
    ] = False,
) -> None:
    """Prove on this machine that packed attention, an update and training are right: no network, no data.

    Stages: 1 packed attention, 2 one update, 3 training with vLLM, 4 several devices. Exit status 1 if any fails.
    """
    from sgrpo_verl.selftest.run import QUICK, STAGES, selftest

    numbers = list(QUICK) if quick else [stage.number for stage in STAGES]
    stages = stages or ",".join(map(str, numbers))
    chosen = [int(number) for number in stages.split(",") if number.strip().isdigit()]
    if not chosen or not set(chosen) <= set(numbers):
        raise UserError(f"--stages {stages}: must be some of {', '.join(map(str, numbers))}, with commas between them")
    if not selftest(out, chosen, console, quick):
        raise typer.Exit(1)
