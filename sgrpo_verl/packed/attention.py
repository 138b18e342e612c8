"""Attention over packed rows, under a name of its own in transformers' registry of attention implementations.

Its mask is a tensor ``visible`` of shape (1, 1, tokens, 3), which transformers passes on unchanged because it has four
dimensions. Token q sees the tokens in [visible[q, 0], visible[q, 1]), the prefix that it shares with another row, and
in [visible[q, 2], q], its own segment. On an accelerator that is a block-sparse flex_attention, see ``flex``; on the
CPU, where flex_attention has no backward pass, each segment attends on its own.
"""

import sys
from types import ModuleType

import torch
from transformers import AttentionInterface

from sgrpo_verl.hooks.table import PACKED_ATTENTION
from sgrpo_verl.packed import flex


def register() -> None:
    """Make ``attn_implementation="sgrpo_packed"`` known to transformers."""
    AttentionInterface.register(PACKED_ATTENTION, packed_attention)


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface.

    Args:
        query: (1, heads, tokens, head dimension); ``key`` and ``value`` with as many heads or fewer. Under verl's
            Ulysses sequence parallelism, this rank's slice of the tokens.
        attention_mask: ``visible``, int64 of shape (1, 1, tokens, 3), of all tokens on every rank.

    Returns:
        The output, (1, tokens, heads, head dimension), and None in place of attention weights.

    Raises:
        ValueError: the rows were not packed, or the model needs a feature that this attention does not have.
    """
    query, key, value = _whole_sequence(query, key, value)
    tokens = query.shape[2]
    if attention_mask is None or attention_mask.dtype != torch.int64 or attention_mask.shape != (1, 1, tokens, 3):
        raise ValueError(f"attn_implementation={PACKED_ATTENTION} is only for rows that sgrpo-verl has packed")
    for name, wanted in (("attention dropout", dropout), ("a sliding window", sliding_window), ("softcap", softcap)):
        if wanted:
            raise ValueError(
                f"algorithm.sgrpo.layout=packed with a model that has {name} ({wanted}): set layout=rows for it"
            )
    attend = segment_by_segment if query.device.type == "cpu" else flex.attend
    output = _own_slice(attend(query, key, value, attention_mask, scaling))
    return output.transpose(1, 2).contiguous(), None


def _ulysses() -> ModuleType | None:
    """verl's sequence parallelism (verl/utils/ulysses.py), where this process has an engine that uses it."""
    module = sys.modules.get("verl.utils.ulysses")
    return module if module and module.get_ulysses_sequence_parallel_world_size() > 1 else None


def _whole_sequence(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """All tokens of some heads, from all heads of this rank's slice of the tokens: (1, heads / ranks, tokens, size).

    verl does the same around flash attention. Key heads are repeated where there are fewer than ranks.
    """
    if (ulysses := _ulysses()) is None:
        return query, key, value
    repeats = max(ulysses.get_ulysses_sequence_parallel_world_size() // key.shape[1], 1)
    repeated = (query, key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1))
    query, key, value = (ulysses.gather_seq_scatter_heads(one, seq_dim=2, head_dim=1) for one in repeated)
    return query, key, value


def _own_slice(output: torch.Tensor) -> torch.Tensor:
    """The exchange back: all heads of this rank's slice of the tokens."""
    ulysses = _ulysses()
    return output if ulysses is None else ulysses.gather_heads_scatter_seq(output, head_dim=1, seq_dim=2)


def segment_by_segment(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, visible: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """Attention of one segment at a time: exact, and the only masked scores computed are those within a segment."""
    outputs = []
    found, counts = visible[0, 0].unique_consecutive(dim=0, return_counts=True)
    ranges, lengths = found.tolist(), counts.tolist()
    # Split once: the gradient of a slice is as long as what it was taken from.
    queries, keys, values = (one.split(lengths, dim=2) for one in (query, key, value))
    begins_at = {start: index for index, (_, _, start) in enumerate(ranges)}
    for index, (prefix_start, prefix_end, _) in enumerate(ranges):
        shared = prefix_end - prefix_start
        own_keys, own_values, mask = keys[index], values[index], None
        if shared:  # with the first tokens of its group's full response
            full = begins_at[prefix_start]
            own_keys = torch.cat([keys[full][:, :, :shared], own_keys], dim=2)
            own_values = torch.cat([values[full][:, :, :shared], own_values], dim=2)
            mask = torch.ones(lengths[index], own_keys.shape[2], dtype=torch.bool).tril(diagonal=shared)
        outputs.append(
            torch.nn.functional.scaled_dot_product_attention(
                queries[index],
                own_keys,
                own_values,
                attn_mask=mask,
                is_causal=not shared,
                scale=scaling,
                enable_gqa=True,
            )
        )
    return torch.cat(outputs, dim=2)
