"""Sends weights from actor to rollout workers over gloo, as verl's ``nccl`` does on GPUs (``verl/checkpoint_engine``).

verl's ``separate_async`` trainer needs such a transfer, because its actor and engines are different processes. Import
it by name (``checkpoint_engine.custom_backend_module``), and it is the backend ``gloo``.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import ray
import torch
from torch.distributed import ProcessGroupGloo, TCPStore
from verl.checkpoint_engine.base import CheckpointEngine, CheckpointEngineRegistry

TIMEOUT = timedelta(minutes=10)  # for one tensor; verl's own default for its process groups (nccl_timeout)
Named = tuple[str, torch.Tensor]


@CheckpointEngineRegistry.register("gloo")
class GlooCheckpointEngine(CheckpointEngine):
    """Broadcasts one tensor after another from the actor's first rank to every rollout worker, bit for bit.

    A group lives for one transfer: the rollout workers may be others the next time.
    """

    def __init__(self, bucket_size: int, is_master: bool = False):
        """What verl's registry passes. ``is_master``: this is the actor's first rank; ``bucket_size`` is not needed."""
        self.is_master = is_master
        self.store: TCPStore | None = None
        self.group: Any = None  # ProcessGroupGloo, whose methods torch does not annotate

    def prepare(self) -> tuple[str, int] | None:  # type: ignore[override]  # verl hands it to build_topology alone
        """Where the group meets: host and port, from the master only."""
        if not self.is_master:
            return None
        host = ray.util.get_node_ip_address().strip("[]")
        self.store = TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=TIMEOUT)
        return host, self.store.port

    @classmethod
    def build_topology(
        cls, actor_wg_world_size: int, rollout_world_size: int, metadata: list[Any]
    ) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        """Rank 0 is the actor's first rank, the rollout workers are the others; -1 stays outside."""
        size = 1 + rollout_world_size
        actor = [0] + [-1] * (actor_wg_world_size - 1)
        return tuple(
            {"rank": ranks, "size": [size] * len(ranks), "meeting_point": [metadata[0]] * len(ranks)}
            for ranks in (actor, list(range(1, size)))
        )  # type: ignore[return-value]

    def init_process_group(  # type: ignore[override]  # of what build_topology says
        self, rank: int, size: int, meeting_point: tuple[str, int]
    ) -> None:
        """Join the group of one transfer; blocks until all are there."""
        if rank < 0:
            return
        store = self.store or TCPStore(*meeting_point, is_master=False, timeout=TIMEOUT)
        self.store, self.group = store, ProcessGroupGloo(store, rank, size, TIMEOUT)

    def finalize(self) -> None:
        """Leave the group."""
        self.group = self.store = None

    async def send_weights(self, weights: Iterator[Named], global_steps: int | None = None) -> None:
        """Send every tensor; an actor rank outside the group only walks the generator, which gathers over all ranks."""
        for name, weight in weights:
            if self.group is None:
                continue
            data = weight.detach().cpu().contiguous()
            header = [name, str(data.dtype).removeprefix("torch."), list(data.shape)]
            await self._send_header(header)
            await self._broadcast(_bytes(data))
        if self.group is not None:
            await self._send_header(None)

    async def receive_weights(self, global_steps: int | None = None) -> AsyncIterator[Named]:  # type: ignore[override]
        """Every tensor that the master sends, as it comes."""
        while (header := await self._receive_header()) is not None:
            name, dtype, shape = header
            data = torch.empty(shape, dtype=getattr(torch, dtype))
            await self._broadcast(_bytes(data))
            yield name, data

    async def _send_header(self, header: list[Any] | None) -> None:
        text = torch.frombuffer(bytearray(json.dumps(header).encode()), dtype=torch.uint8)
        await self._broadcast(torch.tensor([len(text)]))
        await self._broadcast(text)

    async def _receive_header(self) -> list[Any] | None:
        length = torch.empty(1, dtype=torch.int64)
        await self._broadcast(length)
        text = torch.empty(int(length), dtype=torch.uint8)
        await self._broadcast(text)
        return json.loads(bytes(text.tolist()))

    async def _broadcast(self, tensor: torch.Tensor) -> None:
        assert self.group is not None
        if tensor.numel():
            await asyncio.to_thread(self.group.broadcast(tensor, 0).wait)


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor's memory as uint8, so that gloo need not know its type."""
    return tensor.view(-1).view(torch.uint8)
