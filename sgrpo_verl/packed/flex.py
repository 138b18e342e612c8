"""Packed rows through torch's flex_attention: a block mask from the segments' ends, and one compiled kernel.

flex_attention is only useful when compiled. Without torch.compile, and also after dynamo has recompiled it too often,
torch computes the whole matrix of scores instead, with only a warning: 16 GB for 17,000 tokens of a 7B model. Here,
that path raises an error.
"""

import functools
from collections.abc import Callable

import numpy as np
import torch
from torch.nn.attention.flex_attention import BlockMask, flex_attention

BLOCK = 128  # tokens of a block, flex_attention's own default
_INSTEAD = "set algorithm.sgrpo.layout=rows, or see that torch.compile works on this machine"


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, visible: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """Attention of packed rows.

    Args:
        query: (1, heads, tokens, head dimension); ``key`` and ``value`` with as many heads, or any divisor of them.
        visible: int64, (1, 1, tokens, 3), see ``attention``.
        scaling: of the scores; None is flex_attention's own, 1/√(head dimension).

    Returns:
        (1, heads, tokens, head dimension).

    Raises:
        RuntimeError: torch cannot compile flex_attention here, or would run it uncompiled.
    """
    try:
        return _compiled()(query, key, value, _block_mask_of(visible), scaling)
    except torch._dynamo.exc.FailOnRecompileLimitHit as error:
        raise RuntimeError(
            f"algorithm.sgrpo.layout=packed: torch has compiled flex_attention too often (torch._dynamo.config."
            f"recompile_limit={torch._dynamo.config.recompile_limit}) and would continue uncompiled; {_INSTEAD}"
        ) from error
    except torch._dynamo.exc.TorchDynamoException as error:
        raise RuntimeError(
            f"algorithm.sgrpo.layout=packed: torch cannot compile flex_attention for heads of {query.shape[-1]} in "
            f"{query.dtype} ({type(error).__name__}: {str(error).strip().splitlines()[0]}); {_INSTEAD}"
        ) from error


@functools.cache
def _compiled(backend: str | Callable = "inductor") -> Callable:
    """One kernel for training and evaluation, compiled with dynamic shapes so that it serves every length."""
    return torch.compile(_fused, backend=backend, dynamic=True, fullgraph=True)


def _fused(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: BlockMask, scaling: float | None
) -> torch.Tensor:
    if not torch.compiler.is_dynamo_compiling():  # torch calls it as it is where it does not compile it
        raise RuntimeError(
            "algorithm.sgrpo.layout=packed: torch would run flex_attention uncompiled (TORCHDYNAMO_DISABLE, "
            f"TORCH_COMPILE_DISABLE or a stance that forbids compiling?), which takes tokens² of memory; {_INSTEAD}"
        )
    return flex_attention(
        query,
        key,
        value,
        block_mask=mask,
        scale=scaling,
        enable_gqa=True,
        # Below 128 queries torch would choose flex_decoding instead, which in torch 2.11 has no kernel for 127.
        kernel_options={"FORCE_USE_FLEX_ATTENTION": True},
    )


_latest: tuple[torch.Tensor, BlockMask] | None = None


def _block_mask_of(visible: torch.Tensor) -> BlockMask:
    """The block mask is the same for every layer of a forward pass and for its recomputation, so it is made once."""
    global _latest
    # Whoever hands it on may make a view of it. What is remembered is kept, so nothing else can be in its place.
    if _latest is None or _latest[0].data_ptr() != visible.data_ptr() or _latest[0].shape != visible.shape:
        _latest = (visible, block_mask(visible, segments_of(visible)))
    return _latest[1]


def remember(visible: torch.Tensor, segments: torch.Tensor) -> None:
    """Make the block mask of ``visible`` now, from known segments, so that nothing is read back from the device."""
    global _latest
    _latest = (visible, block_mask(visible, segments))


def segments_of(visible: torch.Tensor) -> torch.Tensor:
    """Segments (start, end, prefix start, prefix end), int64 of shape (segments, 4) on the CPU, from ``visible``."""
    ranges, lengths = visible[0, 0].unique_consecutive(dim=0, return_counts=True)
    ranges, ends = ranges.cpu(), lengths.cpu().cumsum(0)
    return torch.stack([ends - lengths.cpu(), ends, ranges[:, 0], ranges[:, 1]], dim=1)


def block_mask(visible: torch.Tensor, segments: torch.Tensor) -> BlockMask:
    """``visible`` as flex_attention's block mask, whose blocks are found from the segments' ends alone.

    A block of queries sees, of each segment that it overlaps, the prefix's blocks and the segment's own up to itself.
    A block of keys is full where every query of the block sees all of it, and partial where some query sees some of it.

    Args:
        visible: int64, (1, 1, tokens, 3), on the device that attends.
        segments: int64, (segments, 4): start, end, prefix start, prefix end; on the CPU, in order, without gaps.
    """
    tokens = visible.shape[2]
    partial, full = _blocks_of(segments.numpy(), tokens)
    prefix_start, prefix_end, own_start = visible[0, 0].unbind(-1)

    def sees(batch: torch.Tensor, head: torch.Tensor, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return ((k >= prefix_start[q]) & (k < prefix_end[q])) | ((k >= own_start[q]) & (k <= q))

    mask = BlockMask.from_kv_blocks(
        *_listed(partial, visible.device),
        *_listed(full, visible.device),
        BLOCK_SIZE=BLOCK,
        mask_mod=sees,
        seq_lengths=(tokens, tokens),
        compute_q_blocks=False,
    )
    # The same by blocks of keys, for the backward pass: torch would sort what is known here.
    mask.q_num_blocks, mask.q_indices = _listed(partial.T, visible.device)
    mask.full_q_num_blocks, mask.full_q_indices = _listed(full.T, visible.device)
    return mask


def _blocks_of(segments: np.ndarray, tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Which key blocks each query block sees in part, and which in full: bool, (blocks, blocks)."""
    blocks = -(-tokens // BLOCK)
    some, full = np.zeros((blocks, blocks), dtype=bool), np.ones((blocks, blocks), dtype=bool)
    for start, end, prefix_start, prefix_end in segments.tolist():
        for block in range(start // BLOCK, -(-end // BLOCK)):
            low, high = max(start, block * BLOCK), min(end, (block + 1) * BLOCK)  # the queries that the two share
            seen_by_all = np.zeros(blocks, dtype=bool)
            # Keys from the first to the last that any of these queries sees, and to the last that all of them see.
            for first, last, last_of_all in ((prefix_start, prefix_end, prefix_end), (start, high, low + 1)):
                if first < last:
                    some[block, first // BLOCK : -(-last // BLOCK)] = True
                    whole = blocks if last_of_all >= tokens else last_of_all // BLOCK  # the last block may be short
                    seen_by_all[-(-first // BLOCK) : whole] = True
            full[block] &= seen_by_all
    return some & ~full, some & full


def _listed(chosen: np.ndarray, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """The chosen blocks of each row, as flex_attention counts and lists them, int32 (1, 1, blocks[, blocks])."""
    row, column = chosen.nonzero()
    counts = chosen.sum(axis=1, dtype=np.int32)
    indices = np.zeros(chosen.shape, dtype=np.int32)
    indices[row, np.arange(len(row)) - (counts.cumsum() - counts)[row]] = column
    return tuple(torch.from_numpy(one)[None, None].to(device) for one in (counts, indices))  # type: ignore[return-value]
