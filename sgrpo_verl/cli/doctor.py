"""``sgrpo doctor``: what is wrong with an installation."""

from typing import Annotated

import typer

from sgrpo_verl.cli.console import console


def doctor(
    ray_address: Annotated[
        str | None, typer.Option(help="Address of a running Ray cluster, such as auto; every node is checked.")
    ] = None,
    engine: Annotated[
        bool, typer.Option("--engine", help="Also start vLLM with a tiny random model and let it answer a prompt.")
    ] = False,
) -> None:
    """Versions, whether vLLM works, whether verl loads the plugin here and in Ray workers, and what is wrong."""
    from sgrpo_verl.hooks.doctor import doctor

    wrong = doctor(console, ray_address, engine)
    for line in wrong:
        console.print(f"[red]wrong:[/red] {line}", highlight=False, soft_wrap=True)
    if wrong:
        raise typer.Exit(1)
    console.print("all in place")
