"""Serial groups from a real rollout, read back from TransferQueue: what must be true of every group."""

import asyncio
import os
import time
import uuid
from pathlib import Path

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from recipes.bench.model import compute_score as half_are_right
from sgrpo_verl.algorithm.serial_group import exit_seed
from sgrpo_verl.hooks.metrics import TAG, check_metrics, nothing_to_cut, serial_group_metrics
from sgrpo_verl.rollout.agent_loop import _OneRequestId, gather_all
from sgrpo_verl.rollout.watch import Report, RolloutFailed, Watch, raise_with_failures
from sgrpo_verl.settings.config import EXIT_PROMPT
from sgrpo_verl.workbench.sums import sum_of
from sgrpo_verl.workbench.tasks import TASKS
from tests.integration.conftest import ANSWER_LENGTH, NUM_EXITS, RESPONSE_LENGTH
from tests.integration.reward import FAILS, HALF, RETURNS, SLEEPS

PROBLEMS = TASKS["sums"].draw_problems(6, seed=5)


@pytest.fixture(scope="module")
def groups(rollout):
    return rollout.groups(PROBLEMS, step=1)


@pytest.fixture(scope="module")
def tokenizer(reasoner):
    return AutoTokenizer.from_pretrained(reasoner)


def test_a_group_is_its_exits_in_order_and_the_full_response(groups):
    for tags, rows in groups:
        positions = [tag[TAG]["exit_position"] for tag in tags]
        assert positions[-1] is None
        exits = positions[:-1]
        assert len(rows) == min(NUM_EXITS, tags[0][TAG]["thought_length"]) + 1
        assert exits == sorted(set(exits))
        assert all(1 <= position <= tags[0][TAG]["thought_length"] for position in exits)


def test_rows_are_what_was_sampled_and_masks_are_zero_exactly_on_the_exit_prompt(groups, tokenizer):
    exit_prompt = tokenizer.encode(EXIT_PROMPT, add_special_tokens=False)
    for tags, rows in groups:
        full = rows[-1]
        assert full["response_mask"].tolist() == [1] * len(full["responses"])
        for tag, row in zip(tags[:-1], rows[:-1], strict=True):
            position, response = tag[TAG]["exit_position"], row["responses"].tolist()
            end = position + len(exit_prompt)
            assert response[:position] == full["responses"].tolist()[:position]
            assert response[position:end] == exit_prompt
            assert 1 <= len(response) - end <= ANSWER_LENGTH
            assert len(response) <= RESPONSE_LENGTH
            mask = [1] * position + [0] * len(exit_prompt) + [1] * (len(response) - end)
            assert row["response_mask"].tolist() == row["loss_mask"].tolist() == mask
            assert row["input_ids"].tolist() == row["prompts"].tolist() + response
            assert row["position_ids"].tolist() == list(range(len(row["input_ids"])))
            assert row["rollout_log_probs"][:position].tolist() == full["rollout_log_probs"][:position].tolist()


def test_log_probs_are_those_of_the_tokens_under_the_policy(groups, reasoner, tokenizer):
    """The rollout's log-probs against a plain forward pass of the same weights, at every sampled token.

    vLLM never samples the entries that pad the vocabulary, to which a reasoner of a minute gives up to 6 % at times.
    """
    model = AutoModelForCausalLM.from_pretrained(reasoner, dtype=torch.float32).eval()
    for _, rows in groups[:3]:
        for row in rows:
            with torch.no_grad():
                logits = model(row["input_ids"].unsqueeze(0)).logits[0, :, : len(tokenizer)].log_softmax(-1)
            start = len(row["prompts"])
            expected = logits[start - 1 : -1].gather(-1, row["responses"].unsqueeze(-1)).squeeze(-1)
            sampled = row["response_mask"].bool()
            torch.testing.assert_close(row["rollout_log_probs"][sampled], expected[sampled], atol=1e-2, rtol=0)
            assert not row["rollout_log_probs"][~sampled].any()


def test_every_row_is_scored_by_its_own_answer_and_rewarded_by_the_schedule(rollout, tokenizer):
    """Half of all answers are called right: a reasoner of a minute is right too seldom to be sure of one."""
    seen = []
    for tags, rows in rollout.groups(PROBLEMS * 2, ground_truths=[HALF] * 12):
        expected, n_right = [], 0
        for tag, row in zip(tags, rows, strict=True):
            info = row["extra_fields"]["reward_extra_info"]
            answer = row["responses"].tolist()[len(row["responses"]) - tag[TAG]["answer_length"] :]
            if seen_by_it := tokenizer.decode(answer, skip_special_tokens=True):
                assert info["seen"] == seen_by_it
                assert info["alone"], "a closing tag in it ends nothing"
            else:
                assert info.items() >= {"acc": 0.0, "score": 0.0}.items()
                assert "seen" not in info, "verl never gives a reward function an empty text"
            assert tag[TAG]["correct"] == info["acc"]
            n_right += info["acc"]
            expected.append(2.0 ** (1 - n_right) if info["acc"] else 0.0)
        assert [tag[TAG]["reward"] for tag in tags] == expected
        assert [row["rm_scores"].sum().item() for row in rows] == expected
        assert [row["extra_fields"]["reward_extra_info"]["reward"] for row in rows] == expected  # for filter_groups
        assert all(row["rm_scores"][-1] == reward for row, reward in zip(rows, expected, strict=True))
        seen.append((n_right, len(rows)))
    assert any(0 < n_right < rows for n_right, rows in seen)  # else this test has shown nothing


