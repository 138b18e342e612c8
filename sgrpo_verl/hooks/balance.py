"""The order in which the actor gets a step's rows: packed groups on one rank, padding spread over the mini-batches."""

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
    groups = _by_group(sorted(range(len(keys)), key=lambda index: int(keys[index].rsplit("_", 1)[1])), keys)
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


def over_mini_batches(
    rows: Sequence[int], keys: Sequence[str], tags: Sequence[dict[str, Any]], num_mini_batches: int
) -> list[int]:
    """A rank's rows, ordered so that each of its mini-batches has about as many real ones, in whole groups if possible.

    verl pads a step whose groups are short of rows. Left at the end, the padding would fill the last mini-batch, and
    the few real rows in it would weigh as much as all those of another.

    Args:
        rows: of the rank, as many for each mini-batch.
        keys: ``{uid}_{session}_{row}`` of all rows.
        tags: of all rows.
        num_mini_batches: divides the number of rows.
    """
    real = [row for row in rows if not tags[row].get("is_padding", False)]
    padding = [row for row in rows if tags[row].get("is_padding", False)]
    mini_batches: list[list[int]] = [[] for _ in range(num_mini_batches)]
    left: list[int] = []
    seen = 0
    for group in _by_group(real, keys).values():
        mini_batch = mini_batches[int((seen + len(group) / 2) * num_mini_batches / len(real))]
        fits = len(mini_batch) + len(group) <= len(rows) // num_mini_batches
        (mini_batch if fits else left).extend(group)
        seen += len(group)
    for row in (*left, *padding):
        min(mini_batches, key=len).append(row)
    return [row for mini_batch in mini_batches for row in mini_batch]


def _by_group(rows: Sequence[int], keys: Sequence[str]) -> dict[str, list[int]]:
    """The rows of each group, in their order."""
    groups: dict[str, list[int]] = {}
    for row in rows:
        groups.setdefault(keys[row].rsplit("_", 1)[0], []).append(row)
    return groups


def balance_batch(wrapped: Callable, trainer: Any, call: BoundArguments) -> Any:
    """Hook: verl assigns rows to ranks one by one, by their own length, and leaves padding at the end of each rank.

    A packed group has to stay on one rank, and padding is spread over the mini-batches.
    """
    from verl.trainer.ppo.v1.trainer_base import log_seqlen_unbalance

    batch = wrapped(*call.args, **call.kwargs)
    num_ranks = max(trainer.actor_rollout_wg._dispatch_info["actor"]) + 1
    if trainer.config.algorithm.sgrpo.layout == "packed":
        ranks = by_rank(batch.keys, batch.tags, num_ranks)
        tokens = [own_tokens(tag) for tag in batch.tags]
        call.arguments["metrics"].update(log_seqlen_unbalance(tokens, ranks, call.arguments["logging_prefix"]))
    else:
        each = len(batch.keys) // num_ranks
        ranks = [list(range(rank * each, (rank + 1) * each)) for rank in range(num_ranks)]
    settings = trainer.config.actor_rollout_ref
    num_mini_batches, rest = divmod(len(batch.keys), settings.actor.ppo_mini_batch_size * settings.rollout.n)
    if num_mini_batches > 1 and not rest:  # a rest: a critic is warming up, and the actor is not updated
        ranks = [over_mini_batches(rows, batch.keys, batch.tags, num_mini_batches) for rows in ranks]
    batch.reorder([row for rows in ranks for row in rows])
    return batch
