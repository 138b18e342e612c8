"""Two Ray nodes on this machine, as an ordinary user starts them: the paper's script, a kill, a resume, the doctor."""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from sgrpo_verl.workbench import processes
from sgrpo_verl.workbench.data import write_data
from sgrpo_verl.workbench.tasks import TASKS
from tests.conftest import ROOT
from tests.e2e.test_main_ppo import SECONDS, Run, assert_engine_and_actor_agree
from tests.families import R1_DISTILL_QWEN

HEAD, SECOND, BARE = "127.0.0.2", "127.0.0.3", "127.0.0.4"  # Ray writes the host's own address for 127.0.0.1
RAY = Path(sys.executable).with_name("ray")
# One logical device a node forces a run with two of them onto both.
NODE = ("--num-gpus=1", "--num-cpus=16", "--object-store-memory=200000000", "--block")
PORTS = ("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0")


def free_port():
    with socket.socket() as one:
        one.bind((HEAD, 0))
        return one.getsockname()[1]


class Cluster:
    """Nodes that are started with ``ray start`` and ended with this; its temporary folder has a short name for Ray."""

    def __init__(self, folder, environment):
        self.address, self.folder, self.environment = f"{HEAD}:{free_port()}", folder, environment
        self.nodes = ExitStack()
        port = self.address.rsplit(":", 1)[1]
        self.start(HEAD, "--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}")
        deadline = time.monotonic() + 120
        while "Ray runtime started" not in (Path(folder) / f"{HEAD}.log").read_text():
            assert time.monotonic() < deadline, (Path(folder) / f"{HEAD}.log").read_text()
            time.sleep(0.5)

    def start(self, node, *options, **environment):
        command = [str(RAY), "start", f"--node-ip-address={node}", *(options or [f"--address={self.address}"])]
        log = (Path(self.folder) / f"{node}.log").open("w")
        environment = {"RAY_AUTH_MODE": "token", **self.environment, **environment}
        started = processes.running([*command, *NODE, *PORTS], environment, log.fileno())
        self.nodes.enter_context(started)

    def doctor(self, until):
        """What ``sgrpo doctor`` says of the cluster, once it names the node ``until``."""
        deadline = time.monotonic() + 120
        while True:
            command = [sys.executable, "-m", "sgrpo_verl.cli", "doctor", "--ray-address", self.address]
            environment = {**os.environ, **self.environment, "COLUMNS": "250"}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
            if until in done.stdout:
                return done
            assert time.monotonic() < deadline, done.stdout + done.stderr
            time.sleep(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("nodes")


@pytest.fixture(scope="module")
def cluster(folder):
    environment = {
        "RAY_AUTH_TOKEN": secrets.token_hex(32),  # which the script and the doctor must take to the cluster
        "VERL_FILE_LOGGER_PATH": str(folder / "run/metrics.jsonl"),  # verl's trainer is on one of the nodes
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as temporary:
        cluster = Cluster(temporary, environment)
        with cluster.nodes:
            cluster.start(SECOND)
            yield cluster


def test_the_doctor_looks_at_both_nodes(cluster):
    done = cluster.doctor(until=SECOND)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Ray worker on {HEAD}" in done.stdout
    assert f"Ray worker on {SECOND}" in done.stdout
    assert "all in place" in done.stdout


def test_two_steps_on_both_nodes_then_a_kill_and_a_resume(cluster, folder):
    """Packed rows, an actor rank and an engine on each node."""
    model = R1_DISTILL_QWEN.save(folder / "model")
    data = write_data(folder, TASKS["sums"], train=64, validation=8, test=8)
    overrides = [
        f"data.train_files={data['train']}",
        f"data.val_files={data['validation']}",
        f"actor_rollout_ref.model.path={model}",
        "algorithm.sgrpo.num_exits=5",
        "algorithm.sgrpo.layout=packed",
        "reward.custom_reward_function.path=pkg://recipes.bench.model",
        "trainer.n_gpus_per_node=1",
        "trainer.total_training_steps=3",
        "trainer.save_freq=2",
        "trainer.test_freq=-1",
    ]
    script = [ROOT / "recipes/paper/multi_node.sh", "2", "r1_distill_qwen_7b"]
    run = Run(folder / "run", [*overrides, f"trainer.rollout_data_dir={folder}/rollouts"], script=script)
    to_cluster = {"RAY_ADDRESS": cluster.address, "RAY_AUTH_TOKEN": cluster.environment["RAY_AUTH_TOKEN"]}
    run.killed_once_saved(**to_cluster)
    first = run.steps()
    assert set(first) <= {1, 2}
    assert 1 in first
    shards = sorted(file.name for file in (run.folder / "checkpoints/global_step_2/actor").glob("model_world_size_2*"))
    assert shards == [f"model_world_size_2_rank_{rank}.pt" for rank in (0, 1)]

    resumed = run.to_the_end(**to_cluster).steps()
    assert list(resumed) == [3]
    said = run.log.read_text()
    assert f"ip={SECOND}" in said, "some of it ran on the second node"
    for steps in (first, resumed):
        assert_engine_and_actor_agree(steps)
        for data in steps.values():
            assert data["sgrpo/groups"] == 8
            assert data["actor/grad_norm"] > 0
            assert 2 * data["global_seqlen/mean"] < data["perf/total_num_tokens"], "two ranks are given packed rows"


def test_the_doctor_names_a_node_without_the_package(cluster, folder):
    """Which is a Python there that does not find it."""
    bare = folder / "bare"
    bare.mkdir()
    (bare / "sitecustomize.py").write_text(
        "import importlib.abc, sys\n"
        "class Missing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'sgrpo_verl':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    cluster.start(BARE, PYTHONPATH=str(bare))
    done = cluster.doctor(until=BARE)
    assert done.returncode == 1
    assert f"Ray worker on {BARE}: sgrpo-verl is not installed there" in done.stdout.replace("\n", " ")
    assert "every node needs it" in done.stdout.replace("\n", " ")
    assert f"Ray worker on {HEAD}: sgrpo-verl" not in done.stdout.replace("\n", " ")
