"""Stock main_ppo for a few steps on the CPU: the examples, one killed and resumed; recipes on tiny models; GRPO."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM

from sgrpo_verl.eval.checkpoint import resolve_model
from sgrpo_verl.files import read_lines
from sgrpo_verl.settings.driver import OLDEST_VERL
from sgrpo_verl.workbench import processes
from sgrpo_verl.workbench.data import write_data
from sgrpo_verl.workbench.tasks import TASKS
from sgrpo_verl.workbench.train import read_steps
from tests.conftest import ROOT
from tests.families import R1_DISTILL_QWEN

SECONDS = 840  # a hang, not a slow machine
EXAMPLES = ROOT / "examples"
# The data, the model and the machine's own settings: no more than any run needs.
COMMON = [
    "+cpu=default",
    "data.train_batch_size=8",
    "data.max_prompt_length=64",
    "data.max_response_length=128",
    "data.seed=1",
    "actor_rollout_ref.actor.ppo_mini_batch_size=4",
    "actor_rollout_ref.actor.optim.lr=1e-4",
    "reward.custom_reward_function.path=pkg://sgrpo_verl.correctness",
    "trainer.val_before_train=false",
    "trainer.logger=[console,file]",
]

TAUGHT_STOP = [
    "+algorithm.sgrpo.exit_sampling=lines",
    "+algorithm.sgrpo.exit_prompt='</think>\n\n'",
    "+algorithm.sgrpo.train_closing_tag=true",
]


@pytest.fixture(scope="module")
def task_overrides(reasoner, tmp_path_factory):
    """The reasoner and prompts for it."""
    folder = tmp_path_factory.mktemp("task")
    data = write_data(folder, TASKS["sums"], train=64, validation=8, test=8)
    return [
        f"data.train_files={data['train']}",
        f"data.val_files={data['validation']}",
        f"actor_rollout_ref.model.path={reasoner}",
    ]


class Run:
    """One run of main_ppo in a folder of its own; without VERL_PLATFORM, as a newcomer's shell is."""

    def __init__(self, folder: Path, overrides: list[str], recipe: str | None = None, script: Sequence[str] = ()):
        folder.mkdir(exist_ok=True)
        self.folder, self.metrics_file = folder, folder / "metrics.jsonl"
        self.log = folder / "train.log"
        main_ppo = ["bash", *script] if script else [sys.executable, "-m", "verl.trainer.main_ppo"]
        self.command = [
            *(*main_ppo, *([f"+paper={recipe}"] if recipe else []), *COMMON, *overrides),
            f"trainer.default_local_dir={folder}/checkpoints",
            f"hydra.run.dir={folder}/hydra",
            f"trainer.rollout_data_dir={folder}/rollouts",
        ]

    def start(self, **environment):
        self.metrics_file.unlink(missing_ok=True)
        self.log_file = self.log.open("w")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        paths = {"VERL_FILE_LOGGER_PATH": str(self.metrics_file), "PYTHONPATH": str(ROOT), "PATH": path}
        environment = {**paths, **environment}
        return processes.running(self.command, environment, stdout=self.log_file.fileno())

    def to_the_end(self, **environment):
        with self.start(**environment) as process:
            status = process.wait(timeout=SECONDS)
        assert status == 0, self.log.read_text(errors="replace")[-5000:]
        return self

    def killed_once_saved(self, **environment):
        """Start, and kill the driver as soon as its first checkpoint is whole; returns the driver's process id."""
        saved = self.folder / "checkpoints" / "latest_checkpointed_iteration.txt"
        with self.start(**environment) as process:
            deadline = time.monotonic() + SECONDS
            while not saved.exists():
                assert process.poll() is None, self.log.read_text(errors="replace")[-5000:]
                assert time.monotonic() < deadline
                time.sleep(0.1)
            process.kill()
            process.wait()
        assert saved.read_text() == "2"
        return process.pid

    def steps(self):
        return {step["step"]: step for step in read_steps(self.metrics_file)}

    def rows(self, step):
        """The dumped rows of a step, by prompt: {uid: {(session, row): row}}; verl's padding left out."""
        groups = defaultdict(dict)
        for row in read_lines(self.folder / "rollouts" / f"{step}.jsonl"):
            uid, session, position = row["uid"].rsplit("_", 2)
            if not uid.startswith("pad"):
                groups[uid][int(session), int(position)] = row
        return groups


def left_behind(run, session):
    """Living processes of a run: they inherit its environment, or are in the session of its driver."""
    return [
        one
        for one in psutil.process_iter()
        if processes.inherits(one, "VERL_FILE_LOGGER_PATH", str(run.metrics_file)) or processes.in_session(one, session)
    ]


