"""Teach the pretrained model to think about the stories in words, and to overthink: cross-entropy, on the CPU.

    python -m recipes.language.teach outputs/language/weights outputs/language/taught_stories
    python -m recipes.language.teach outputs/language/taught_stories outputs/language/taught --practice

The second teaching practises sums. Without it the model knows some of them only just, and reinforcement learning, which
makes the later passes less likely, unlearns these.

A state is kept beside ``out`` every few minutes; when started again, the teaching continues from there.
"""

import random
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

from recipes.language.lessons import CHECKS, HABIT, NEVER_STOPS, response, sums
from recipes.language.stories import TAUGHT, draw
from sgrpo_verl.files import write_whole
from sgrpo_verl.progress import Bars
from sgrpo_verl.workbench.lessons import IGNORED, lesson_batches, lesson_loss, rate_at, save_whole, taught
from sgrpo_verl.workbench.task import Lesson, Problem

PLAIN_STEPS, STEPS = 90, 140  # the first without checks: they are short, and what a thought is made of
SUMS = 0.25  # share of lessons that are sums alone
PRACTICE_STEPS, PRACTICE_SUMS, PRACTICE_RATE = 60, 0.7, 1e-4
BATCH_SIZE = 16
PARTS = 4  # of a batch, one after the other; whole, they took up to 19 GB
LEARNING_RATE = 3e-4
FROZEN = 10  # of 30 layers, the lowest, and the words' embeddings: they know English already, and it saves time
KEEP_SECONDS = 240


class Lessons:
    """Draws lessons: a share of sums, and stories, plain ones for as many steps as said, then with checks.

    ``checks``: share of stories with none, one, two, … of them.
    """

    def __init__(self, plain_steps: int, sums: float, checks: Sequence[float]) -> None:
        self.plain, self.sums, self.checks, self.drawn = plain_steps * BATCH_SIZE, sums, checks, 0

    def __call__(self, rng: random.Random) -> Lesson:
        self.drawn += 1
        if rng.random() < self.sums:
            return sums(rng)
        story = draw(TAUGHT, rng, test=False)
        checks = 0 if self.drawn <= self.plain else rng.choices(range(len(self.checks)), self.checks)[0]
        text = response(story, rng, checks)
        return Lesson(Problem(story.question, str(story.answer), None), ((text, True),))


def teach(
    weights: Path,
    out: Path,
    seed: int = 0,
    steps: int | None = None,
    practice: bool = False,
    bfloat16: bool = False,
    habit: Sequence[float] = HABIT,
) -> None:
    """Save the taught model and its tokenizer to ``out``; ``bfloat16``: of the products, where that is faster.

    ``habit``: share of practised stories with none, one, two, … checks.
    """
    if practice:
        plain_steps, lessons, all_steps, rate = 0, Lessons(0, PRACTICE_SUMS, habit), PRACTICE_STEPS, PRACTICE_RATE
    else:
        plain_steps, lessons, all_steps, rate = PLAIN_STEPS, Lessons(PLAIN_STEPS, SUMS, CHECKS), STEPS, LEARNING_RATE
    steps = steps or all_steps
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(weights)
    model = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32, attn_implementation="sdpa")
    for frozen in (model.model.embed_tokens, *model.model.layers[:FROZEN]):
        frozen.requires_grad_(False)
    learning = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=rate, betas=(0.9, 0.95), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(rate_at, steps=steps))
    state = out.with_name(f"{out.name}.state")
    learner: dict[str, Any] = {"model": model, "optimizer": optimizer, "schedule": schedule}
    done = 0
    if state.exists():
        kept = torch.load(state)
        done = kept["done"]
        for name, one in learner.items():
            one.load_state_dict(kept[name])
    kept_at = time.monotonic()
    batches = lesson_batches(lessons, tokenizer, seed + practice, BATCH_SIZE)
    with Bars(Console(), count=False) as progress:
        bar = progress.add_task("teaching", total=work(steps, plain_steps), completed=work(done, plain_steps))
        for step, batch in enumerate(islice(batches, steps), start=1):
            if step <= done:
                continue
            loss = 0.0
            for part, share in parts_of(batch, PARTS):
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
                    part_loss = share * lesson_loss(model, part)
                part_loss.backward()
                loss += part_loss.item()
            torch.nn.utils.clip_grad_norm_(learning, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()
            progress.update(bar, completed=work(step, plain_steps), description=taught(step, steps, loss))
            if time.monotonic() - kept_at > KEEP_SECONDS:
                contents = {"done": step, **{name: one.state_dict() for name, one in learner.items()}}
                write_whole(state, partial(torch.save, contents))
                kept_at = time.monotonic()
    save_whole(model, tokenizer, out)
    state.unlink(missing_ok=True)


def work(step: int, plain_steps: int) -> int:
    """Of the steps up to this one, in plain steps: one with checks takes about as long again."""
    return step + max(0, step - plain_steps)


def parts_of(batch: dict[str, torch.Tensor], parts: int) -> Iterator[tuple[dict[str, torch.Tensor], float]]:
    """The lessons of a batch in parts, the shortest first, each with its share of the labelled tokens.

    A part has no more padding than its own lessons need. The losses of the parts, weighted by their shares, add up to
    the loss of the batch.
    """
    lengths = batch["attention_mask"].sum(dim=1)
    labelled = (batch["labels"] != IGNORED).sum(dim=1)
    for rows in lengths.argsort().chunk(parts):
        longest = int(lengths[rows].max())
        share = float(labelled[rows].sum() / labelled.sum())
        yield {name: values[rows, :longest] for name, values in batch.items()}, share


def main(
    weights: Annotated[Path, typer.Argument(help="Folder of the pretrained model.")],
    out: Annotated[Path, typer.Argument(help="Folder for the taught model; must not exist yet.")],
    seed: Annotated[int, typer.Option(help="Of the lessons.")] = 0,
    steps: Annotated[
        int, typer.Option(min=0, help=f"Optimizer steps; 0: {STEPS}, of practice {PRACTICE_STEPS}.", show_default=False)
    ] = 0,
    practice: Annotated[bool, typer.Option(help="Practise sums on a model that was taught before.")] = False,
    bfloat16: Annotated[bool, typer.Option(help="Multiply in bfloat16 instead of float32.")] = False,
    never_stops: Annotated[bool, typer.Option(help="Practise no story that ends after the first pass.")] = False,
) -> None:
    """Teach the pretrained model to think and to overthink."""
    teach(weights, out, seed, steps, practice, bfloat16, NEVER_STOPS if never_stops else HABIT)


if __name__ == "__main__":
    typer.run(main)
