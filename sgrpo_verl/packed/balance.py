"""Decides which rank trains which rows when groups are packed: whole groups, weighted by their packed length."""

from collections.abc import Callable, Sequence
from inspect import BoundArguments
from typing import Any

from sgrpo_verl.hooks.metrics import notes_of


def own_tokens(tag: dict[str, Any]) -> int:
    """Tokens of a row once its group is packed: an early exit adds only what comes after its cut."""
    cut = (notes_of(tag) or {}).get("kept")
    if cut is None:
        return tag["seq_len"]
    return tag["seq_len"] - tag["prompt_len"] - cut + 1  # the last shared token is there twice


def by_rank(keys: Sequence[str], tags: Sequence[dict[str, Any]], num_ranks: int) -> list[list[int]]:
    """The rows of each rank: the same number of rows, whole groups where possible, and about as many tokens.

    Args:
        keys: ``{uid}_{session}_{row}``, as verl keys the rows of a session.
        tags: their tags in TransferQueue.
        num_ranks: divides the number of rows.
    """
    groups: dict[str, list[int]] = {}
    for index in sorted(range(len(keys)), key=lambda index: int(keys[index].rsplit("_", 1)[1])):
        groups.setdefault(keys[index].rsplit("_", 1)[0], []).append(index)
    tokens = {name: sum(own_tokens(tags[index]) for index in rows) for name, rows in groups.items()}
    room = [len(keys) // num_ranks] * num_ranks
    load = [0] * num_ranks
    chosen: list[list[str]] = [[] for _ in range(num_ranks)]
    left: list[int] = []
    for name in sorted(groups, key=lambda name: -tokens[name]):
        ranks = [rank for rank in range(num_ranks) if room[rank] >= len(groups[name])]
        if not ranks:
            left += groups[name]
            continue
        rank = min(ranks, key=load.__getitem__)
        chosen[rank].append(name)
        room[rank] -= len(groups[name])
        load[rank] += tokens[name]
    order = {name: min(rows) for name, rows in groups.items()}  # a mini-batch of the longest would be no fair sample
    ranks_rows = [
        [index for name in sorted(names, key=order.__getitem__) for index in groups[name]] for names in chosen
    ]
    for rank, rows in enumerate(ranks_rows):
        rows += left[: room[rank]]
        del left[: room[rank]]
    return ranks_rows


def balance_batch(wrapped: Callable, trainer: Any, call: BoundArguments) -> Any:
    """Hook: verl assigns rows to ranks one by one, by their own length; a packed group has to stay on one rank."""
    from verl.trainer.ppo.v1.trainer_base import log_seqlen_unbalance

    batch = wrapped(*call.args, **call.kwargs)
    ranks = max(trainer.actor_rollout_wg._dispatch_info["actor"]) + 1
    rows = by_rank(batch.keys, batch.tags, ranks)
    tokens = [own_tokens(tag) for tag in batch.tags]
    call.arguments["metrics"].update(log_seqlen_unbalance(tokens, rows, call.arguments["logging_prefix"]))
    batch.reorder([row for rank in rows for row in rank])
    return batch
