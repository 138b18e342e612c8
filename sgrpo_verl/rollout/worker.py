"""verl's agent-loop worker for serial groups: scores every row by its own answer, and stores each group in one put."""

import math
from collections.abc import Iterable
from typing import Any

import torch
import transfer_queue as tq
from ray.exceptions import ActorDiedError
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, _agent_loop_registry
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopWorkerTQ
from verl.utils.tensordict_utils import list_of_dict_to_tensordict
from verl.workers.rollout.utils import get_max_position_embeddings

from sgrpo_verl.algorithm.decay import get_reward_schedule, is_correct
from sgrpo_verl.algorithm.serial_group import ThoughtFormat, encode, eos_ids, in_pieces, opens_answer
from sgrpo_verl.answers.neighbours import FORMULA
from sgrpo_verl.correctness import ANSWER_ALONE, BEFORE_ANSWER
from sgrpo_verl.hooks.install import logger
from sgrpo_verl.hooks.metrics import TAG, group_notes, row_notes
from sgrpo_verl.rollout.agent_loop import SERIAL_GROUP_AGENT, GeneratedRow, SerialGroup, gather_all
from sgrpo_verl.rollout.engine_failure import is_engine_dead, reason
from sgrpo_verl.rollout.watch import Report
from sgrpo_verl.settings.config import SINGLE_TURN_AGENT, SGRPOConfig
from sgrpo_verl.settings.escapes import shown

# verl's class is a Ray actor already; this is the plain one underneath.
_StockWorker: Any = vars(AgentLoopWorkerTQ)["__ray_metadata__"].modified_class


def context_length(max_model_len: int | None, hf_config: Any, engine: str) -> int | None:
    """The most tokens of prompt and response that the server accepts, as verl's vLLM server finds it; None if unknown.

    verl's SGLang server leaves one token free (verl/workers/rollout/sglang_rollout/async_sglang_server.py).
    """
    try:
        length = max_model_len or get_max_position_embeddings(hf_config)
    except ValueError:  # the config does not say
        return None
    return length - 1 if length and engine == "sglang" else length


def require_judged(reward_info: dict[str, Any]) -> None:
    """Tell a row that could not be judged from one that is wrong.

    verl's reward manager ``rate_limited`` gives 0 to both (verl/experimental/reward_loop/reward_manager/limited.py). Of
    the first it has no score of the reward function, and says what happened.

    Raises:
        RuntimeError: the reward function failed, or took too long.
    """
    if "score" in reward_info or reward_info.get("acc"):
        return
    if reward_info.get("timeout") is True:
        raise RuntimeError("the reward function took longer than reward.timeout allows")
    if failure := reward_info.get("error"):
        raise RuntimeError(f"the reward function failed: {failure}")


def finite(rewards: Iterable[float], schedule: str) -> list[float]:
    """The rewards of a schedule that somebody registered; verl would skip an update whose gradient is not finite.

    Raises:
        ValueError: one of them is NaN or infinite.
    """
    rewards = list(rewards)
    if not all(map(math.isfinite, rewards)):
        raise ValueError(f"algorithm.sgrpo.reward={schedule}: the schedule gave {rewards}; rewards must be finite")
    return rewards


def check_room(exit_prompt_length: int, answer_length: int, rollout: Any, context: int | None) -> None:
    """Check that an exit prompt and an answer leave room for a thought; warn where a long prompt leaves none.

    Args:
        exit_prompt_length: tokens.
        answer_length: tokens.
        rollout: verl's RolloutConfig, with the longest prompt and response.
        context: most tokens of prompt and response together; None if unknown.

    Raises:
        ValueError: there is no room in the response, or in the context after a prompt of one token.
    """
    inserted = f"algorithm.sgrpo.answer_length={answer_length} and an exit prompt of {exit_prompt_length} tokens"
    if exit_prompt_length + answer_length >= rollout.response_length:
        raise ValueError(
            f"{inserted} leave no room for a thought in data.max_response_length={rollout.response_length}: "
            "make answer_length smaller"
        )
    if context is None:
        return
    longest_prompt = context - exit_prompt_length - answer_length - 1  # with a thought of one token
    where = f"in the model's context of {context} tokens (actor_rollout_ref.rollout.max_model_len, or the model's own)"
    if longest_prompt < 1:
        raise ValueError(f"{inserted} leave no room for a prompt and a thought {where}: make answer_length smaller")
    if longest_prompt < rollout.prompt_length:
        logger.warning(
            "%s leave no room for a thought after a prompt of more than %d tokens %s, and data.max_prompt_length is "
            "%d. Such prompts get no early exits and teach nothing: make answer_length smaller",
            *(inserted, longest_prompt, where, rollout.prompt_length),
        )