def test_a_row_whose_answer_a_phrase_opens_is_scored_from_the_phrase_on(rollout, tokenizer):
    """The thought is all that stands before the box, think tags included; an exit's box is in the exit prompt."""
    import ray

    box, exit_prompt = "\\boxed{", "\nAnswer: \\boxed{"
    [worker] = rollout.manager.agent_loop_workers
    phrase = {"think_start": "", "think_end": box, "exit_prompt": exit_prompt}
    before = ray.get(worker.__ray_call__.remote(_override, phrase))
    try:
        groups = rollout.groups(PROBLEMS, ground_truths=[HALF] * 6)
    finally:
        ray.get(worker.__ray_call__.remote(_override, before))
    judged = 0
    for tags, rows in groups:
        for tag, row in zip(tags, rows, strict=True):
            notes, info = tag[TAG], row["extra_fields"]["reward_extra_info"]
            text = tokenizer.decode(row["responses"], skip_special_tokens=True)
            thought, opened, answer = text.partition(box)
            assert bool(opened) == (notes["closed"] or notes["exit_position"] is not None)
            is_full = notes["exit_position"] is None
            if is_full and not opened:
                assert (notes["correct"], "seen" in info) == (False, False), "without an answer it is wrong, unasked"
                continue
            assert info["seen"] == f"{opened}{answer}"
            assert notes["correct"] == info["acc"]
            kept = tokenizer.decode(row["responses"]).partition(box)[0] if is_full else ""
            assert kept.endswith(info["before"])
            assert bool(info["before"]) == bool(kept)
            if notes["exit_position"] is not None:
                assert f"{thought}{box}".endswith(exit_prompt)
                inserted = tokenizer.encode(exit_prompt, add_special_tokens=False)
                assert row["response_mask"].tolist().count(0) == len(inserted)
                assert row["response_mask"].tolist()[-notes["answer_length"] - 1 :] == [
                    0,
                    *[1] * notes["answer_length"],
                ]
            judged += bool(opened)
    assert judged > len(groups)  # exits at least; else this test has shown nothing


def test_cut_answers_are_scored_but_wrong_where_the_settings_say_so(rollout, tokenizer):
    """Answers of two tokens, too few for one that ends; half of all answers are called right."""
    import ray

    [worker] = rollout.manager.agent_loop_workers
    before = ray.get(worker.__ray_call__.remote(_override, {"answer_length": 2, "cut_answers": "wrong"}))
    try:
        groups = rollout.groups(PROBLEMS, ground_truths=[HALF] * 6)
    finally:
        ray.get(worker.__ray_call__.remote(_override, before))
    overruled = 0
    for tags, rows in groups:
        right = 0
        for tag, row in zip(tags, rows, strict=True):
            notes, judged = tag[TAG], row["extra_fields"]["reward_extra_info"]["acc"]
            is_exit = notes["exit_position"] is not None
            at_limit = notes["answer_length"] == 2 if is_exit else notes["response_length"] == RESPONSE_LENGTH
            ended = row["responses"][-1].item() == tokenizer.eos_token_id
            assert notes["answer_cut"] == (at_limit and not ended)
            assert notes["correct"] == (judged and not notes["answer_cut"])
            right += notes["correct"]
            assert notes["reward"] == (2.0 ** (1 - right) if notes["correct"] else 0.0)
            overruled += judged and notes["answer_cut"]
    assert overruled  # else this test has shown nothing


