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

from recipes.bench.engine import build_engine, build_loss, join_process_group
from recipes.bench.model import VOCABULARY_SIZE

PROMPT, EXIT_PROMPT, ANSWER = 32, 12, 128  # tokens
NUM_EXITS = 8
REPEATS = 3


def rows_of(layout: str, thought: int, rng: random.Random) -> list[tuple[list[int], list[int]]]:
    """Responses of one prompt and their masks: GRPO's samples, or a serial group's rows."""

    def tokens(count: int) -> list[int]:
        return [rng.randrange(VOCABULARY_SIZE) for _ in range(count)]

    if layout == "GRPO":
        return [(tokens(thought + ANSWER), [1] * (thought + ANSWER)) for _ in range(NUM_EXITS + 1)]
    full = tokens(thought + ANSWER)
    inserted = tokens(EXIT_PROMPT)
    cuts = sorted(rng.sample(range(1, thought + 1), NUM_EXITS))
    exits = [([*full[:cut], *inserted, *tokens(ANSWER)], [1] * cut + [0] * EXIT_PROMPT + [1] * ANSWER) for cut in cuts]
    return [*exits, (full, [1] * len(full))]


def batch_of(layout: str, thought: int) -> TensorDict:
    """A batch as verl gives it to an engine: jagged tensors, and its settings."""
    from verl.utils import tensordict_utils as tu

    rng = random.Random(thought)
    prompt = [rng.randrange(VOCABULARY_SIZE) for _ in range(PROMPT)]
    rows = rows_of(layout, thought, rng)

    def jagged(values: list[list[Any]]) -> torch.Tensor:
        return torch.nested.as_nested_tensor([torch.tensor(value) for value in values], layout=torch.jagged)

    masks = [mask for _, mask in rows]
    fields = {
        "input_ids": jagged([[*prompt, *response] for response, _ in rows]),
        "position_ids": jagged([list(range(PROMPT + len(response))) for response, _ in rows]),
        # Rows with other prompts are not packed together; the model is given input_ids alone.
        "prompts": jagged([[number] * PROMPT if layout == "unpadded" else prompt for number in range(len(rows))]),
        "responses": jagged([response for response, _ in rows]),
        "response_mask": jagged(masks),
        "loss_mask": jagged(masks),
        "old_log_probs": jagged([[-7.0] * len(mask) for mask in masks]),
        "advantages": jagged([[rng.uniform(-1, 1)] * len(mask) for mask in masks]),
    }
    batch = TensorDict(fields, batch_size=[len(rows)])
    tu.assign_non_tensor(
        batch,
        temperature=1.0,
        global_batch_size=len(rows),
        use_dynamic_bsz=True,
        max_token_len_per_gpu=8192,
        use_fused_kernels=False,
        use_remove_padding=False,
        calculate_entropy=False,
    )
    return batch


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