class SerialGroupWorker(_StockWorker):
    """Turns each training prompt for a single turn into a serial group; everything else is left to verl.

    Of that it only notes the length or the reward, see ``_score_as_verl``.

    Raises:
        ValueError: see ``check_room``.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.settings = SGRPOConfig.of(self.config)
        self.reward_schedule = get_reward_schedule(self.settings.reward)
        ending = eos_ids(self.tokenizer, self.model_config.generation_config)
        self.form = ThoughtFormat.of(self.tokenizer, self.settings.think_start, self.settings.think_end, ending)
        context = context_length(
            self.rollout_config.max_model_len, self.model_config.hf_config, self.rollout_config.name
        )
        # verl makes a loop for each prompt from what is registered.
        _agent_loop_registry[SERIAL_GROUP_AGENT] |= {"eos_ids": sorted(ending), "context_length": context}
        self._report = Report()
        self._running = 0  # sessions
        self._fatal: Exception | None = None  # the first failure after which nothing can be generated or scored
        if in_pieces(self.tokenizer, self.settings.think_end):
            logger.warning(
                "algorithm.sgrpo.think_end=%s is a token of its own to the tokenizer, which cannot encode it so: in "
                "the exit prompt it is %d pieces, unlike in what the model writes",
                shown(self.settings.think_end),
                len(self.form.think_end_ids),
            )
        exit_prompt_length = len(encode(self.tokenizer, self.settings.exit_prompt, self.settings.think_end))
        check_room(exit_prompt_length, self.settings.answer_length, self.rollout_config, context)

    async def _run_prompt(self, prompt: dict, sampling_params: dict, trajectory: dict, trace: bool = False) -> None:
        if not trajectory["validate"] and prompt["agent_name"] == SINGLE_TURN_AGENT:
            # One serial session instead of rollout.n parallel ones.
            prompt = {**prompt, "agent_name": SERIAL_GROUP_AGENT, "__rollout_n__": 1}
        await super()._run_prompt(prompt, sampling_params, trajectory, trace)

    async def report(self) -> Report:
        """What has become of the sessions since the last call, for ``watch``."""
        report, self._report = self._report, Report()
        report.running = self._running
        if self._fatal is not None and is_engine_dead(self._fatal):
            report.lost = f"vLLM's engine died: {await reason(self._fatal)}"
        elif self._fatal is not None:
            report.lost = f"an actor that it needs has died. {self._fatal}"
        return report

    async def _run_agent_loop(self, sampling_params: dict, trajectory: dict, **kwargs: Any) -> Any:
        self._running += 1
        try:
            result = await super()._run_agent_loop(sampling_params, trajectory, **kwargs)
        except Exception as error:
            self._report.failed += 1
            self._report.failed_in_training += not trajectory["validate"]
            self._report.last_failure = repr(getattr(error, "cause", None) or error)  # Ray's own also lists frames
            if self._fatal is None and (isinstance(error, ActorDiedError) or is_engine_dead(error)):
                self._fatal = error
            raise
        finally:
            self._running -= 1
        self._report.succeeded += 1
        return result

    async def _agent_loop_postprocess(self, output: Any, validate: bool, **kwargs: Any) -> None:
        if not isinstance(output, SerialGroup):
            await self._score_as_verl(output if isinstance(output, list) else [output], validate, kwargs)
            await super()._agent_loop_postprocess(output, validate, **kwargs)
            return
        # verl's own scores the last of several outputs and copies that reward onto the others.
        correct = await gather_all(self._score(row, kwargs) for row in output.rows)
        rewards = finite(self.reward_schedule(correct, self.settings.decay_base), self.settings.reward)
        for row, reward in zip(output.rows, rewards, strict=True):
            row.output.reward_score = float(reward)
            row.output.extra_fields["reward_extra_info"] |= {"reward": float(reward)}  # for verl 0.9.0's filter_groups
        await self._put(output, correct, kwargs)

    async def _score_as_verl(self, outputs: list[AgentLoopOutput], validate: bool, kwargs: dict[str, Any]) -> None:
        """Score as verl would, and note what is read there later.

        Of a validation's response that is its length, which verl then reports for each data source; of a training row
        its reward, where ``algorithm.filter_groups`` of verl 0.9.0 looks for ``metric=reward``.
        """
        if outputs:
            await self._compute_score(outputs, kwargs=kwargs)
            reward_info, reward = outputs[-1].extra_fields.get("reward_extra_info"), outputs[-1].reward_score
            if reward is not None and isinstance(reward_info, dict):
                note = {"response_length": len(outputs[-1].response_ids)} if validate else {"reward": reward}
                outputs[-1].extra_fields["reward_extra_info"] = {**note, **reward_info}

    async def _score(self, row: GeneratedRow, kwargs: dict[str, Any]) -> bool:
        """Whether a row's own answer is correct, according to the user's reward set-up and ``cut_answers``.

        With ``score=answer``, a row without an answer is wrong. The reward function is not asked: verl never gives one
        an empty text, so it need not know what to do with it.
        """
        alone = self.settings.score == "answer"
        if alone and not self.form.decode(self.form.without_end(row.answer_ids)).strip():
            metric = (self.config.algorithm.get("filter_groups") or {}).get("metric")  # verl needs it of every row
            info = dict.fromkeys(("score", "acc", *([metric] if metric else ())), 0.0)
            row.output.extra_fields = {**row.output.extra_fields, "reward_extra_info": info}
            return False
        judged = row.own_answer_ids if alone else row.output.response_ids
        # A decoder leaves special tokens out; what ends a response need not be one. verl cannot score an empty row.
        judged = self.form.without_end(judged) or judged
        scored = row.output.model_copy(
            update={
                "response_ids": judged,
                "response_mask": [1] * len(judged),
                "response_logprobs": None,
                "reward_score": None,
                "extra_fields": dict(row.output.extra_fields),
            }
        )
        if alone and isinstance(kwargs.get("extra_info"), dict):
            said = {ANSWER_ALONE: True, BEFORE_ANSWER: self._before_answer(row)}
            kwargs = {**kwargs, "extra_info": {**kwargs["extra_info"], **said}}
        await self._compute_score([scored], kwargs=kwargs)
        reward_info = dict(scored.extra_fields.get("reward_extra_info") or {})
        require_judged(reward_info)
        row.output.extra_fields = {**row.output.extra_fields, "reward_extra_info": reward_info}
        right = is_correct(reward_info.get("acc", scored.reward_score), self.settings.correct_threshold)
        return right and not (row.answer_cut and self.settings.cut_answers == "wrong")

    def _before_answer(self, row: GeneratedRow) -> str:
        """The end of the thought, which a full response's answer may go on from; an early exit's does not."""
        if row.exit_position is not None or not opens_answer(self.settings.think_end):
            return ""
        response_ids = row.output.response_ids
        start = len(response_ids) - len(row.answer_ids)
        return self.form.decode(response_ids[max(0, start - FORMULA) : start])[-FORMULA:]

    async def _put(self, group: SerialGroup, correct: list[bool], kwargs: dict[str, Any]) -> None:
        """The whole group in one put, keyed ``{uid}_{session}_{row}`` as verl keys several outputs of one session."""
        keys, fields, tags = [], [], []
        for position, (row, right) in enumerate(zip(group.rows, correct, strict=True)):
            keys.append(f"{kwargs['uid']}_{kwargs['session_id']}_{position}")
            fields.append(self._fields(row.output, kwargs))
            tags.append(self._tag(row, position, group, right, kwargs))
        tags[-1][TAG] |= group_notes(
            [row.output.reward_score or 0.0 for row in group.rows],
            correct,
            [row.exit_position or group.span.thought_length for row in group.rows],
            len(group.rows[-1].output.response_ids) + sum(len(row.answer_ids) for row in group.rows[:-1]),
        )
        await tq.async_kv_batch_put(
            keys=keys, fields=list_of_dict_to_tensordict(fields), tags=tags, partition_id="train"
        )

    def _fields(self, output: AgentLoopOutput, kwargs: dict[str, Any]) -> dict[str, Any]:
        """A row's fields: the same as those of verl's own rows (verl/trainer/ppo/v1/agent_loop_tq.py)."""
        fields = {**output.as_dict(), **kwargs}
        fields.pop("multi_modal_data", None)
        input_ids = torch.cat([fields["prompts"], fields["responses"]])
        multi_modal_inputs = self._compute_multi_modal_inputs(output, input_ids)
        position_ids = self._compute_position_ids(
            input_ids.unsqueeze(0), torch.ones_like(input_ids).unsqueeze(0), multi_modal_inputs
        )
        return {
            **fields,
            "loss_mask": fields["response_mask"],
            "input_ids": input_ids,
            "position_ids": position_ids.squeeze(0),
            "multi_modal_inputs": multi_modal_inputs,
        }

    def _tag(
        self, row: GeneratedRow, position: int, group: SerialGroup, correct: bool, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """A row's tag: what verl's trainer needs to balance rows and tell their age, and our notes."""
        prompt_length, response_length = len(row.output.prompt_ids), len(row.output.response_ids)
        thought_length, thought_start = group.span.thought_length, group.span.thought_start
        return {
            "status": "success",
            "prompt_len": prompt_length,
            "response_len": response_length,
            "seq_len": prompt_length + response_length,
            "global_steps": kwargs["global_steps"],
            "min_global_steps": row.output.extra_fields.get("min_global_steps"),
            "max_global_steps": row.output.extra_fields.get("max_global_steps"),
            TAG: row_notes(
                exit_index=None if row.exit_position is None else position + 1,
                exit_position=row.exit_position,
                kept=None if row.exit_position is None else thought_start + row.exit_position,
                closing_end=row.closing_end,
                thought_length=thought_length,
                response_length=len(row.output.response_ids),
                closed=group.span.closed,
                answer_length=len(row.answer_ids),
                answer_cut=row.answer_cut,
                cached_share=row.cached_share,
                correct=correct,
                reward=row.output.reward_score or 0.0,
                started=row.started,
                finished=row.finished,
            ),
        }
