"""Shared by all tests: a stock verl config, composed as main_ppo composes it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hydra import compose, initialize_config_module
from omegaconf import DictConfig

# The driver looks for a model's config on the hub, and retries for 20 s where there is no network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).parent.parent
# What any run of main_ppo has to say, whatever its algorithm.
STOCK = ["actor_rollout_ref.rollout.name=vllm", "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=1"]


def benchmark_file(name: str) -> Path:
    """A public test set's file in ``SGRPO_BENCHMARKS``; the test that asks for one that is not there is skipped."""
    folder = os.environ.get("SGRPO_BENCHMARKS", "")
    if not Path(folder, name).is_file():
        pytest.skip(f"no {name} in {folder!r}: set SGRPO_BENCHMARKS to the folder of the benchmark files")
    return Path(folder, name)


@pytest.fixture(scope="module")
def compose_config() -> Iterator[Callable[..., DictConfig]]:
    """``compose_config(*overrides)``: main_ppo's config with these overrides."""
    with initialize_config_module("verl.trainer.config", version_base=None):  # once: it forgets the files that it read
        yield lambda *overrides: compose("ppo_trainer", [*STOCK, *overrides])


@pytest.fixture(scope="session")
def reasoner(tmp_path_factory) -> Path:
    """A toy reasoner taught for two minutes: it closes most of its thoughts, and about half of them are right.

    Of several test processes (pytest-xdist), the first teaches it and the others wait.
    """
    from sgrpo_verl.toy.teach import teach
    from sgrpo_verl.workbench.tasks import TASKS

    own = tmp_path_factory.getbasetemp()
    model = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "reasoner-model"
    with FileLock(f"{model}.lock"):
        return model if model.exists() else teach(model, TASKS["sums"], steps=600)