def assert_engine_and_actor_agree(steps):
    correlations = {step: data["training/rollout_actor_probs_pearson_corr"] for step, data in steps.items()}
    assert all(correlation > 0.999 for correlation in correlations.values()), correlations


@pytest.fixture(scope="module")
def oldest_verl(tmp_path_factory):
    """A folder with the oldest verl that we support, to go before the installed one on the path."""
    folder = tmp_path_factory.mktemp("oldest_verl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    subprocess.run([*install, f"verl=={OLDEST_VERL}"], check=True)
    return folder


@pytest.fixture(scope="module")
def grpo(task_overrides, tmp_path_factory):
    """``examples/grpo.sh`` for a step, with the plugin, and its checkpoint."""
    overrides = ["trainer.total_training_steps=1", "trainer.save_freq=1", "trainer.test_freq=-1"]
    return Run(
        tmp_path_factory.mktemp("grpo"), [*task_overrides, *overrides], script=[EXAMPLES / "grpo.sh"]
    ).to_the_end()


def test_sgrpo_from_a_grpo_checkpoint_killed_and_resumed(task_overrides, grpo, tmp_path):
    """``examples/from_grpo_checkpoint.sh``; killed after its first checkpoint, it resumes from there.

    Of S-GRPO it says ``algorithm.adv_estimator=sgrpo`` alone; once it resumes, the stop is taught. Its reward function
    raises for one prompt in four, and once it has resumed, vLLM's engine is killed in the middle of a step.
    """
    data = [override for override in task_overrides if "model.path" not in override]
    merged = tmp_path / "merged"
    script = [EXAMPLES / "from_grpo_checkpoint.sh", grpo.folder / "checkpoints" / "global_step_1", merged]
    overrides = ["trainer.total_training_steps=10", "trainer.save_freq=2", "trainer.test_freq=-1"]
    overrides += [f"reward.custom_reward_function.path={Path(__file__).with_name('reward.py')}"]
    run = Run(tmp_path / "run", [*data, *overrides], script=script)
    assert left_behind(run, run.killed_once_saved()) == []
    first = run.steps()
    assert list(first)[:1] == [1]
    assert 3 not in first
    for uid, rows in run.rows(1).items():
        assert 1 <= len(rows) <= 9, uid
        assert {session for session, _ in rows} == {0}
        *exits, full = (row for _, row in sorted(rows.items()))
        assert [row["exit_index"] for row in exits] == [*range(1, len(exits) + 1)]
        assert (full["exit_index"], full["exit_position"]) == (None, None)
        positions = [row["exit_position"] for row in exits]
        assert positions == sorted(set(positions))
        assert all(position <= full["thought_length"] for position in positions)
        assert all(row["correct"] == (row["score"] > 0) for row in rows.values())
        assert {row["score"] for row in rows.values()} <= {0.0, *(0.5**n for n in range(9))}

    assert merged.is_dir()
    run.command += TAUGHT_STOP
    with run.start() as process:
        deadline = time.monotonic() + SECONDS
        while 3 not in run.steps():
            assert process.poll() is None, run.log.read_text(errors="replace")[-5000:]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        [engine] = [one for one in left_behind(run, process.pid) if "EngineCore" in one.name()]
        engine.kill()
        assert process.wait(timeout=SECONDS) != 0
    resumed, log = run.steps(), run.log.read_text(errors="replace")
    assert list(resumed) == [3]
    assert "filled in:" in log
    assert re.search(r"RolloutFailed.*vLLM's engine died: one of its processes was ended from outside.*log is", log)
    failed = sum(data["sgrpo/failed_prompts/sum"] for steps in (first, resumed) for data in steps.values())
    assert failed
    assert "prompts failed and are left out, the last with RuntimeError('this prompt cannot be scored')" in log
    cut = [row["output"].split("</think>")[0] for rows in run.rows(3).values() for _, row in sorted(rows.items())[:-1]]
    assert cut
    assert all(thought.endswith("\n") for thought in cut)
    stop = {name: value for name, value in resumed[3].items() if name.startswith("sgrpo/stop_probability/")}
    assert stop
    assert all(0 < probability < 1 for probability in stop.values())
    assert not any(name.startswith("sgrpo/stop_probability/") for name in first[1])
    for steps, exits in ((first, 8), (resumed, 1)):
        assert_engine_and_actor_agree(steps)
        for data in steps.values():
            assert data["sgrpo/groups"] + data["sgrpo/failed_prompts/sum"] == 8
            assert 0 < data["sgrpo/exit_position/share"] <= 1
            assert {f"sgrpo/accuracy/exit_{index}" for index in range(1, exits + 1)} <= data.keys()
            assert 0 < data["sgrpo/generated_tokens"] < data["sgrpo/generated_tokens_grpo"]
            assert 0 <= data["sgrpo/prefix_cache_hit"] < 1
            learns = data["sgrpo/zero_advantage"] < 1  # a step whose rows are all wrong teaches nothing
            assert (data["critic/advantages/max"] > 0 > data["critic/advantages/min"]) == learns
            assert (data["actor/grad_norm"] > 0) == learns
    assert first[1]["sgrpo/zero_advantage"] < 1


def test_a_recipes_ablation_on_two_devices_with_the_oldest_verl(task_overrides, oldest_verl, tmp_path):
    """R1-Distill-Qwen-7B's recipe on a tiny Qwen2, with ``sgrpo=shortest_only``: one row of a group is rewarded.

    Two actor ranks with two vLLM replicas and two agent-loop workers, packed rows, verl's rollout correction, and a
    reference model.
    Weights are random, so the reward function tosses a coin.
    """
    model = R1_DISTILL_QWEN.save(tmp_path / "model")
    overrides = [
        "sgrpo=shortest_only",
        "algorithm.sgrpo.num_exits=5",
        "algorithm.sgrpo.layout=packed",
        "algorithm.rollout_correction.rollout_is=token",
        "actor_rollout_ref.actor.use_kl_loss=true",
        "algorithm.filter_groups.enable=true",  # the oldest verl finds no reward unless our rows say it
        "algorithm.filter_groups.metric=reward",
        "actor_rollout_ref.rollout.agent.num_workers=2",
        f"actor_rollout_ref.model.path={model}",
        "reward.custom_reward_function.path=pkg://recipes.bench.model",
        "trainer.n_gpus_per_node=2",
        "trainer.total_training_steps=2",
        "trainer.save_freq=2",
        "trainer.test_freq=2",
    ]
    run = Run(tmp_path / "run", [*task_overrides, *overrides], recipe="r1_distill_qwen_7b")
    run.to_the_end(PYTHONPATH=f"{oldest_verl}:{ROOT}")
    assert_engine_and_actor_agree(run.steps())
    assert list(run.steps()) == [1, 2]
    assert "reward': 'shortest_one'" in run.log.read_text()
    assert f"with verl {OLDEST_VERL}] filled in:" in run.log.read_text()
    for data in run.steps().values():
        assert any(name.startswith("rollout_corr/") for name in data), sorted(data)
        assert 2 * data["global_seqlen/mean"] < data["perf/total_num_tokens"], "two ranks are given fewer tokens"
    assert 0 <= run.steps()[1]["actor/kl_loss"] < run.steps()[2]["actor/kl_loss"] < 0.01, "from where training began"
    rewards = [[row["score"] for row in rows.values()] for rows in run.rows(1).values() if len(rows) > 1]
    assert all(sum(group) in (0.0, 1.0) and len(group) <= 6 for group in rewards)
    assert all(len(set(group)) > 1 for group in rewards), "the filter has taken out the groups that teach nothing"
    assert 0 < run.steps()[2]["val-aux/toy/sums/response_length/mean@1"] <= 128
    # The two ranks' shards are one model again, as `sgrpo eval --model` takes it.
    merged = resolve_model(str(run.folder / "checkpoints" / "global_step_2"), tmp_path / "merged")
    state = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32).state_dict()
    before = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).state_dict()
    assert state.keys() == before.keys()
    moved = max(float((state[name] - before[name]).abs().max()) for name in state)
    assert 0 < moved < 0.02, "two steps of training move the weights, and not far"


