"""verl's ``separate_async`` trainer on the CPU, end to end: actor and engine apart, weights between them over gloo.

Every token is checked against the policies that verl saved after each step: the engine had the weights of the version
that a row names, and the old log-probs are those of the policy that the step began with.
"""

import time

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM

from recipes.bench.model import S_GRPO, write_model
from sgrpo_verl.selftest.training import compare_weights
from sgrpo_verl.workbench import processes
from sgrpo_verl.workbench.data import write_data
from sgrpo_verl.workbench.tasks import TASKS
from tests.conftest import ROOT
from tests.e2e.test_main_ppo import SECONDS, Run

STEPS, LONGEST = 3, 1000  # tokens of a response
TOLERANCE = 2e-3  # of a log-prob, between vLLM's arithmetic and transformers'; a step changes them by far more
EXITS = (*S_GRPO, "algorithm.sgrpo.num_exits=4", "algorithm.sgrpo.answer_length=24")
# Each mini-batch is an update; with two of them a step, the second one's old log-probs need the saved old policy.
TWO_UPDATES = ("actor_rollout_ref.actor.ppo_mini_batch_size=4", "trainer.v1.separate_async.parameter_sync_step=2")
ONE_UPDATE = ("actor_rollout_ref.actor.ppo_mini_batch_size=8", "trainer.v1.separate_async.parameter_sync_step=1")
WITHOUT_HYBRID = "actor_rollout_ref.hybrid_engine=false"
RUNS = {
    "S-GRPO, packed": (*EXITS, "algorithm.sgrpo.layout=packed", *TWO_UPDATES, WITHOUT_HYBRID),
    "S-GRPO, rows": (*EXITS, "algorithm.sgrpo.layout=rows", *ONE_UPDATE),
    # Two responses a prompt: of five, one would go on to the limit, so that all prompts would end at once.
    "GRPO": ("algorithm.adv_estimator=grpo", "actor_rollout_ref.rollout.n=2", *TWO_UPDATES),
}
# Whom a run loses after its third step. verl's own runs would wait for the rows of a dead worker for ever.
LOST = {"S-GRPO, packed": "vLLMHttpServer", "S-GRPO, rows": "SerialGroupWorker"}


@pytest.fixture(scope="module")
def common(tmp_path_factory):
    """A tiny model whose thoughts have a long tail, and what all runs share."""
    folder = tmp_path_factory.mktemp("common")
    model = write_model(folder / "model", num_hidden_layers=2)
    data = write_data(folder, TASKS["sums"], train=256, validation=8, test=8)
    return [
        "trainer.v1.trainer_mode=separate_async",
        "actor_rollout_ref.rollout.nnodes=1",
        "actor_rollout_ref.rollout.name=vllm",
        f"data.train_files={data['train']}",
        f"data.val_files={data['validation']}",
        # Many thoughts, of which the short ones are trained while the long ones go on: syncs come in the middle.
        "trainer.v1.separate_async.num_warmup_batches=3",
        f"data.max_response_length={LONGEST}",
        f"actor_rollout_ref.model.path={model}",
        "actor_rollout_ref.actor.optim.lr=1e-3",
        "actor_rollout_ref.actor.checkpoint.save_contents=[model,hf_model]",
        "reward.custom_reward_function.path=pkg://recipes.bench.model",
        "trainer.total_training_steps=1000",
        "trainer.save_freq=1",
        "trainer.test_freq=-1",
    ]


@pytest.fixture(scope="module")
def ended(common, tmp_path_factory):
    """``ended(name)``: a run after three steps and after it lost an actor: run, spied, its process id, seconds."""
    done = {}

    def of(name):
        if name not in done:
            done[name] = _start_and_lose(name, common, tmp_path_factory.mktemp("run"))
        return done[name]

    return of


def _start_and_lose(name, common, folder):
    spied = folder / "spied"
    spied.mkdir()
    run = Run(folder, [*common, *RUNS[name]])
    environment = {
        "SGRPO_SPY": str(spied),
        "VERL_USE_EXTERNAL_MODULES": "tests.modes.spy",
        "VLLM_ALLOW_INSECURE_SERIALIZATION": "1",  # the spy sends vLLM a function
        "PYTHONPATH": str(ROOT),
    }
    with run.start(**environment) as process:
        deadline = time.monotonic() + SECONDS
        while not {*range(1, STEPS + 1)} <= run.steps().keys():
            assert process.poll() is None, run.log.read_text(errors="replace")[-5000:]
            assert time.monotonic() < deadline
            time.sleep(0.2)
        if name not in LOST:
            return run, spied, None, None
        [victim, *_] = [
            one
            for one in psutil.process_iter()
            if (processes.inherits(one, "SGRPO_SPY", str(spied)) or processes.in_session(one, process.pid))
            and LOST[name] in " ".join(one.cmdline())
        ]
        victim.kill()
        killed = time.monotonic()
        process.wait(timeout=240)
        return run, spied, victim.pid, time.monotonic() - killed


