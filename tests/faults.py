"""Faults that packed rows may have, to be planted: every check that protects a user has to find each of them.

They are planted where verl's engine packs and where the CPU attends. A right layout with the same dense attention is
``RIGHT``, so that what a check finds is the fault alone.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

import torch

from sgrpo_verl.packed import attention, engine
from sgrpo_verl.packed.layout import Packing
from sgrpo_verl.selftest.groups import Segments, dense_mask

RIGHT = "no fault"


def _exits(segments: Segments) -> Segments:
    return [segment for segment in segments if segment[3] > segment[2]]


def _one_too_many(mask: torch.Tensor, segments: Segments) -> torch.Tensor:
    for start, end, _, prefix_end in _exits(segments):
        mask[start:end, prefix_end] = True
    return mask


def _one_too_few(mask: torch.Tensor, segments: Segments) -> torch.Tensor:
    for start, end, _, prefix_end in _exits(segments):
        mask[start:end, prefix_end - 1] = False
    return mask


def _neighbour(mask: torch.Tensor, segments: Segments) -> torch.Tensor:
    """Each exit sees the segment before it: an exit, or for the first of a group, the full response to its end."""
    begins = {end: start for start, end, _, _ in segments}
    for start, end, _, _ in _exits(segments):
        mask[start:end, begins[start] : start] = True
    return mask


def _of_another(mask: torch.Tensor, segments: Segments) -> torch.Tensor:
    """Of a micro-batch of as many tokens, which are groups of other lengths with other cuts."""
    tokens, rng = len(mask), random.Random(len(mask))
    others: Segments = []
    begin = 0
    while begin < tokens:
        full = min(rng.randrange(8, 40), tokens - begin)
        end = begin + full
        others.append((begin, end, begin, begin))
        for _ in range(3):
            own = min(rng.randrange(4, 24), tokens - end)
            if own:
                others.append((end, end + own, begin, begin + rng.randrange(1, full + 1)))
                end += own
        begin = end
    return dense_mask(others)


MASKS: dict[str, Callable[[torch.Tensor, Segments], torch.Tensor]] = {
    "one token of the prefix too many": _one_too_many,
    "one token of the prefix too few": _one_too_few,
    "a neighbour's segment visible": _neighbour,
    "the mask of another micro-batch": _of_another,
}
POSITIONS = {"positions one too high": 1, "positions one too low": -1}  # of the exits' own tokens
LOG_PROBS, OUTPUTS = "log-probs behind the cuts are noise", "attention behind the cuts is noise"
FAULTS = (*MASKS, *POSITIONS, LOG_PROBS, OUTPUTS)


@contextmanager
def planted(fault: str) -> Iterator[None]:
    """Whatever an engine packs in here has this fault, one of ``FAULTS``, or none for ``RIGHT``."""
    packings: list[Packing] = []
    generator = torch.Generator().manual_seed(0)
    pack, to_rows = engine.pack, Packing.to_rows

    def wrong_pack(*arguments, **options):
        packing = pack(*arguments, **options)
        positions = packing.position_ids.values().clone()
        for start, end, _, _ in _exits(packing.segments.tolist()):
            positions[start:end] += POSITIONS.get(fault, 0)
        offsets = packing.position_ids.offsets()
        packings[:] = [
            replace(packing, position_ids=torch.nested.nested_tensor_from_jagged(positions, offsets)),
        ]
        return packings[0]

    def noise_behind_the_cuts(values, dim):
        noise = torch.randn(values.shape, generator=generator, dtype=torch.float32) * values.std() + values.mean()
        behind = torch.zeros(values.shape[dim], dtype=torch.bool)
        for start, end, _, _ in _exits(packings[0].segments.tolist()):
            behind[start:end] = True
        return torch.where(behind if dim == 0 else behind[:, None], noise.to(values.dtype).detach(), values)

    def wrong_attention(query, key, value, visible, scaling):
        segments = packings[0].segments.tolist()
        mask = MASKS.get(fault, lambda mask, _: mask)(dense_mask(segments), segments)
        output = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=scaling, enable_gqa=True
        )
        return noise_behind_the_cuts(output, 2) if fault == OUTPUTS else output

    def wrong_rows(packing, values, row_offsets):
        return to_rows(packing, noise_behind_the_cuts(values, 0) if fault == LOG_PROBS else values, row_offsets)

    with (
        mock.patch.object(engine, "pack", wrong_pack),
        mock.patch.object(attention, "segment_by_segment", wrong_attention),
        mock.patch.object(Packing, "to_rows", wrong_rows),
    ):
        yield