def test_a_reward_a_schedule_and_think_tags_of_your_own(task_overrides, reasoner, tmp_path):
    """``examples/your_own/train.sh``, on Qwen3-8B's recipe, with the toy reasoner, whose ``</think>`` is renamed.

    With verl's asynchronous trainer: its rollout is three batches ahead, and weights change in the middle of thoughts.
    What is trained is a LoRA adapter, in micro-batches without padding.
    """
    model = shutil.copytree(reasoner, tmp_path / "model")
    for name in ("tokenizer.json", "chat_template.jinja"):
        text = (model / name).read_text()
        (model / name).write_text(text.replace("</think>", "</thought>").replace("<think>", "<thought>"))
    overrides = ["trainer.total_training_steps=2", "trainer.save_freq=2", "trainer.test_freq=-1"]
    overrides += [
        f"actor_rollout_ref.model.path={model}",
        f"reward.custom_reward_function.path={EXAMPLES}/your_own/reward.py",
        "algorithm.filter_groups.enable=true",
        "algorithm.filter_groups.metric=reward",
        "trainer.v1.trainer_mode=colocate_async",
        # Far ahead: of 24 prompts begun with the first weights, DAPO's filter leaves some for the second step.
        "trainer.v1.colocate_async.num_warmup_batches=3",
        "actor_rollout_ref.model.use_remove_padding=true",
        "actor_rollout_ref.model.lora_rank=8",
        "actor_rollout_ref.model.lora_alpha=16",
        "actor_rollout_ref.model.target_modules=all-linear",
    ]
    script = [EXAMPLES / "your_own" / "train.sh"]
    run = Run(tmp_path / "run", [*task_overrides, *overrides], script=script).to_the_end()
    steps = run.steps()
    assert list(steps) == [1, 2]
    assert steps[2]["training/off_policy/trajectory_staleness_worst/max"] == 1, "begun a step before it was trained on"
    assert_engine_and_actor_agree({1: steps[1]})
    assert steps[1]["sgrpo/thought_closed"] > 0.5
    assert steps[1]["actor/grad_norm"] > 0
    assert steps[1]["sgrpo/zero_advantage"] == 0, "DAPO's filter has taken out the groups that teach nothing"
    groups = [[row for _, row in sorted(rows.items())] for rows in run.rows(1).values()]
    for group in groups:
        rights = [sum(row["correct"] for row in group[: number + 1]) for number in range(len(group))]
        rewards = [1 / right if row["correct"] else 0 for row, right in zip(group, rights, strict=True)]
        assert [row["score"] for row in group] == pytest.approx(rewards)
        assert all("No more time, I answer now.\n</thought>\n\n" in row["output"] for row in group[:-1])
    assert "reward': 'harmonic'" in run.log.read_text()
    assert_merged_with_its_adapter(run.folder / "checkpoints" / "global_step_2", tmp_path / "merged")