def test_an_exits_closing_tag_is_measured_and_trained_where_the_settings_say_so(rollout, reasoner, tokenizer):
    """Exits at the ends of lines; after the actor's log-probs and verl's advantages, the tag alone is unmasked."""
    import ray
    import transfer_queue as tq
    from omegaconf import open_dict
    from transfer_queue import KVBatchMeta

    [worker] = rollout.manager.agent_loop_workers
    taught = {
        "exit_sampling": "lines",
        "exit_prompt": "</think>\n\n",
        "train_closing_tag": True,
        "closing_tag_weight": 0.5,
    }
    before = ray.get(worker.__ray_call__.remote(_override, taught))
    settings = rollout.trainer.config.algorithm.sgrpo
    weights = {name: settings[name] for name in taught}
    try:
        with open_dict(settings):
            settings.update(taught)
        groups = rollout.groups(PROBLEMS, ground_truths=[HALF] * 6)
        keys = [f"{rows[0]['uid']}_0_{position}" for _, rows in groups for position in range(len(rows))]
        tags = [tag for tags, _ in groups for tag in tags]
        metrics = {}
        batch = KVBatchMeta(keys=keys, tags=tags, partition_id="train")
        batch = rollout.trainer._compute_old_log_prob(batch, metrics)
        rollout.trainer._compute_advantage(batch, metrics)
    finally:
        settings.update(weights)
        ray.get(worker.__ray_call__.remote(_override, before))
    model = AutoModelForCausalLM.from_pretrained(reasoner, dtype=torch.float32).eval()
    think_end = tokenizer.convert_tokens_to_ids("</think>")
    found, exits = {True: [], False: []}, 0
    for tag, untrained, row in zip(
        tags, [row for _, rows in groups for row in rows], rollout.fields(keys), strict=True
    ):
        position = tag[TAG]["exit_position"]
        mask = untrained["response_mask"].tolist()
        assert row["response_mask"].tolist() == row["loss_mask"].tolist()
        sampled = row["advantages"][torch.tensor(mask).bool()]
        assert len(sampled.unique()) == 1
        if position is None:
            assert row["response_mask"].tolist() == mask
            continue
        exits += 1
        response = row["responses"].tolist()
        assert tokenizer.decode(response[:position]).endswith("\n")
        assert response[position] == think_end
        assert mask[position : position + 3] == [0, 0, 0]
        assert row["response_mask"].tolist() == [*mask[:position], 1, *mask[position + 1 :]]
        assert row["advantages"][position] == row["returns"][position] == 0.5 * sampled[0]
        assert not row["advantages"][position + 1 : position + 3].any()
        with torch.no_grad():
            logits = model(row["input_ids"].unsqueeze(0)).logits[0].log_softmax(-1)
        exact = logits[len(row["prompts"]) + position - 1, think_end]
        torch.testing.assert_close(row["old_log_probs"][position], exact, atol=1e-3, rtol=1e-3)
        found[tag[TAG]["correct"]].append(exact.exp().item())
    assert exits  # else this test has shown nothing
    for side, name in ((True, "right"), (False, "wrong")):
        if found[side]:
            measured = metrics[f"sgrpo/stop_probability/{name}"]
            assert measured == pytest.approx(sum(found[side]) / len(found[side]), rel=1e-3)
    assert metrics["training/rollout_actor_probs_pearson_corr"] > 0.999, "the tag was not sampled, and is not compared"
    tq.kv_clear(keys=keys, partition_id="train")


def _override(worker, settings):
    """Change settings of a worker and of the loops it makes; returns what they were."""
    before = {name: worker.config.algorithm.sgrpo[name] for name in settings}
    worker.config.algorithm.sgrpo.update(settings)
    worker.settings = type(worker.settings).of(worker.config)
    return before


OVERLONG = {"enable": True, "len": RESPONSE_LENGTH, "penalty_factor": 0.9, "log": False}
REWARDS = {
    "an async function": {"custom_reward_function": {"name": "compute_score_later"}},
    "DAPO's manager, negative scores": {
        "reward_manager": {"name": "dapo"},
        "custom_reward_function": {"name": "plus_or_minus_one"},
        "reward_kwargs": {"max_resp_len": RESPONSE_LENGTH, "overlong_buffer_cfg": OVERLONG},
    },
    "a process pool": {"reward_manager": {"name": "remote"}},
    "a limit on the rate": {"reward_manager": {"name": "rate_limited"}, "timeout": 60},
}


@pytest.mark.parametrize("reward", REWARDS)
def test_every_kind_of_reward_says_which_rows_are_correct(rollout, tokenizer, reward):
    """verl's own managers (``prime`` is one of its old trainer's; its process pool is now called ``remote``)."""
    seen = []
    with rollout.reward_worker(REWARDS[reward]):
        for tags, rows in rollout.groups(PROBLEMS, ground_truths=[HALF] * 6):
            for tag, row in zip(tags, rows, strict=True):
                answer = row["responses"].tolist()[len(row["responses"]) - tag[TAG]["answer_length"] :]
                assert tag[TAG]["correct"] == half_are_right("", tokenizer.decode(answer, skip_special_tokens=True), "")
                seen.append(tag[TAG]["correct"])
            rights = [sum(tag[TAG]["correct"] for tag in tags[: number + 1]) for number in range(len(tags))]
            rewards = [2.0 ** (1 - right) * tag[TAG]["correct"] for right, tag in zip(rights, tags, strict=True)]
            assert [row["rm_scores"].sum().item() for row in rows] == rewards
    assert any(seen)
    assert not all(seen)


@pytest.mark.parametrize(
    ("truth", "timeout", "why"),
    [
        ("a dict without a score", 60, "the reward function failed: 'score'"),
        (SLEEPS, 0.2, "took longer than reward.timeout allows"),
    ],
)
def test_what_a_rate_limited_judge_could_not_judge_is_not_wrong(rollout, truth, timeout, why):
    """verl's manager catches every exception, and gives the row 0."""
    rollout.new_manager()
    with rollout.reward_worker({"reward_manager": {"name": "rate_limited"}, "timeout": timeout}):
        uids = begin_step(rollout, PROBLEMS[:2], ground_truths=[truth] * 2)
        with pytest.raises(RolloutFailed, match=f"all 2 prompts have failed, the last with RuntimeError.*{why}"):
            sample(rollout, uids)


