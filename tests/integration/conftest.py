"""One real trainer for the rollout's tests: Ray, TransferQueue, FSDP2 actor, vLLM on the CPU, reward workers."""

import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

NUM_EXITS, ANSWER_LENGTH, RESPONSE_LENGTH = 4, 24, 128


@pytest.fixture(scope="module")
def process_group(tmp_path_factory):
    """A process group of the tests' process alone."""
    import torch

    from sgrpo_verl.selftest.engine import join_process_group

    if torch.distributed.is_initialized():  # an engine of vLLM's in this process, in tests before these, leaves its own
        torch.distributed.destroy_process_group()
    join_process_group(tmp_path_factory.mktemp("group") / "store")
    yield
    torch.distributed.destroy_process_group()


@dataclass
class Rollout:
    """The trainer of a run that never trains, and how to send prompts through its rollout."""

    trainer: Any
    manager: Any = None

    def new_manager(self, workers=1):
        """New workers of ours, with the client of verl's async trainers, which goes on after a weight sync."""
        from verl.workers.rollout.llm_server import FullyAsyncLLMServerClient

        from sgrpo_verl.rollout.manager import SerialGroupManager

        self.trainer.config.actor_rollout_ref.rollout.agent.num_workers = workers
        client = self.trainer.llm_server_manager.get_client(client_cls=FullyAsyncLLMServerClient)
        self.manager = SerialGroupManager.create(
            config=self.trainer.config,
            llm_client=client,
            teacher_client=None,
            reward_loop_worker_handles=self.trainer.get_reward_handles(),
        )
        self.trainer.agent_loop_manager = self.manager

    @contextmanager
    def reward_worker(self, overrides):
        """Let another of verl's reward workers score, with these overrides of the config, as long as this lasts."""
        import ray
        from omegaconf import OmegaConf
        from verl.experimental.reward_loop.reward_loop import RewardLoopWorker

        config = OmegaConf.create(OmegaConf.to_container(self.trainer.config))  # takes new keys, as +key=value does
        config.merge_with({"reward": overrides})
        worker = ray.remote(RewardLoopWorker).remote(config)
        ours = self.manager.agent_loop_workers[0]
        before = self.trainer.get_reward_handles()
        ray.get(ours.__ray_call__.remote(_score_with, [worker]))
        try:
            yield worker
        finally:
            ray.get(ours.__ray_call__.remote(_score_with, before))
            ray.kill(worker)

    def submit(self, problems, step=1, validate=False, ground_truths=None, prompts=None, **columns):
        """Send prompts as the trainer does, with these further columns; returns their uids, without waiting."""
        import transfer_queue as tq
        from verl.utils import tensordict_utils as tu

        uids = [uuid.uuid4().hex for _ in problems]
        truths = ground_truths or [problem.answer for problem in problems]
        columns |= {
            "raw_prompt": prompts or [[{"role": "user", "content": problem.question}] for problem in problems],
            "data_source": ["toy/sums"] * len(problems),
            "reward_model": [{"style": "rule", "ground_truth": truth} for truth in truths],
            "extra_info": [{"index": index} for index in range(len(problems))],
            "index": list(range(len(problems))),
            "uid": uids,
        }
        batch = tu.get_tensordict({name: _object_array(values) for name, values in columns.items()})
        tu.assign_non_tensor_data(batch, "global_steps", step)
        if validate:
            tu.assign_non_tensor_data(batch, "validate", True)
        partition = "val" if validate else "train"
        tags = [{"is_prompt": True, "status": "pending", "global_steps": step} for _ in uids]
        tq.kv_batch_put(keys=uids, partition_id=partition, tags=tags)
        self.manager.generate_sequences(batch)
        return uids

    def wait(self, uids, partition="train", seconds=180):
        """Wait until every prompt has ended; returns its status and its rows {key: tag}, by uid."""
        import transfer_queue as tq

        deadline = time.monotonic() + seconds
        while True:
            listed = tq.kv_list()[partition]
            status = {uid: listed[uid]["status"] for uid in uids}
            if all(one in ("finished", "failure") for one in status.values()):
                break
            assert time.monotonic() < deadline, status
            time.sleep(0.2)
        rows = {uid: {key: tag for key, tag in listed.items() if key.startswith(f"{uid}_")} for uid in uids}
        return status, rows

    def fields(self, keys, partition="train"):
        """Every stored field of these rows, a dict each."""
        import transfer_queue as tq

        data = tq.kv_batch_get(keys=keys, partition_id=partition)
        columns = {name: data[name] for name in data.keys()}  # noqa: SIM118  # a TensorDict iterates over its rows
        return [
            {name: getattr(column[row], "data", column[row]) for name, column in columns.items()}
            for row in range(len(keys))
        ]

    def groups(self, problems, **submit):
        """Send prompts, wait, and return each group's (tags, fields) in row order."""
        uids = self.submit(problems, **submit)
        status, rows = self.wait(uids)
        assert set(status.values()) == {"finished"}
        groups = []
        for uid in uids:
            keys = sorted(rows[uid], key=lambda key: int(key.rsplit("_", 1)[1]))
            assert keys == [f"{uid}_0_{position}" for position in range(len(keys))]
            groups.append(([rows[uid][key] for key in keys], self.fields(keys)))
        return groups


