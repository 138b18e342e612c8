"""old_log_prob and one update of serial groups of a given thought length, in a process of its own; prints JSON.

    python -m recipes.bench.update --model MODEL --layout packed --thought 2048

Layouts: ``GRPO`` (9 samples, as long as the full response), ``rows`` (verl's, padded to the longest on the CPU),
``unpadded`` (the same rows with nothing shared and no padding, as flash-attention has them on a GPU), ``packed``, and
``plain``: as many tokens as ``packed`` has, in full responses of their own. A packed token can cost no less than that.
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
from transformers import AutoModelForCausalLM

from sgrpo_verl.hooks.table import PACKED_ATTENTION
from sgrpo_verl.packed.layout import groups_of, pack, packed_length
from sgrpo_verl.selftest.engine import build_engine, build_loss, join_process_group
from sgrpo_verl.selftest.groups import ANSWER, NUM_EXITS, PROMPT, batch_of, rows_of

LOGITS: dict[str, tuple[str, ...]] = {  # how verl's engine computes log-probs and entropies
    "whole": (),
    "entropy in chunks": ("actor.fsdp_config.entropy_from_logits_with_chunking=true",),
    "fused kernels": ("model.use_fused_kernels=true", "model.fused_kernel_options.impl_backend=torch"),
}


def make_batch(layout: str, thought: int, answer: int, prompts: int, vocabulary: int, **options: Any) -> TensorDict:
    """GRPO's samples or serial groups' rows, as verl gives them to an engine."""
    rng = random.Random(thought)
    groups = [rows_of(layout != "GRPO", thought, vocabulary, rng, answer) for _ in range(prompts)]
    if layout == "plain":
        full = [group[-1] for group in groups]
        tokens = sum(packed_length([torch.tensor(response) for response, _ in group]) + PROMPT for group in groups)
        rows = [full[number % prompts] for number in range(round(tokens / (PROMPT + len(full[0][0]))))]
    else:
        rows = [row for group in groups for row in group]
    alone = layout in ("plain", "unpadded")
    numbers = range(len(rows)) if alone else [number for number, group in enumerate(groups) for _ in group]
    return batch_of(rows, vocabulary, numbers, **options)


def layers_alone(model: Path, batch: TensorDict, repeats: int) -> list[float]:
    """Seconds of the model's layers, forward and backward, on all rows packed; without logits, loss or FSDP."""
    decoder = AutoModelForCausalLM.from_pretrained(
        model, dtype=torch.float32, attn_implementation=PACKED_ATTENTION
    ).model
    packing = pack(batch["input_ids"], groups_of(batch["prompts"]))
    given = {
        "input_ids": packing.input_ids.values()[None],
        "position_ids": packing.position_ids.values()[None],
        "attention_mask": packing.visible,
    }
    # Gradients add up in the memory of the first repeat.
    return [
        _timed(lambda: decoder(**given, use_cache=False).last_hidden_state.mean().backward()) for _ in range(repeats)
    ]


def main(
    model: Annotated[Path, typer.Option()],
    layout: Annotated[str, typer.Option(help="GRPO, rows, unpadded, packed or plain.")],
    thought: Annotated[int, typer.Option(help="Tokens of the thought.")],
    answer: Annotated[int, typer.Option(help="Tokens of every answer.")] = ANSWER,
    prompts: Annotated[int, typer.Option(help="Serial groups in the batch.")] = 1,
    logits: Annotated[str, typer.Option(help=f"{', '.join(LOGITS)}.")] = "whole",
    entropy: Annotated[bool, typer.Option(help="The update computes entropies, too.")] = False,
    repeats: Annotated[
        int, typer.Option(help="Of which medians are taken, after one that counts for nothing; 0: that one.")
    ] = 2,
) -> None:
    """Measure once in this process."""
    with tempfile.TemporaryDirectory() as folder:
        join_process_group(Path(folder, "store"))
        engine = build_engine(model, "rows" if layout in ("GRPO", "rows") else "packed", *LOGITS[logits])
        vocabulary = engine.module.config.vocab_size
        options = {
            "max_token_len_per_gpu": max(8192, PROMPT + thought + NUM_EXITS * 2 * ANSWER),
            "use_fused_kernels": logits == "fused kernels",
            "calculate_entropy": entropy,
        }
        loss = build_loss()
        given: list[int] = []
        engine.module.register_forward_pre_hook(
            lambda module, args, kwargs: given.append(kwargs["input_ids"].numel()), with_kwargs=True
        )
        seconds: dict[str, list[float]] = {"old_log_prob": [], "update": []}
        for _ in range(repeats + 1):
            batch = make_batch(layout, thought, answer, prompts, vocabulary, **options)
            with engine.eval_mode():
                seconds["old_log_prob"].append(_timed(engine.infer_batch, batch))
            given.clear()
            with engine.train_mode():
                seconds["update"].append(_timed(engine.train_batch, batch, loss))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        torch.distributed.destroy_process_group()
        packs = layout in ("packed", "plain")
        layers = layers_alone(model, batch, 2 * repeats + 1) if packs else [float("nan")]
    figures = {
        "layout": layout,
        "thought": thought,
        "logits": logits,
        "tokens_given": sum(given),  # to the model in one pass over the batch, padding included
        **{name: median(values[1:] or values) for name, values in seconds.items()},
        "layers": median(layers[1:] or layers),
        "peak_memory_gb": peak,
    }
    print(json.dumps(figures))


def _timed(call: Callable, *arguments: Any) -> float:
    started = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - started


if __name__ == "__main__":
    typer.run(main)