def test_rows_that_ask_for_several_turns_are_verls_own(rollout):
    """As their dataset says it, row by row; the others of the same batch become serial groups."""
    agents = ["tool_agent", "single_turn_agent", "tool_agent", "single_turn_agent"]
    uids = rollout.submit(PROBLEMS[:4], agent_name=agents)
    sessions = rollout.trainer.config.actor_rollout_ref.rollout.n
    status, rows = rollout.wait(uids)
    assert set(status.values()) == {"finished"}
    for uid, agent in zip(uids, agents, strict=True):
        if agent == "tool_agent":
            assert sorted(rows[uid]) == [f"{uid}_{session}_0" for session in range(sessions)]
            assert not any(TAG in tag for tag in rows[uid].values())
        else:
            assert all(TAG in tag for tag in rows[uid].values())
            assert len(rows[uid]) > 1


def test_tags_are_what_the_trainer_needs(groups):
    for tags, rows in groups:
        for tag, row in zip(tags, rows, strict=True):
            assert tag["seq_len"] == len(row["input_ids"]) == tag["prompt_len"] + tag["response_len"]
            assert (tag["status"], tag["global_steps"]) == ("success", 1)
            assert isinstance(tag["min_global_steps"], int)


def test_the_same_seed_and_thought_give_the_same_exits_in_another_order(rollout, groups):
    """Sampled thoughts differ from run to run, so each group is compared with the draw itself, in either order."""
    from sgrpo_verl.algorithm.serial_group import draw_exit_positions

    again = rollout.groups(PROBLEMS[::-1], step=1)
    seed = rollout.trainer.config.actor_rollout_ref.rollout.seed
    for order in (groups, again):
        for tags, rows in order:
            thought, index = tags[0][TAG]["thought_length"], rows[0]["index"]
            room = min(thought, RESPONSE_LENGTH - ANSWER_LENGTH - _exit_prompt_length(rows))
            drawn = draw_exit_positions(
                room, NUM_EXITS, "uniform", exit_seed(seed, 1, index, rows[0]["prompts"].tolist())
            )
            assert [tag[TAG]["exit_position"] for tag in tags[:-1]] == drawn


def _exit_prompt_length(rows):
    return rows[0]["response_mask"].tolist().count(0)


def test_exits_are_answered_while_another_thought_goes_on(rollout):
    """No barrier between the phases: a short prompt's exits do not wait for a long prompt's thought."""
    groups = rollout.groups([sum_of(1, 2, 3), *[sum_of(9, 8, 7, 6, 5)] * 3, *PROBLEMS], step=2)
    thoughts = [tags[-1][TAG] for tags, _ in groups]
    exits = [tag[TAG] for tags, _ in groups for tag in tags[:-1]]
    last_thought = max(thought["finished"] for thought in thoughts)
    early = [one for one in exits if one["finished"] < last_thought]
    print(f"\n{len(early)} of {len(exits)} exits answered while the last thought was still going on")
    assert early
    for tags, _ in groups:
        thought_done = tags[-1][TAG]["finished"]
        started = [tag[TAG]["started"] for tag in tags[:-1]]
        assert all(0 <= start - thought_done < 1.0 for start in started)  # at once, all of them


def test_validation_is_verls_own(rollout):
    uids = rollout.submit(PROBLEMS, validate=True)
    status, rows = rollout.wait(uids, partition="val")
    assert set(status.values()) == {"finished"}
    for uid in uids:
        assert list(rows[uid]) == [f"{uid}_0_0"]
        assert TAG not in rows[uid][f"{uid}_0_0"]
        [row] = rollout.fields([f"{uid}_0_0"], partition="val")
        assert not row["extra_fields"]["reward_extra_info"]["alone"], "the whole response, as verl scores it"


def test_weight_updates_in_the_middle_of_groups(rollout):
    """As verl's async trainers do it: abort, sync, go on. Sampled tokens keep the log-probs that they had."""
    checkpoints = rollout.trainer.checkpoint_manager
    uids = rollout.submit(PROBLEMS * 4, step=6)
    for version in (6, 7, 8, 9):
        time.sleep(0.5)
        checkpoints.abort_replicas()
        checkpoints.update_weights(version)
        checkpoints.resume_generation_replicas()
    status, rows = rollout.wait(uids)
    assert set(status.values()) == {"finished"}
    spans = []
    for uid in uids:
        keys = sorted(rows[uid], key=lambda key: int(key.rsplit("_", 1)[1]))
        tags, fields = [rows[uid][key] for key in keys], rollout.fields(keys)
        full_tag, full = tags[-1], fields[-1]
        for tag, row in zip(tags[:-1], fields[:-1], strict=True):
            position = tag[TAG]["exit_position"]
            assert row["rollout_log_probs"][:position].tolist() == full["rollout_log_probs"][:position].tolist()
            assert len(row["rollout_log_probs"]) == len(row["responses"]) <= RESPONSE_LENGTH
            assert full_tag["min_global_steps"] == tag["min_global_steps"] <= tag["max_global_steps"]
            assert full_tag["max_global_steps"] <= tag["max_global_steps"], "an exit is never older than its thought"
        spans += [tag["max_global_steps"] - tag["min_global_steps"] for tag in tags]
    print(f"\n{sum(span > 0 for span in spans)} of {len(spans)} rows span more than one version of the weights")
    assert any(spans)


