"""old_log_prob and one update of one group at a given thought length, in a process of its own; prints JSON.

    python -m recipes.bench.update --model MODEL --layout packed --thought 2048

Layouts: ``GRPO`` (9 samples, as long as the full response), ``rows`` (verl's, padded to the longest on the CPU),
``unpadded`` (the same rows with nothing shared and no padding, as flash-attention has them on a GPU), ``packed``.
"""

import json
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from tensordict import TensorDict

from recipes.bench.model import VOCABULARY_SIZE
from sgrpo_verl.selftest.engine import build_engine, build_loss, join_process_group
from sgrpo_verl.selftest.groups import batch_of as make_batch
from sgrpo_verl.selftest.groups import rows_of

REPEATS = 3


def batch_of(layout: str, thought: int) -> TensorDict:
    """GRPO's samples or a serial group's rows, as verl gives them to an engine."""
    rows = rows_of(layout != "GRPO", thought, VOCABULARY_SIZE, random.Random(thought))
    return make_batch(rows, VOCABULARY_SIZE, shared=layout != "unpadded")


def main(
    model: Annotated[Path, typer.Option()],
    layout: Annotated[str, typer.Option(help="GRPO, rows, unpadded or packed.")],
    thought: Annotated[int, typer.Option(help="Tokens of the thought.")],
) -> None:
    """Medians of three, after one that counts for nothing."""
    with tempfile.TemporaryDirectory() as folder:
        join_process_group(Path(folder, "store"))
        engine = build_engine(model, "packed" if layout in ("packed", "unpadded") else "rows")
        loss = build_loss()
        given: list[int] = []
        engine.module.register_forward_pre_hook(
            lambda module, args, kwargs: given.append(kwargs["input_ids"].numel()), with_kwargs=True
        )
        seconds: dict[str, list[float]] = {"old_log_prob": [], "update": []}
        for _ in range(REPEATS + 1):
            batch = batch_of(layout, thought)
            with engine.eval_mode():
                seconds["old_log_prob"].append(_timed(engine.infer_batch, batch))
            given.clear()
            with engine.train_mode():
                seconds["update"].append(_timed(engine.train_batch, batch, loss))
        torch.distributed.destroy_process_group()
    figures = {
        "layout": layout,
        "thought": thought,
        "tokens_given": sum(given),  # to the model in one pass over the batch, padding included
        **{name: median(values[1:]) for name, values in seconds.items()},
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    print(json.dumps(figures))


def _timed(call: Callable, *arguments: Any) -> float:
    started = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - started


if __name__ == "__main__":
    typer.run(main)
