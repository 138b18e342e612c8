"""A check once in a run, before an engine first packs: does the model give packed rows the log-probs of plain rows?

Kernels differ between cards and between versions of torch. Two short forward passes over a small group of the first
batch's own tokens show whether the packed attention is correct here. If it is not, the run ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from tensordict import TensorDict

from sgrpo_verl.hooks.table import PACKED_ATTENTION

TOKENS = 192  # of the group's full response; its two exits are cut out of it
TAIL = 16  # tokens of each exit's own
# Mean difference of the log-probs, as a share of their spread: rounding alone gives a tenth of it or less, and a wrong
# mask many times as much.
LIMITS = {torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.1}


def compare_once(engine: Any, data: TensorDict) -> None:
    """Compare a small group's log-probs, packed and as rows, the first time that ``engine`` is given a batch.

    Every rank of the engine does the same number of forward passes.

    Raises:
        RuntimeError: they differ by more than rounding explains.
    """
    if getattr(engine, "_sgrpo_compared", False):
        return
    engine._sgrpo_compared = True
    batch = small_group(data)
    packed = _log_probs(engine, batch)
    with _plain_attention(engine):
        rows = _log_probs(engine, batch)
    difference = (packed - rows).abs().mean() / rows.std().clamp(min=1e-6)
    if torch.distributed.is_initialized():  # all ranks end, or none
        torch.distributed.all_reduce(difference, op=torch.distributed.ReduceOp.MAX)
    limit = LIMITS.get(getattr(engine, "_autocast_dtype", torch.bfloat16), 0.1)
    if not difference <= limit:
        raise RuntimeError(
            f"algorithm.sgrpo.layout=packed: the log-probs of packed rows are not those of the rows (they differ by "
            f"{difference:.2%} of their spread, and rounding explains {limit:.2%}). Nothing was trained. Set "
            "algorithm.sgrpo.layout=rows, and report it with what `sgrpo selftest` writes"
        )


def small_group(data: TensorDict) -> TensorDict:
    """Three rows that share a beginning, from the longest row of a batch: two exits and a full response."""
    from verl.utils import tensordict_utils as tu

    full = max(data["input_ids"].unbind(), key=len)[:TOKENS]
    tail = full[:TAIL].flip(0)
    rows = [torch.cat([full[: max(1, len(full) * part // 3)], tail]) for part in (1, 2)] + [full]
    batch = TensorDict(
        {
            "input_ids": torch.nested.as_nested_tensor(rows, layout=torch.jagged),
            "position_ids": torch.nested.as_nested_tensor(
                [torch.arange(len(row), device=row.device) for row in rows], layout=torch.jagged
            ),
            "prompts": torch.nested.as_nested_tensor([full[:1]] * len(rows), layout=torch.jagged),
        },
        batch_size=[len(rows)],
    )
    tu.assign_non_tensor(
        batch,
        temperature=1.0,
        use_remove_padding=True,  # for the rows, too: without it verl wants the fields of a whole batch
        calculate_entropy=False,
        use_fused_kernels=tu.get(data, "use_fused_kernels", False),
    )
    return batch


def _log_probs(engine: Any, batch: TensorDict) -> torch.Tensor:
    with torch.no_grad():
        _, output = engine.forward_step(batch, loss_function=None, forward_only=True)
    values = output["model_output"]["log_probs"]
    rows = values.unbind() if values.is_nested else values
    return torch.cat([row[:-1] for row in rows]).float()  # a row's last token predicts none of it


@contextmanager
def _plain_attention(engine: Any) -> Iterator[None]:
    """Let the engine's model attend with torch's own attention, to rows that are not packed.

    Each rank of a sequence computes them whole: torch's own attention knows nothing of verl's sequence parallelism.
    """
    from verl.utils import ulysses

    configs = (engine.model_config.hf_config, engine.module.config)
    parallel, group = engine.use_ulysses_sp, ulysses.get_ulysses_sequence_parallel_group()
    set_group: Any = ulysses.set_ulysses_sequence_parallel_group  # takes None, which it is not annotated with
    for config in configs:
        config._attn_implementation = "sdpa"
    engine.use_ulysses_sp = False
    set_group(None)
    try:
        yield
    finally:
        engine.use_ulysses_sp = parallel
        set_group(group)
        for config in configs:
            config._attn_implementation = PACKED_ATTENTION
