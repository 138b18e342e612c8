"""``sgrpo show``: one serial group of a training step."""

from pathlib import Path
from typing import Annotated

import typer

from sgrpo_verl.cli.console import console
from sgrpo_verl.settings.config import EXIT_PROMPT, THINK_END


def show(
    dump: Annotated[Path, typer.Argument(help="STEP.jsonl in trainer.rollout_data_dir.")],
    group: Annotated[int, typer.Option(help="Which prompt of the step, from 1.")] = 1,
    exit_prompt: Annotated[str, typer.Option(help="The run's algorithm.sgrpo.exit_prompt.")] = EXIT_PROMPT,
    think_end: Annotated[str, typer.Option(help="The run's algorithm.sgrpo.think_end.")] = THINK_END,
) -> None:
    """One serial group of a training step: the exits marked inside the thought, each answer beside its reward."""
    from sgrpo_verl.eval.show import show

    show(dump, group, exit_prompt, think_end, console)
