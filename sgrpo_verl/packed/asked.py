"""Computes logits only where a log-prob is needed: for response tokens, and in an update for those that are trained on.

Nobody reads the log-prob of a prompt's token, and with a vocabulary of 150,000 the logits weigh as much as many layers.
So the hidden states of the other tokens are left out before the model's last layer. An exit prompt's tokens have a log-
prob before the update (``hooks.closing_tag`` reads it), and in it only if they are trained on. Log-prob and entropy of
a token that is not asked for read 0 in the rows; every loss and metric of verl masks them.
"""

from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict

from sgrpo_verl.packed.layout import Packing


@dataclass(frozen=True)
class Asked:
    """The packed tokens that predict a token whose log-prob is asked for; int64 tensors on the rows' device.

    Under verl's Ulysses every rank has a slice of the packed tokens, and asks for as many as the rank with the most:
    the slot of a token that is not asked for is filled with the slice's first token, whose value nobody reads.
    """

    of_rank: torch.Tensor  # (ranks, slots): positions in the rank's slice
    slot: torch.Tensor  # (packed tokens,): where its value is among all ranks' slots; one past the last if not asked

    def to_packed(self, values: torch.Tensor) -> torch.Tensor:
        """The model's values for the slots, (ranks · slots,), spread over all packed tokens; 0 elsewhere."""
        return torch.cat([values, values.new_zeros(1)])[self.slot]

    def placeholder(self) -> torch.Tensor:
        """A jagged row as long as the slots, which verl takes the outputs' shape from."""
        count = self.of_rank.numel()
        offsets = torch.tensor([0, count], device=self.of_rank.device)
        return torch.nested.nested_tensor_from_jagged(self.of_rank.new_zeros(count), offsets)


def asked_of(micro_batch: TensorDict, packing: Packing, ranks: int, inserted: bool = False) -> Asked | None:
    """Which packed tokens of a micro-batch need logits; None means all of them.

    Args:
        micro_batch: its ``input_ids`` and ``response_mask`` jagged, (rows, row length) and (rows, response length); a
            row ends with its response.
        packing: of its rows.
        ranks: of verl's Ulysses sequence parallelism; divides the packed tokens.
        inserted: whether to ask for the response's masked tokens, too.
    """
    mask = micro_batch.get("response_mask", None)
    if mask is None or not mask.is_nested:
        return None
    responses = mask.offsets()
    before_response = micro_batch["input_ids"].offsets()[1:] - responses[1:]
    place = torch.arange(len(mask.values()), device=mask.device) + before_response.repeat_interleave(responses.diff())
    wanted = place if inserted else place[mask.values().bool()]
    predicting = packing.source[wanted - 1].unique()
    tokens = len(packing.input_ids.values())
    slices = torch.zeros(tokens, dtype=torch.bool, device=mask.device)
    slices[predicting] = True
    counts = slices.view(ranks, -1).sum(1)
    slots = max(1, int(counts.max()))
    rank = predicting // (tokens // ranks)
    index = torch.arange(len(predicting), device=mask.device) - (counts.cumsum(0) - counts)[rank]
    of_rank = torch.zeros(ranks, slots, dtype=torch.int64, device=mask.device)
    of_rank[rank, index] = predicting % (tokens // ranks)
    slot = torch.full((tokens,), ranks * slots, device=mask.device)
    slot[predicting] = rank * slots + index
    return Asked(of_rank, slot)


class LeavesOut:
    """Forward hook of a model's decoder: hidden states of ``positions`` alone, (asked,) int64; None lets all pass."""

    def __init__(self) -> None:
        self.positions: torch.Tensor | None = None

    def __call__(self, decoder: torch.nn.Module, inputs: tuple, output: Any) -> Any:
        if self.positions is not None:
            output["last_hidden_state"] = output["last_hidden_state"][:, self.positions]
        return output


def decoder_of(module: Any) -> torch.nn.Module:
    """The decoder in verl's module: under FSDP1's wrapper and an adapter's."""
    module = getattr(module, "_fsdp_wrapped_module", module)
    if hasattr(module, "get_base_model"):
        module = module.get_base_model()
    return module.get_decoder()
