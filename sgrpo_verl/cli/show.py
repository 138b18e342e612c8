"""``sgrpo show``: one serial group of a training step."""

from pathlib import Path
from typing import Annotated

import typer

from sgrpo_verl.cli.console import console
from sgrpo_verl.settings.config import EXIT_PROMPT, THINK_END


def show(
    dump: Annotated[Path, typer.Argument(help="A file STEP.jsonl from trainer.rollout_data_dir.")],
    group: Annotated[int, typer.Option(help="Number of the prompt in the step, starting at 1.")] = 1,
    exit_prompt: Annotated[
        str, typer.Option(help="algorithm.sgrpo.exit_prompt of the run.", show_default=repr(EXIT_PROMPT))
    ] = EXIT_PROMPT,
    think_end: Annotated[str, typer.Option(help="algorithm.sgrpo.think_end of the run.")] = THINK_END,
) -> None:
    """One serial group of a training step: the exits marked inside the thought, each answer beside its reward."""
    from sgrpo_verl.eval.show import show

    show(dump, group, exit_prompt, think_end, console)