def policy(run, common, version):
    """The weights after ``version`` steps."""
    [start] = [override.split("=")[1] for override in common if override.startswith("actor_rollout_ref.model.path=")]
    folder = run.folder / f"checkpoints/global_step_{version}/actor/huggingface" if version else start
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def log_probs(model, row):
    prompt, response = row["prompts"], row["responses"]
    with torch.no_grad():
        logits = model(torch.cat([prompt, response])[None]).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1).gather(-1, response[:, None])[:, 0]


@pytest.mark.parametrize("name", RUNS)
def test_the_engine_has_the_actors_weights_after_each_sync(ended, name):
    run, spied, *_ = ended(name)
    for step in range(1, STEPS + 1):
        actor = run.folder / f"checkpoints/global_step_{step}/actor/huggingface"
        compared, wrong = compare_weights(spied / f"{step}-engine.pt", actor)
        assert compared > 10
        assert wrong == []


@pytest.mark.parametrize("name", RUNS)
def test_every_token_has_the_log_prob_that_it_was_sampled_with(ended, common, name):
    """That of a version that its row names; versions only ever rise along a row."""
    run, spied, *_ = ended(name)
    policies = [policy(run, common, version) for version in range(STEPS)]
    spans, apart = 0, 0.0
    for step in range(1, STEPS + 1):
        for row in torch.load(spied / f"{step}-rows.pt", weights_only=False):
            first, last = row["tag"]["min_global_steps"], row["tag"]["max_global_steps"]
            assert 0 <= first <= last <= step
            if last >= len(policies):
                continue  # a version that is not loaded
            of_version = [log_probs(policies[version], row) for version in range(first, last + 1)]
            version = 0
            sampled = row["response_mask"].bool()
            for number, told in enumerate(row["rollout_log_probs"].tolist()):
                if not sampled[number]:
                    continue
                while version < last - first and abs(of_version[version][number] - told) > TOLERANCE:
                    version += 1
                assert abs(of_version[version][number] - told) < TOLERANCE, (row["key"], number, first, last)
            spans += last > first
            if len(of_version) > 1:
                apart = max(apart, float((of_version[0] - of_version[-1]).abs().max()))
    assert spans > 0, "no rollout was under way at a sync"
    assert apart > 10 * TOLERANCE, "the versions say the same, so nothing was checked"


@pytest.mark.parametrize("name", RUNS)
def test_old_log_probs_are_those_of_the_policy_that_the_step_began_with(ended, common, name):
    """Of its second update too, for which verl brings the old policy back."""
    run, spied, *_ = ended(name)
    for step in range(1, STEPS + 1):
        model = policy(run, common, step - 1)
        for row in torch.load(spied / f"{step}-rows.pt", weights_only=False):
            sampled = row["response_mask"].bool()
            difference = (log_probs(model, row) - row["old_log_probs"])[sampled].abs()
            assert difference.max() < TOLERANCE, (step, row["key"])


@pytest.mark.parametrize("name", LOST)
def test_exits_name_the_versions_from_their_thoughts_beginning_to_their_answers_end(ended, name):
    _, spied, *_ = ended(name)
    for step in range(1, STEPS + 1):
        rows = torch.load(spied / f"{step}-rows.pt", weights_only=False)
        fulls = {row["key"].rsplit("_", 1)[0]: row for row in rows if row["tag"]["sgrpo"]["exit_position"] is None}
        assert len(fulls) == 8
        assert len(rows) > 3 * 8
        for row in rows:
            full = fulls[row["key"].rsplit("_", 1)[0]]
            assert row["tag"]["min_global_steps"] == full["tag"]["min_global_steps"]
            assert row["tag"]["max_global_steps"] >= full["tag"]["max_global_steps"]
            kept = row["tag"]["sgrpo"]["kept"]
            if kept is not None:
                assert torch.equal(row["rollout_log_probs"][:kept], full["rollout_log_probs"][:kept])


@pytest.mark.parametrize("name", RUNS)
def test_each_step_trains_and_is_measured(ended, name):
    run, spied, *_ = ended(name)
    steps = run.steps()
    for step in range(1, STEPS + 1):
        assert steps[step]["actor/grad_norm"] > 0
        assert any(metric.startswith("training/off_policy/") for metric in steps[step])
        if name == "GRPO":
            assert not any(metric.startswith("sgrpo/") for metric in steps[step])
        else:
            assert steps[step]["sgrpo/groups"] == 8
            rows = torch.load(spied / f"{step}-rows.pt", weights_only=False)
            fulls = [row for row in rows if row["tag"]["sgrpo"]["exit_position"] is None]
            cut = sum(len(row["responses"]) == LONGEST for row in fulls) / len(fulls)
            assert steps[step]["sgrpo/response_cut"] == pytest.approx(cut)
            assert 0 < steps[step]["sgrpo/exit_position/first_right"] <= 1
    assert ("packed" in name) == ("'layout': 'packed'" in run.log.read_text())


@pytest.mark.parametrize("name", LOST)
def test_a_run_that_loses_an_actor_ends_with_the_cause(ended, name):
    run, _, victim, seconds = ended(name)
    log = run.log.read_text()
    assert "ActorDiedError" in log
    assert f"\tpid: {victim}\n" in log
    assert seconds < 120