def test_a_failed_score_of_one_row_fails_its_group_and_no_other(rollout):
    truths = [FAILS, *[problem.answer for problem in PROBLEMS[1:3]]]
    uids = rollout.submit(PROBLEMS[:3], ground_truths=truths, step=3)
    status, rows = rollout.wait(uids)
    assert status == {uids[0]: "failure", uids[1]: "finished", uids[2]: "finished"}
    assert rows[uids[0]] == {}
    assert all(len(rows[uid]) > 1 for uid in uids[1:])


def test_a_reward_function_that_returns_no_number_fails_its_groups_and_a_slow_one_is_waited_for(rollout):
    problems = TASKS["sums"].draw_problems(len(RETURNS) + 1, seed=6)
    uids = rollout.submit(problems, ground_truths=[*RETURNS, SLEEPS], step=5)
    status, rows = rollout.wait(uids)
    assert dict(zip([*RETURNS, SLEEPS], status.values(), strict=True)) == {
        **dict.fromkeys(RETURNS, "failure"),
        SLEEPS: "finished",
    }
    assert not any(rows[uid] for uid in uids[:-1]), "nothing of a failed group is there to be trained on"
    assert all(tag[TAG]["correct"] for tag in rows[uids[-1]].values())


def test_a_failed_generation_fails_its_group_and_no_other(rollout):
    """A prompt without messages cannot be generated from."""
    prompts = [None, [{"role": "user", "content": PROBLEMS[1].question}]]
    uids = rollout.submit(PROBLEMS[:2], prompts=prompts, step=4)
    status, rows = rollout.wait(uids)
    assert status == {uids[0]: "failure", uids[1]: "finished"}
    assert rows[uids[0]] == {}


def test_an_answer_is_cut_where_the_server_goes_on(tokenizer):
    """verl's TensorRT-LLM server sets its own limit, whatever it is asked for."""
    from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics, AgentLoopOutput
    from verl.workers.rollout.replica import TokenOutput

    from sgrpo_verl.algorithm.serial_group import Row, ThoughtFormat, ThoughtSpan
    from sgrpo_verl.rollout.agent_loop import SerialGroupAgentLoop
    from sgrpo_verl.settings.config import SGRPOConfig

    class Talkative:
        async def generate(self, **_):
            return TokenOutput(token_ids=[5, 6, 7, 8], log_probs=[-0.5, -0.6, -0.7, -0.8])

    loop = object.__new__(SerialGroupAgentLoop)
    loop.settings, loop.tokenizer, loop.server_manager = SGRPOConfig(answer_length=3), tokenizer, Talkative()
    loop.exit_prompt_ids, loop.opening_ids, loop.closing_length = [8, 9], [9], None
    thought = Row([1, 2], [1, 1], [-0.1, -0.2], [], None)
    full = AgentLoopOutput(
        prompt_ids=[4], response_ids=[1, 2], response_mask=[1, 1], num_turns=2, metrics=AgentLoopMetrics()
    )
    loop.form = ThoughtFormat.of(tokenizer, "<think>", "</think>", frozenset([tokenizer.eos_token_id]))
    row = asyncio.run(loop._early_exit(full, thought, ThoughtSpan(0, 2, 2, closed=False), 1, {}, {}))
    assert (row.output.response_ids, row.answer_ids, row.answer_cut) == ([1, 8, 9, 5, 6, 7], [5, 6, 7], True)
    assert row.output.response_logprobs == [-0.1, 0.0, 0.0, -0.5, -0.6, -0.7]
    assert row.own_answer_ids == [9, 5, 6, 7]


