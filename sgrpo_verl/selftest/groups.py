"""Synthetic serial groups: segments for the attention alone, and whole batches for verl's engine."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from tensordict import TensorDict
from torch.nn.attention.flex_attention import BlockMask

from sgrpo_verl.packed.flex import BLOCK

Segments = list[tuple[int, int, int, int]]  # start, end, prefix start, prefix end; see packed/flex.py
NUM_EXITS = 8
PROMPT, EXIT_PROMPT, ANSWER = 32, 12, 128  # tokens


def _group(begin: int, full: int, exits: Sequence[tuple[int, int]]) -> Segments:
    """A full response of so many tokens, and exits (cut, own tokens) behind it."""
    segments, end = [(begin, begin + full, begin, begin)], begin + full
    for cut, own in exits:
        segments.append((end, end + own, begin, begin + cut))
        end += own
    return segments


def _eight_exits(tokens: int) -> Segments:
    own = max(1, tokens // 40)
    full = tokens - NUM_EXITS * own
    if full < NUM_EXITS:
        return _group(0, tokens, [])
    cuts = sorted(random.Random(tokens).sample(range(1, full + 1), NUM_EXITS))
    return _group(0, full, [(cut, own) for cut in cuts])


def _at_the_ends(tokens: int) -> Segments:
    own = max(1, tokens // 4)
    full = tokens - 2 * own
    return _group(0, full, [(1, own), (full, own)]) if full > 1 else _group(0, tokens, [])


def _unequal_groups(tokens: int) -> Segments:
    segments: Segments = []
    begin = 0
    for share in (0.7, 0.25):
        size = int(tokens * share)
        if size > 3:
            own = size // 3
            segments += _group(begin, size - own, [((size - own) // 2, own)])
            begin += size
    return [*segments, *_group(begin, tokens - begin, [])]


def _short_answers(tokens: int) -> Segments:
    full = tokens - 4
    return (
        _group(0, full, [(max(1, full * part // 4), 1) for part in (1, 2, 3, 4)]) if full > 4 else _group(0, tokens, [])
    )


GROUPS: dict[str, Callable[[int], Segments]] = {
    "a full response alone": lambda tokens: _group(0, tokens, []),
    "eight exits": _eight_exits,
    "exits at the thought's ends": _at_the_ends,
    "groups of unequal length": _unequal_groups,
    "answers of one token": _short_answers,
}


def visible_of(segments: Segments, device: torch.device | str = "cpu") -> torch.Tensor:
    """What each token sees, in the form that the packed attention takes: int64, (1, 1, tokens, 3)."""
    rows = [
        torch.tensor([prefix_start, prefix_end, start]).expand(end - start, 3)
        for start, end, prefix_start, prefix_end in segments
    ]
    return torch.cat(rows)[None, None].contiguous().to(device)


def dense_mask(segments: Segments) -> torch.Tensor:
    """Which token sees which, derived from the segments alone: bool, (tokens, tokens)."""
    tokens = segments[-1][1]
    mask = torch.zeros(tokens, tokens, dtype=torch.bool)
    for start, end, prefix_start, prefix_end in segments:
        mask[start:end, prefix_start:prefix_end] = True
        mask[start:end, start:end] = torch.ones(end - start, end - start, dtype=torch.bool).tril()
    return mask


def elements(mask: BlockMask) -> torch.Tensor:
    """A block mask, element by element: blocks listed as full count whole, partial ones as its mask function says."""
    tokens = mask.seq_lengths[0]
    size = -(-tokens // BLOCK) * BLOCK
    says = torch.zeros(size, size, dtype=torch.bool)
    places = torch.arange(tokens, device=mask.kv_indices.device)
    says[:tokens, :tokens] = mask.mask_mod(None, None, places[:, None], places).cpu()  # type: ignore[arg-type]
    result = torch.zeros_like(says)
    for numbers, indices, full in (
        (mask.kv_num_blocks, mask.kv_indices, False),
        (mask.full_kv_num_blocks, mask.full_kv_indices, True),
    ):
        assert numbers is not None
        assert indices is not None
        for row, (number, listed) in enumerate(zip(numbers[0, 0].tolist(), indices[0, 0].tolist(), strict=True)):
            for column in listed[:number]:
                here = slice(row * BLOCK, (row + 1) * BLOCK), slice(column * BLOCK, (column + 1) * BLOCK)
                result[here] = True if full else says[here]
    return result[:tokens, :tokens]


def rows_of(
    grouped: bool, thought: int, vocabulary: int, rng: random.Random, answer: int = ANSWER
) -> list[tuple[list[int], list[int]]]:
    """Responses of one prompt and their masks: a serial group's rows, or nine samples as long as its full response."""

    def tokens(count: int) -> list[int]:
        return [rng.randrange(vocabulary) for _ in range(count)]

    if not grouped:
        return [(tokens(thought + answer), [1] * (thought + answer)) for _ in range(NUM_EXITS + 1)]
    full = tokens(thought + answer)
    inserted = tokens(EXIT_PROMPT)
    cuts = sorted(rng.sample(range(1, thought + 1), NUM_EXITS))
    exits = [([*full[:cut], *inserted, *tokens(answer)], [1] * cut + [0] * EXIT_PROMPT + [1] * answer) for cut in cuts]
    return [*exits, (full, [1] * len(full))]


def answers_of(rows: list[tuple[list[int], list[int]]]) -> list[tuple[list[int], list[int]]]:
    """A serial group's rows with masks of their answers alone; the full response's is as long as an exit's."""
    answer = rows[0][1][::-1].index(0)
    return [(response, [0] * (len(response) - answer) + [1] * answer) for response, _ in rows]


def batch_of(
    rows: list[tuple[list[int], list[int]]],
    vocabulary: int,
    groups: Sequence[int] | None,
    old_log_probs: list[torch.Tensor] | None = None,
    prompt_length: int = PROMPT,
    **options: Any,
) -> TensorDict:
    """A batch as verl gives it to an engine: jagged tensors, and its settings.

    ``old_log_probs`` are those of each row's response, (response length,); some constant if None.

    ``groups`` numbers the group of each row; None: all are one. Rows of other groups have other prompts in the field
    that they are grouped by, so that none is packed with another; the model is given the same tokens.
    """
    from verl.utils import tensordict_utils as tu

    rng = random.Random(0)
    prompt = [rng.randrange(vocabulary) for _ in range(prompt_length)]

    def jagged(values: list[Any]) -> torch.Tensor:
        return torch.nested.as_nested_tensor([torch.as_tensor(value) for value in values], layout=torch.jagged)

    masks = [mask for _, mask in rows]
    fields = {
        "input_ids": jagged([[*prompt, *response] for response, _ in rows]),
        "position_ids": jagged([list(range(prompt_length + len(response))) for response, _ in rows]),
        "prompts": jagged([[number] * prompt_length for number in groups or [0] * len(rows)]),
        "responses": jagged([response for response, _ in rows]),
        "response_mask": jagged(masks),
        "loss_mask": jagged(masks),
        "old_log_probs": jagged(old_log_probs or [[-7.0] * len(mask) for mask in masks]),
        "advantages": jagged([[rng.uniform(-1, 1)] * len(mask) for mask in masks]),
    }
    batch = TensorDict(fields, batch_size=[len(rows)])
    settings = {
        "temperature": 1.0,
        "global_batch_size": len(rows),
        "use_dynamic_bsz": True,
        "max_token_len_per_gpu": 8192,
        "use_fused_kernels": False,
        "use_remove_padding": False,
        "calculate_entropy": False,
    }
    tu.assign_non_tensor(batch, **(settings | options))
    return batch
