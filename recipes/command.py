"""What recipes' commands have in common: how options are read, and that a wrong one ends them with one sentence."""

import sys
from collections.abc import Callable
from pathlib import Path

import typer
from rich.console import Console

from sgrpo_verl.errors import UserError
from sgrpo_verl.files import make_folder


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


def listed(text: str) -> list[str]:
    """What stands between an option's commas, each once."""
    return list(dict.fromkeys(part.strip() for part in text.split(",")))


def numbers(option: str, text: str) -> list[int]:
    """The whole numbers between an option's commas, each once.

    Raises:
        UserError: something else is there.
    """
    parts = listed(text)
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"{option} {text!r}: must be whole numbers with commas between them, such as 0,1,2")
    return list(dict.fromkeys(map(int, parts)))


def made(out: Path) -> Path:
    """The folder ``--out``, made unless it is there.

    Raises:
        UserError: it cannot be made.
    """
    return make_folder(out).resolve()