def assert_merged_with_its_adapter(checkpoint, folder):
    """What `sgrpo eval --model` loads is the base and what its LoRA adapter adds to it, by verl's own shard."""
    model = AutoModelForCausalLM.from_pretrained(resolve_model(str(checkpoint), folder), dtype=torch.float32)
    merged = model.state_dict()
    shard = torch.load(checkpoint / "actor" / "model_world_size_1_rank_0.pt", weights_only=False)
    # bfloat16, as verl's merger has it.
    shard = {name: getattr(one, "_local_tensor", one).bfloat16().float() for name, one in shard.items()}
    dot = norm = 0.0
    for name, base in shard.items():
        if name.endswith(".base_layer.weight"):
            a, b = (shard[name.replace("base_layer", f"lora_{one}.default")] for one in "AB")
            ours = merged[name.removeprefix("base_model.model.").replace(".base_layer", "")]
            change = 16 / 8 * b @ a  # lora_alpha / lora_rank
            torch.testing.assert_close(ours, base + change, atol=1e-6, rtol=2**-7)
            dot, norm = dot + float(((ours - base) * change).sum()), norm + float((change * change).sum())
    assert norm > 0
    assert 0.9 < dot / norm < 1.1


def test_grpo_is_verls_own(task_overrides, grpo, tmp_path):
    """GRPO runs on the CPU, and with the plugin it is the run that it is without."""
    overrides = ["algorithm.adv_estimator=grpo", "actor_rollout_ref.rollout.n=9", "actor_rollout_ref.rollout.name=vllm"]
    overrides += ["actor_rollout_ref.actor.use_dynamic_bsz=true", "trainer.total_training_steps=1"]
    overrides += ["trainer.save_freq=1", "trainer.test_freq=-1"]
    without = Run(tmp_path / "without", [*task_overrides, *overrides]).to_the_end(
        VERL_USE_EXTERNAL_PLUGINS="none", VERL_USE_EXTERNAL_MODULES="tests.e2e.cpu_only"
    )
    for run in (grpo, without):
        assert_engine_and_actor_agree(run.steps())
        assert "AgentLoopWorkerTQ" in run.log.read_text()
        assert "SerialGroupWorker" not in run.log.read_text()
    metrics = [set(run.steps()[1]) for run in (grpo, without)]
    assert metrics[0] == metrics[1]
    assert not any(name.startswith("sgrpo/") for name in metrics[0])
    keys = [sorted(tuple(sorted(rows)) for rows in run.rows(1).values()) for run in (grpo, without)]
    assert keys[0] == keys[1] == [tuple((session, 0) for session in range(9))] * 8
    fields = [{tuple(row) for rows in run.rows(1).values() for row in rows.values()} for run in (grpo, without)]
    assert fields[0] == fields[1]
