"""Teach the toy reasoner from scratch: a small Qwen3 learns its lessons by cross-entropy, on the CPU, in minutes."""

from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from transformers import Qwen3ForCausalLM

from sgrpo_verl.progress import Bars
from sgrpo_verl.workbench.lessons import lesson_batches, lesson_loss, rate_at, save_whole, taught
from sgrpo_verl.workbench.model import model_config
from sgrpo_verl.workbench.task import Task
from sgrpo_verl.workbench.tasks import TASKS
from sgrpo_verl.workbench.tokenizer import build_tokenizer

STEPS = 1700
BATCH_SIZE = 32
LEARNING_RATE = 2e-3


def teach(out: Path, task: Task, seed: int = 0, steps: int = STEPS) -> Path:
    """Teach a reasoner and save it, with its tokenizer, to ``out``; a folder of that name is always whole."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(task)
    model = Qwen3ForCausalLM(model_config(tokenizer))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(rate_at, steps=steps))
    batches = lesson_batches(task.draw_lesson, tokenizer, seed, BATCH_SIZE)
    with Bars(Console(), count=False) as progress:
        bar = progress.add_task("teaching", total=steps)
        for step, batch in enumerate(islice(batches, steps), start=1):
            loss = lesson_loss(model, batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            progress.update(bar, completed=step, description=taught(step, steps, loss.item()))
    save_whole(model, tokenizer, out)
    return out


def main(
    out: Annotated[Path, typer.Argument(help="Folder for the model; must not exist yet.")],
    task: Annotated[str, typer.Option(help=f"What to teach: {', '.join(TASKS)}.")] = "sums",
    seed: Annotated[int, typer.Option(help="Of the weights and the lessons.")] = 0,
    steps: Annotated[int, typer.Option(help="Optimizer steps.")] = STEPS,
) -> None:
    """Teach a reasoner from scratch."""
    teach(out, TASKS[task], seed, steps)


if __name__ == "__main__":
    typer.run(main)