def _score_with(worker, handles):
    worker.reward_loop_worker_handles = handles


def _object_array(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def start_ray(**options):
    """``ray.init``, a second time if the node was not there within Ray's 30 seconds, as on a busy machine."""
    import ray

    try:
        ray.init(**options)
    except Exception as error:
        if "timed out during startup" not in str(error):
            raise
        ray.init(**options)


@pytest.fixture(scope="module")
def rollout(reasoner, tmp_path_factory):
    import ray
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf

    environment = pytest.MonkeyPatch()
    environment.setenv("TRANSFER_QUEUE_ENABLE", "1")  # as main_ppo sets it
    environment.setenv("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")  # a test sends vLLM a function that dumps its weights
    import transfer_queue as tq
    from verl.trainer.constants_ppo import get_ppo_ray_runtime_env
    from verl.trainer.main_ppo import validate_config
    from verl.trainer.ppo.v1 import get_trainer_cls

    from sgrpo_verl.workbench.data import write_data
    from sgrpo_verl.workbench.tasks import TASKS

    folder = tmp_path_factory.mktemp("rollout")
    data = write_data(folder, TASKS["sums"], train=8, validation=4, test=4)
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose(
            "ppo_trainer",
            [
                *("+cpu=default", "+sgrpo=paper", "+toy=demo"),
                f"data.train_files={data['train']}",
                f"data.val_files={data['validation']}",
                "data.train_batch_size=4",
                "actor_rollout_ref.actor.ppo_mini_batch_size=4",
                f"data.max_response_length={RESPONSE_LENGTH}",
                f"actor_rollout_ref.model.path={reasoner}",
                f"algorithm.sgrpo.num_exits={NUM_EXITS}",
                f"algorithm.sgrpo.answer_length={ANSWER_LENGTH}",
                f"reward.custom_reward_function.path={__file__.replace('conftest.py', 'reward.py')}",
                f"trainer.default_local_dir={folder}/checkpoints",
                "trainer.resume_mode=disable",
                "transfer_queue.enable=true",
            ],
        )
    validate_config(config=config, use_reference_policy=False, use_critic=False)
    OmegaConf.resolve(config)
    start_ray(
        num_cpus=16,
        num_gpus=1,
        include_dashboard=False,
        runtime_env=OmegaConf.to_container(OmegaConf.create(get_ppo_ray_runtime_env(config))),
    )
    tq.init(config.transfer_queue)
    try:
        trainer = get_trainer_cls("sync")(config=config)
        trainer.init()
        rollout = Rollout(trainer)
        rollout.new_manager()
        yield rollout
    finally:
        tq.close()
        ray.shutdown()
        environment.undo()
