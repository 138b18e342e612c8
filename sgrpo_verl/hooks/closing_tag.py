"""The tag that closes an early exit's thought: how probable the policy finds it, and how it is trained if wanted.

The tag is inserted, so the rollout masks it. When verl's trainer comes to the advantages, the actor has computed the
log-prob of every response token, inserted ones included. From there on, a tag that is to be trained is unmasked and has
its row's advantage. So nothing that compares the actor with the rollout ever sees it. docs/method.md has the reasons.
"""

import math
from collections.abc import Callable, Sequence
from inspect import BoundArguments
from statistics import mean
from typing import Any

import torch
from tensordict import TensorDict

from sgrpo_verl.hooks.metrics import notes_of

ADVANTAGES, MASKS = ("advantages", "returns"), ("response_mask", "loss_mask")


def after_advantage(wrapped: Callable, trainer: Any, call: BoundArguments) -> Any:
    """Hook: verl's trainers, in each of their modes, compute advantages in ``PPOTrainer._compute_advantage``."""
    import transfer_queue as tq

    result = wrapped(*call.args, **call.kwargs)
    if (trainer.config.algorithm.get("rollout_correction") or {}).get("bypass_mode"):
        return result  # then the log-probs are the rollout's, which has none of what was inserted
    batch, settings = call.arguments["batch"], trainer.config.algorithm.sgrpo
    closing = {key: _closing_notes(tag) for key, tag in zip(batch.keys, batch.tags, strict=True)}
    keys = [key for key, notes in closing.items() if notes]
    if not keys:
        return result
    queue = {"keys": keys, "partition_id": batch.partition_id}
    trained = ADVANTAGES + MASKS if settings.train_closing_tag else ()
    rows = {
        name: list(field.unbind())
        for name, field in tq.kv_batch_get(**queue, select_fields=["old_log_probs", *trained]).items()
    }
    places = [(closing[key]["kept"], closing[key]["closing_end"]) for key in keys]
    log_probs = [float(row[start:end].sum()) for row, (start, end) in zip(rows["old_log_probs"], places, strict=True)]
    call.arguments["metrics"].update(stop_probability(log_probs, [closing[key]["correct"] for key in keys]))
    if trained:
        weight, floor = settings.closing_tag_weight, settings.closing_tag_floor
        for index, (log_prob, place) in enumerate(zip(log_probs, places, strict=True)):
            row = {name: rows[name][index] for name in trained}
            for name, field in train_tag(row, *place, log_prob, weight, floor).items():
                rows[name][index] = field
        nested = {name: torch.nested.as_nested_tensor(rows[name], layout=torch.jagged) for name in trained}
        tq.kv_batch_put(**queue, fields=TensorDict(nested, batch_size=len(keys)))
    return result


def _closing_notes(tag: dict[str, Any]) -> dict[str, Any]:
    """The notes of an early exit whose closing tag can be told from its exit prompt; empty for other rows."""
    notes = notes_of(tag)
    return notes if notes and notes["closing_end"] is not None else {}


def stop_probability(log_probs: Sequence[float], correct: Sequence[bool]) -> dict[str, float]:
    """Mean probability of the closing tag at right exits and at wrong ones; a side without exits is left out.

    Args:
        log_probs: of each exit's tag, the sum over its tokens, by the policy before the step's update.
        correct: whether each exit's answer was correct.
    """
    sides = {
        side: [lp for lp, right in zip(log_probs, correct, strict=True) if right == side] for side in (True, False)
    }
    return {
        f"sgrpo/stop_probability/{'right' if side else 'wrong'}": mean(map(math.exp, found))
        for side, found in sides.items()
        if found
    }


def train_tag(
    row: dict[str, torch.Tensor], start: int, end: int, log_prob: float, weight: float, floor: float
) -> dict[str, torch.Tensor]:
    """One early exit's fields with its closing tag, the response's tokens from ``start`` to ``end``, trained on.

    Unchanged where nothing of the row is trained on, and where a negative advantage would lower a probability that is
    below ``floor`` already.

    Args:
        row: advantages, returns, response_mask and loss_mask, each (response length,).
        log_prob: of the whole tag, by the policy before the update.
        weight: of the tag's advantage, relative to that of the row's sampled tokens.
        floor: a probability.
    """
    sampled = row["response_mask"].nonzero()
    if not len(sampled):
        return row
    advantage = row["advantages"][sampled[0, 0]]
    if advantage < 0 and math.exp(log_prob) < floor:
        return row
    changed = {name: field.clone() for name, field in row.items()}
    for name in ADVANTAGES:
        changed[name][start:end] = weight * advantage
    for name in MASKS:
        changed[name][start:end] = 1
    return changed