@pytest.mark.parametrize(("max_model_len", "positions", "room"), [(None, 512, 72), (200, 512, 40), (None, None, 72)])
def test_exits_leave_room_in_the_models_context_too(max_model_len, positions, room):
    """A prompt of 100 tokens, an exit prompt of 20, answers of 40; a response may have 132 tokens."""
    from types import SimpleNamespace

    from sgrpo_verl.algorithm.serial_group import ThoughtSpan
    from sgrpo_verl.rollout.agent_loop import SerialGroupAgentLoop
    from sgrpo_verl.rollout.worker import context_length
    from sgrpo_verl.settings.config import SGRPOConfig

    loop = object.__new__(SerialGroupAgentLoop)
    loop.settings, loop.exit_prompt_ids = SGRPOConfig(answer_length=40, num_exits=500), [9] * 20
    loop.response_length, loop.rollout_config = 132, SimpleNamespace(seed=0)
    model = SimpleNamespace(max_position_embeddings=positions)
    loop.context_length = context_length(max_model_len, model, "vllm")
    assert context_length(max_model_len, model, "sglang") == (loop.context_length and loop.context_length - 1)
    span, step = ThoughtSpan(0, 130, 132, closed=True), {"global_steps": 1, "index": 0}
    assert loop._exit_positions(span, [4] * 100, [5] * 132, step) == list(range(1, room + 1))
    loop.settings = SGRPOConfig(answer_length=40, num_exits=500, exit_sampling="lines")
    loop.form = SimpleNamespace(decode=lambda ids: "".join("ab\n"[one % 3] for one in ids))
    assert loop._exit_positions(span, [4] * 100, list(range(132)), step) == list(range(3, room + 1, 3))


def test_the_context_is_the_one_that_verls_server_takes():
    """A config whose parts differ: verl asks the whole before the part that is text."""
    from types import SimpleNamespace

    from sgrpo_verl.rollout.worker import context_length

    text = SimpleNamespace(max_position_embeddings=32768)
    whole = SimpleNamespace(max_position_embeddings=4096, text_config=text, get_text_config=lambda: text)
    assert context_length(None, whole, "vllm") == 4096
    assert context_length(None, SimpleNamespace(text_config=text), "vllm") == 32768


def test_a_schedule_must_give_finite_rewards():
    from sgrpo_verl.rollout.worker import finite

    assert finite([1.0, 0], "mine") == [1.0, 0]
    with pytest.raises(ValueError, match=r"reward=mine: the schedule gave \[nan, 1\.0\]; rewards must be finite"):
        finite([float("nan"), 1.0], "mine")


def test_exits_stay_on_the_server_that_has_their_thought():
    """verl's own balancer over three servers: it would send each request of another id to the least busy one."""
    from verl.workers.rollout.router import GlobalRequestLoadBalancer

    balancer = GlobalRequestLoadBalancer(servers=dict.fromkeys("abc"))

    class Client:
        async def generate(self, request_id, **_):
            return balancer.acquire_server(request_id)[0]  # and stays busy with it

    async def servers_of(client):
        return [await client.generate(request_id=uuid.uuid4().hex) for _ in range(9)]

    groups = [asyncio.run(servers_of(_OneRequestId(Client(), full_determinism=False))) for _ in range(3)]
    assert all(len(set(group)) == 1 for group in groups), "the thought's server, whatever else it does"
    assert {group[0] for group in groups} == set("abc")
    assert len(set(asyncio.run(servers_of(Client())))) == 3, "without one request id, exits would be anywhere"


def test_no_exit_is_left_running_behind_a_failed_one():
    ended = []

    async def exit_(seconds):
        await asyncio.sleep(seconds)
        ended.append(seconds)
        if seconds == 0:
            raise RuntimeError("aborted")

    with pytest.raises(RuntimeError, match="aborted"):
        asyncio.run(gather_all([exit_(0.2), exit_(0), exit_(0.1)]))
    assert sorted(ended) == [0, 0.1, 0.2]


def test_the_engines_weights_are_the_actors_bit_for_bit(rollout, tmp_path):
    """After a weight sync; vLLM keeps q, k, v in one matrix, and gate and up in another."""
    trainer = rollout.trainer
    trainer.checkpoint_manager.update_weights()
    trainer.actor_rollout_wg.save_checkpoint(str(tmp_path / "actor"), None, 1, 1)
    actor = AutoModelForCausalLM.from_pretrained(tmp_path / "actor" / "huggingface", dtype=torch.float32).state_dict()

    def dump(worker, path):
        import torch

        torch.save({name: value.clone() for name, value in worker.model_runner.model.named_parameters()}, path)

    import ray

    server = trainer.llm_server_manager.server_handles[0]
    ray.get(server.collective_rpc.remote(dump, kwargs={"path": str(tmp_path / "engine.pt")}))
    engine = torch.load(tmp_path / "engine.pt")
    merged = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
    compared = 0
    for name, value in engine.items():
        if name == "lm_head.weight":
            continue  # tied to the embedding
        part = next((part for part in merged if part in name), None)
        names = [name.replace(part, one) for one in merged[part]] if part else [name]
        expected = torch.cat([actor[one] for one in names])
        assert torch.equal(value[: len(expected)], expected), name  # vLLM pads the vocabulary
        compared += 1
    assert compared >= 4 * 7 + 2


