"""How a recipe's command ends: what the user did wrong is one sentence, and Ctrl-C says that it can be continued."""

import sys
from collections.abc import Callable

import typer
from rich.console import Console

from sgrpo_verl.errors import UserError


def run(main: Callable[..., None]) -> None:
    """Run ``main`` as a command. Exit status 2 for a wrong option, 130 when it was stopped."""
    console = Console()
    try:
        typer.run(main)
    except UserError as error:
        console.print(str(error), markup=False)
        sys.exit(2)
    except KeyboardInterrupt:
        console.print("stopped; start it again to continue")
        sys.exit(130)
