"""The command line: ``sgrpo data``, ``eval``, ``score``, ``compare``, ``show``, ``doctor`` and ``selftest``.

Each command has its own file, and imports vLLM or torch only when it runs.
"""

import sys
from typing import Annotated

import typer
from rich.console import Console

from sgrpo_verl import __version__
from sgrpo_verl.cli.compare import compare
from sgrpo_verl.cli.data import data
from sgrpo_verl.cli.doctor import doctor
from sgrpo_verl.cli.evaluate import evaluate
from sgrpo_verl.cli.score import score
from sgrpo_verl.cli.selftest import selftest
from sgrpo_verl.cli.show import show
from sgrpo_verl.errors import UserError

app = typer.Typer(no_args_is_help=True, add_completion=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"sgrpo-verl {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Tools for S-GRPO: data, evaluation, and checks of an installation."""


for name, command in (
    ("data", data),
    ("eval", evaluate),
    ("score", score),
    ("compare", compare),
    ("doctor", doctor),
    ("selftest", selftest),
    ("show", show),
):
    app.command(name)(command)


def main() -> None:
    """Run a command. A mistake of the user's ends it with one sentence and exit status 2."""
    try:
        app()
    except UserError as error:
        Console(stderr=True).print(f"sgrpo: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