def test_thinking_switched_off_by_the_template_leaves_no_thought_to_cut(rollout, tokenizer):
    """As Qwen3's does with enable_thinking=False: the prompt ends on a closed thought, the response is an answer."""
    import ray

    worker = rollout.manager.agent_loop_workers[0]
    off = tokenizer.chat_template.replace("<think>\n", "<think>\n\n</think>\n\n")
    before = ray.get(worker.__ray_call__.remote(_use_template, off))
    try:
        groups = rollout.groups(PROBLEMS)
    finally:
        ray.get(worker.__ray_call__.remote(_use_template, before))
    for tags, rows in groups:
        [tag], [row] = tags, rows
        assert tokenizer.decode(row["prompts"]).endswith("</think>\n\n")
        assert (tag[TAG]["thought_length"], tag[TAG]["exit_position"]) == (0, None)
        assert tag[TAG]["answer_length"] == len(row["responses"])
    metrics = serial_group_metrics([tag for tags, _ in groups for tag in tags])
    assert metrics["sgrpo/no_thought"] == 1.0
    warning = nothing_to_cut(metrics, rollout.trainer.config)
    assert warning.startswith("100% of the first step's responses have no thought")
    assert "data.apply_chat_template_kwargs" in warning
    assert nothing_to_cut({**metrics, "sgrpo/no_thought": 0.4}, rollout.trainer.config) is None


def _use_template(worker, template):
    before, worker.tokenizer.chat_template = worker.tokenizer.chat_template, template
    return before


def test_checks_of_answers_are_counted_in_the_reward_workers(rollout):
    metrics = check_metrics(rollout.trainer.get_reward_handles())
    assert set(metrics) == {"sgrpo/checks_overran", "sgrpo/checks_lost"}
    assert metrics["sgrpo/checks_lost"] == 0.0


