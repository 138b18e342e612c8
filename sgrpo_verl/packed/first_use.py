"""A check once in a run, before an engine first packs: does the model give packed rows the log-probs of plain rows?

Kernels differ between cards and between versions of torch. Two short forward passes over three small groups show
whether the packed attention is correct here. If it is not, the run ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from tensordict import TensorDict

from sgrpo_verl.hooks.table import PACKED_ATTENTION

# Tokens of each group's full response, and its cuts. Behind a short prefix, one token too many or too few is a large
# part of all that an exit sees; the last group reaches over the end of a block of flex_attention.
GROUPS = ((20, (4, 9, 15)), (12, (3, 6, 9)), (150, (135,)))
TAIL = 16  # tokens of each exit's own
# Mean differences behind any one cut, and behind all cuts, as shares of the log-probs' spread; docs/packed.md has the
# measurements that they are taken from. float32 like float16: a card may multiply it with as many bits.
LIMITS = {torch.bfloat16: (0.08, 0.045), torch.float16: (0.012, 0.006), torch.float32: (0.012, 0.006)}


def compare_once(engine: Any, data: TensorDict) -> None:
    """Compare small groups' log-probs, packed and as rows, the first time that ``engine`` is given a batch.

    Every rank of the engine does the same number of forward passes.

    Raises:
        RuntimeError: they differ by more than rounding explains.
    """
    from verl.utils import tensordict_utils as tu

    if getattr(engine, "_sgrpo_compared", False):
        return
    engine._sgrpo_compared = True
    batch = small_groups(vocabulary_of(engine), data["input_ids"].device)
    tu.assign_non_tensor(batch, use_fused_kernels=tu.get(data, "use_fused_kernels", False))
    packed = log_probs_of(engine, batch)
    with plain_attention(engine):
        rows = log_probs_of(engine, batch)
    found = of_all_ranks(differences(packed, rows))
    limits = LIMITS.get(getattr(engine, "_autocast_dtype", torch.bfloat16), LIMITS[torch.bfloat16])
    if not is_rounding(found, limits):
        one, every = found.tolist()
        raise RuntimeError(
            "algorithm.sgrpo.layout=packed: the log-probs of packed rows are not those of the rows. They differ by "
            f"{one:.2%} of their spread behind one cut and by {every:.2%} behind all; rounding explains "
            f"{limits[0]:.2%} and {limits[1]:.2%}. Nothing was trained. Set algorithm.sgrpo.layout=rows, and report it "
            "with what `sgrpo selftest` writes"
        )


def vocabulary_of(engine: Any) -> int:
    """How many tokens an engine's model knows."""
    return engine.model_config.hf_config.get_text_config().vocab_size


def small_groups(vocabulary: int, device: torch.device | str = "cpu", seed: int = 0) -> TensorDict:
    """``GROUPS`` of random tokens as rows, each group's exits before its full response, as an engine takes them.

    Random tokens tell every prefix from every other; a batch's own might be a few tokens again and again.
    """
    from verl.utils import tensordict_utils as tu

    generator = torch.Generator().manual_seed(seed)
    rows, prompts = [], []
    for number, (length, cuts) in enumerate(GROUPS):
        full = torch.randint(vocabulary, (length,), generator=generator)
        tails = [torch.randint(vocabulary, (TAIL,), generator=generator) for _ in cuts]
        rows += [torch.cat([full[:cut], tail]) for cut, tail in zip(cuts, tails, strict=True)] + [full]
        prompts += [torch.tensor([number])] * (len(cuts) + 1)  # the model is not given them: they tell groups apart
    fields = {"input_ids": rows, "position_ids": [torch.arange(len(row)) for row in rows], "prompts": prompts}
    batch = TensorDict(
        {name: torch.nested.as_nested_tensor(value, layout=torch.jagged) for name, value in fields.items()},
        batch_size=[len(rows)],
    ).to(device)
    tu.assign_non_tensor(
        batch,
        temperature=1.0,
        use_remove_padding=True,  # for the rows, too: without it verl wants the fields of a whole batch
        calculate_entropy=False,
        use_fused_kernels=False,
    )
    return batch


def log_probs_of(engine: Any, batch: TensorDict) -> list[torch.Tensor]:
    """Of each row's tokens but the first, float32: (row length - 1,)."""
    with torch.no_grad():
        _, output = engine.forward_step(batch, loss_function=None, forward_only=True)
    values = output["model_output"]["log_probs"]
    rows = values.unbind() if values.is_nested else values
    return [row[:-1].float() for row in rows]  # a row's last token predicts none of it


def differences(packed: list[torch.Tensor], rows: list[torch.Tensor]) -> torch.Tensor:
    """Mean differences of the log-probs of ``small_groups``, as shares of their spread: float32, (2,).

    The larger of what any one cut's own tokens and the first tokens behind all cuts differ by; and the larger of what
    all cuts' tokens and the full responses differ by.
    """
    difference = [(ours - theirs).abs() for ours, theirs in zip(packed, rows, strict=True)]
    cuts = [cut for _, cuts in GROUPS for cut in (*cuts, None)]  # None: the full response
    behind = [one[cut - 1 :] for one, cut in zip(difference, cuts, strict=True) if cut is not None]
    full = [one for one, cut in zip(difference, cuts, strict=True) if cut is None]
    of_one = torch.stack([*(one.mean() for one in behind), torch.stack([one[0] for one in behind]).mean()]).max()
    of_all = torch.stack([torch.cat(behind).mean(), torch.cat(full).mean()]).max()
    return torch.stack([of_one, of_all]) / torch.cat(rows).std().clamp(min=1e-6)


def is_rounding(found: torch.Tensor, limits: tuple[float, float]) -> bool:
    """Whether no difference, (2,), is above its limit or no number."""
    return bool((found <= torch.tensor(limits, device=found.device)).all())


def of_all_ranks(found: torch.Tensor) -> torch.Tensor:
    """The largest of any rank, so that all ranks end or none. What is no number is infinite: NCCL's MAX may drop it."""
    found = found.nan_to_num(nan=float("inf"), posinf=float("inf"))
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(found, op=torch.distributed.ReduceOp.MAX)
    return found


@contextmanager
def plain_attention(engine: Any) -> Iterator[None]:
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
