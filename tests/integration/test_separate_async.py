"""What verl's ``separate_async`` trainer needs on the CPU, and the line of verl's that is fixed for it."""

import asyncio
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from verl.checkpoint_engine.base import CheckpointEngineRegistry
from verl.trainer.ppo.v1 import trainer_base, trainer_separate_async
from verl.utils import fsdp_utils

from sgrpo_verl.cpu.gloo import GlooCheckpointEngine

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool)
SHAPES = st.lists(st.integers(0, 5), max_size=3)


def named(shapes):
    generator = torch.Generator().manual_seed(0)
    for number, (shape, dtype) in enumerate(shapes):
        yield f"weight.{number}", (torch.randn(shape, generator=generator) * 1000).to(dtype)


def transfer(shapes, actors, rollouts):
    """What every rollout worker receives: as verl's CheckpointEngineManager does it, with a thread for each worker."""
    engine = CheckpointEngineRegistry.get("gloo")
    assert engine is GlooCheckpointEngine
    workers = [engine(bucket_size=1 << 20, is_master=rank == 0) for rank in range(actors)]
    workers += [engine(bucket_size=1 << 20) for _ in range(rollouts)]
    topologies = engine.build_topology(actors, rollouts, [worker.prepare() for worker in workers])
    arguments = [
        {key: values[rank] for key, values in topology.items()}
        for topology, size in zip(topologies, (actors, rollouts), strict=True)
        for rank in range(size)
    ]
    received = [None] * len(workers)

    def work(number):
        worker = workers[number]
        worker.init_process_group(**arguments[number])
        if number < actors:
            walked = named(shapes)
            asyncio.run(worker.send_weights(walked))
            assert next(walked, None) is None, "every actor rank walks the generator to its end"
        else:

            async def receive():
                return [(name, weight.clone()) async for name, weight in worker.receive_weights()]

            received[number] = asyncio.run(receive())
        worker.finalize()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(workers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    return received[actors:]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(SHAPES, st.sampled_from(DTYPES)), max_size=6), st.integers(1, 2), st.integers(1, 2))
def test_gloo_moves_every_weight_bit_for_bit(shapes, actors, rollouts):
    expected = list(named(shapes))
    for received in transfer(shapes, actors, rollouts):
        assert [name for name, _ in received] == [name for name, _ in expected]
        for (_, ours), (_, theirs) in zip(received, expected, strict=True):
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
            assert torch.equal(ours, theirs)


@pytest.fixture
def sharded(tmp_path):
    """A layer as FSDP2 shards it, of one process."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    layer = torch.nn.Linear(2, 2)
    fully_shard(layer, mesh=init_device_mesh("cpu", (1,)))
    yield layer
    torch.distributed.destroy_process_group()


def saved_then_changed(layer, save):
    before = layer.weight.full_tensor().clone()
    state, spec = save(layer)
    with torch.no_grad():
        layer.weight.add_(1)
    fsdp_utils.fsdp2_sharded_load_from_cpu(layer, state, spec)
    return torch.equal(layer.weight.full_tensor(), before)


def test_the_old_policy_stays_the_old_one(sharded):
    """verl's own function saves a view: where it makes a copy some day, our patch is not needed any more."""
    assert saved_then_changed(sharded, fsdp_utils.fsdp2_sharded_save_to_cpu)
    assert not saved_then_changed(sharded, fsdp_utils.fsdp2_sharded_save_to_cpu.__wrapped__)


@pytest.fixture
def trainer(monkeypatch, compose_config):
    """A trainer without hybrid engines, of which everything that starts processes is left out."""
    monkeypatch.setattr(trainer_base.PPOTrainer, "_setup", lambda self: None)
    nothing = type("Nothing", (), {"create": lambda **_: nothing(), "get_replicas": lambda self: []})
    nothing.rollout_replicas = []
    monkeypatch.setattr(trainer_separate_async, "LLMServerManager", nothing)
    monkeypatch.setattr(trainer_separate_async, "CheckpointEngineManager", lambda **_: None)
    monkeypatch.setattr(trainer_separate_async.logger, "level", 20)
    trainer = object.__new__(trainer_separate_async.PPOTrainerSeparateAsync)
    trainer.config = compose_config("+cpu=default", "algorithm.adv_estimator=sgrpo")
    trainer.llm_server_manager, trainer.actor_rollout_wg = nothing(), None
    trainer._enable_hybrid_replicas = False
    return trainer


def test_verl_logs_what_its_logger_does_not_take(trainer, caplog):
    """Where verl's own no longer fails, our hook is not needed any more."""
    with pytest.raises(TypeError, match="flush"):
        trainer._setup.__wrapped__()
    trainer._setup()
    assert trainer.current_mode is trainer_separate_async.HybridEngineMode.TRAINER
    assert trainer_separate_async.logger.info.__func__ is type(trainer_separate_async.logger).info
    trainer.config.algorithm.adv_estimator = "grpo"
    with pytest.raises(TypeError, match="flush"):
        trainer._setup()