def test_what_fails_is_counted_over_all_workers(rollout, monkeypatch, caplog, tmp_path):
    """Since any worker had a success, and beyond as many as were running; verl starts eight workers."""
    import ray
    from ray.exceptions import ActorUnavailableError

    @ray.remote(num_cpus=0)
    class Worker:
        def __init__(self, *reports):
            self.reports = list(reports)

        def report(self):
            if self.reports[0] == "away":
                raise ActorUnavailableError(self.reports.pop(0), None)
            while isinstance(self.reports[0], Path):
                time.sleep(0.05)
                if self.reports[0].exists():
                    self.reports.pop(0)
            return self.reports.pop(0)

    def failed(some, running=0):
        return Report(some, 0, f"no {some}", failed_in_training=some // 2, running=running)

    right = Report(succeeded=1)
    watch = Watch(
        [Worker.remote(failed(10), right, failed(10), failed(6)), Worker.remote(*map(failed, [10, 10, 10, 6]))]
    )
    watch.look()
    assert (watch.failed_since_success, watch.taken()) == (20, Report(20, 0, "no 10"))
    watch.look()
    assert (watch.failed_since_success, watch.taken()) == (0, Report(10, 1, "no 10"))
    watch.look()
    with pytest.raises(RolloutFailed, match="continue: 32 prompts in a row have failed, the last with no 6"):
        watch.look()
    assert watch.failed_in_training == 10 + 5 + 10 + 6, "kept beside what is taken, for the next training batch"

    watch = Watch([Worker.remote(failed(32, running=96), failed(95, running=1), failed(1))])
    watch.look()  # quick failures, beside thoughts that take their time
    watch.look()
    with pytest.raises(RolloutFailed, match="128 prompts in a row"):
        watch.look()

    monkeypatch.setattr("sgrpo_verl.rollout.watch.SECONDS", 4)
    workers = [
        Worker.remote(failed(0), tmp_path / "go on", failed(2), *[right] * 99),
        Worker.remote(failed(0), failed(50), "away", *[right] * 99),
    ]
    ray.get([worker.report.remote() for worker in workers])  # both have started
    watch = Watch(workers)
    with caplog.at_level("WARNING", "sgrpo_verl"):
        watch.look()  # 50 failures, but nobody knows what the late worker has
    assert "1 of 2 agent-loop workers have not answered for 4 s" in caplog.text
    assert watch.taken() == Report(50, 0, "no 50")
    (tmp_path / "go on").touch()
    with caplog.at_level("WARNING", "sgrpo_verl"):
        watch.look()
    assert "an agent-loop worker could not be asked" in caplog.text
    while (seen := watch.taken()).failed == 0:
        watch.look()
    assert (seen.failed, seen.last_failure) == (2, "no 2"), "a report that comes late is not lost"


def begin_step(rollout, problems, **submit):
    """Send a step's prompts, with nothing left of what was generated before; returns their uids."""
    import transfer_queue as tq

    if left := list(tq.kv_list().get("train", {})):
        tq.kv_clear(keys=left, partition_id="train")
    return rollout.submit(problems, step=9, **submit)


def sample(rollout, uids):
    """Wait for these prompts as verl's sync trainer does."""
    return rollout.trainer.replay_buffer.sample(global_steps=9, partition_id="train", batch_size=len(uids))


def test_a_context_without_room_for_an_exit_is_told(rollout, caplog):
    """Refused where there is never room, and a warning where there is none behind a long prompt."""
    from sgrpo_verl.rollout.worker import check_room

    settings = rollout.trainer.config.actor_rollout_ref.rollout.copy()
    settings.update(prompt_length=100, response_length=4096)
    check_room(15, 1024, settings, context=1140)
    check_room(15, 1024, settings, context=None)
    assert not caplog.records
    with caplog.at_level("WARNING", "sgrpo_verl"):
        check_room(15, 1024, settings, context=1100)
    assert "after a prompt of more than 60 tokens in the model's context of 1100" in caplog.text
    with pytest.raises(
        ValueError, match=r"answer_length=1024 and .* no room for a prompt and a thought .* 1040 tokens"
    ):
        check_room(15, 1024, settings, context=1040)
    settings.response_length = 1039
    with pytest.raises(ValueError, match=r"answer_length=1024 and .* no room .*max_response_length=1039"):
        check_room(15, 1024, settings, context=None)


class TestAStepWithFailures:
    """verl's own replay buffer leaves, in sync mode, once all have ended, whether they failed or not."""

    def test_one_prompt_in_four_fails(self, rollout, caplog):
        """A reward function that raises for it: the other three are trained on, and the one is counted."""
        rollout.new_manager()  # of which nothing has failed yet
        truths = [*[problem.answer for problem in PROBLEMS[:3]], "None"]
        uids = begin_step(rollout, PROBLEMS[:4], ground_truths=truths)
        with caplog.at_level("WARNING", "sgrpo_verl"):
            batch, metrics = sample(rollout, uids)
        assert {key.split("_")[0] for key in batch.keys} == set(uids[:3])
        assert metrics["sgrpo/failed_prompts/sum"] == 1
        _, metrics = sample(rollout, begin_step(rollout, PROBLEMS[:1]))
        assert metrics["sgrpo/failed_prompts/sum"] == 0
        [record] = caplog.records
        assert "1 of 4 prompts failed and are left out, the last with ValueError(" in record.message
        assert "None" in record.message

    def test_all_prompts_fail(self, rollout):
        uids = begin_step(rollout, PROBLEMS[:4], ground_truths=["None"] * 4)
        with pytest.raises(RolloutFailed, match=r"continue: all 4 prompts have failed, the last with ValueError.*None"):
            sample(rollout, uids)

    def test_prompt_after_prompt_fails_on_several_workers(self, rollout):
        """Whichever is seen first: all of the step's, or more in a row than ever ran at once, and 32."""
        rollout.new_manager(workers=2)
        uids = begin_step(rollout, PROBLEMS * 6, ground_truths=["None"] * 36)
        ended = r"continue: (all 36 prompts|3\d prompts in a row) have failed, .*ValueError.*None"
        with pytest.raises(RolloutFailed, match=ended):
            sample(rollout, uids)

    def test_verls_own_failure_has_the_last_failure_behind_it(self):
        with pytest.raises(RolloutFailed, match=r"continue: no rows. 1 of 4 prompts have failed, the last with oh"):
            raise_with_failures(Report(failed=1, succeeded=3, last_failure="oh"), ValueError("no rows."))
        raise_with_failures(Report(succeeded=3), ValueError("no rows."))


class TestLostRollout:
    """Last in this file: each of these kills something real. verl's trainer would wait for ever, for GRPO as well."""

    @staticmethod
    def process(handle):
        import ray

        return psutil.Process(ray.get(handle.__ray_call__.remote(lambda _: os.getpid())))

    def test_an_agent_loop_worker_dies(self, rollout):
        rollout.new_manager()
        uids = begin_step(rollout, PROBLEMS)
        self.process(rollout.manager.agent_loop_workers[0]).kill()
        with pytest.raises(RuntimeError, match=r"(?s)the rollout cannot continue: .*actor died"):
            sample(rollout, uids)

    def test_a_reward_worker_dies(self, rollout):
        rollout.new_manager()
        with rollout.reward_worker({}) as worker:
            self.process(worker).kill()
            uids = begin_step(rollout, PROBLEMS[:4])
            with pytest.raises(RuntimeError, match=r"(?s)continue: an actor that it needs has died.*RewardLoopWorker"):
                sample(rollout, uids)

    def test_the_llm_server_dies(self, rollout):
        """First vLLM's engine process alone, which the server outlives, in the middle of a step; then the server.

        Three of four prompts fail while verl's poll sleeps, and the row of the fourth would become the batch.
        """
        server = self.process(rollout.trainer.llm_server_manager.server_handles[0])
        rollout.new_manager()
        [engine] = [one for one in server.children(recursive=True) if "EngineCore" in one.name()]
        uids = begin_step(rollout, PROBLEMS[:1])
        rollout.wait(uids)
        uids += rollout.submit(PROBLEMS[1:4], step=9)
        engine.kill()
        with pytest.raises(RuntimeError, match=r"(?s)continue: .*vLLM's engine died: .*ended from outside.*log is"):
            sample(rollout, uids)
        rollout.new_manager()
        server.kill()
        uids = begin_step(rollout, PROBLEMS[:4])
        with pytest.raises(RuntimeError, match=r"(?s)continue: an actor that it needs has died.*vLLMHttpServer"):
            sample(rollout, uids)
