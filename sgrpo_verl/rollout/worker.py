"""verl's agent-loop worker for serial groups: scores every row by its own answer, and stores each group in one put."""

import asyncio
from typing import Any

import torch
import transfer_queue as tq
from ray.exceptions import ActorDiedError
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, _agent_loop_registry
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopWorkerTQ
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from sgrpo_verl.algorithm.decay import get_reward_schedule, is_correct
from sgrpo_verl.algorithm.serial_group import ThoughtFormat, encode, eos_ids, in_pieces
from sgrpo_verl.hooks.install import logger
from sgrpo_verl.hooks.metrics import TAG, group_notes, row_notes
from sgrpo_verl.rollout.agent_loop import SERIAL_GROUP_AGENT, GeneratedRow, SerialGroup, gather_all
from sgrpo_verl.rollout.engine_failure import is_engine_dead, reason
from sgrpo_verl.settings.config import SINGLE_TURN_AGENT, SGRPOConfig

FAILURES_IN_A_ROW = 32  # sessions; verl draws another prompt for each that fails, without end
# verl's class is a Ray actor already; this is the plain one underneath.
_StockWorker: Any = vars(AgentLoopWorkerTQ)["__ray_metadata__"].modified_class


def context_length(max_model_len: int | None, hf_config: Any) -> int | None:
    """The most tokens of prompt and response that the server accepts, as verl's servers find it; None if unknown."""
    text = hf_config.get_text_config() if hasattr(hf_config, "get_text_config") else hf_config
    return max_model_len or getattr(text, "max_position_embeddings", None)


class SerialGroupWorker(_StockWorker):
    """Turns each training prompt for a single turn into a serial group; everything else is left to verl.

    Raises:
        ValueError: exit prompt and answer leave no room for a thought in the response.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.settings = SGRPOConfig.of(self.config)
        self.reward_schedule = get_reward_schedule(self.settings.reward)
        ending = eos_ids(self.tokenizer, self.model_config.generation_config)
        self.form = ThoughtFormat.of(self.tokenizer, self.settings.think_start, self.settings.think_end, ending)
        # verl makes a loop for each prompt from what is registered.
        _agent_loop_registry[SERIAL_GROUP_AGENT] |= {
            "eos_ids": sorted(ending),
            "context_length": context_length(self.rollout_config.max_model_len, self.model_config.hf_config),
        }
        if in_pieces(self.tokenizer, self.settings.think_end):
            logger.warning(
                "algorithm.sgrpo.think_end=%r is a token of its own to the tokenizer, which cannot encode it as such: in the "
                "exit prompt it is %d pieces, unlike in what the model writes",
                self.settings.think_end,
                len(self.form.think_end_ids),
            )
        self._failures = 0  # in a row
        self._lost, self._reason = asyncio.Event(), ""
        exit_prompt_length = len(encode(self.tokenizer, self.settings.exit_prompt, self.settings.think_end))
        if exit_prompt_length + self.settings.answer_length >= self.rollout_config.response_length:
            raise ValueError(
                f"algorithm.sgrpo.answer_length={self.settings.answer_length} and an exit prompt of "
                f"{exit_prompt_length} tokens leave no room for a thought in data.max_response_length="
                f"{self.rollout_config.response_length}: make answer_length smaller"
            )

    async def _run_prompt(self, prompt: dict, sampling_params: dict, trajectory: dict, trace: bool = False) -> None:
        if not trajectory["validate"] and prompt["agent_name"] == SINGLE_TURN_AGENT:
            # One serial session instead of rollout.n parallel ones.
            prompt = {**prompt, "agent_name": SERIAL_GROUP_AGENT, "__rollout_n__": 1}
        await super()._run_prompt(prompt, sampling_params, trajectory, trace)

    async def until_lost(self) -> None:
        """Never returns; it raises once the rollout cannot continue.

        Raises:
            RuntimeError: the rollout cannot continue: an actor that it needs has died, or prompt after prompt fails.
        """
        await self._lost.wait()
        raise RuntimeError(self._reason)

    async def _run_agent_loop(self, *args: Any, **kwargs: Any) -> Any:
        try:
            result = await super()._run_agent_loop(*args, **kwargs)
        except Exception as error:
            self._failures += 1
            if isinstance(error, ActorDiedError):
                self._lose(f"an actor that it needs has died. {error}")
            elif is_engine_dead(error) and not self._lost.is_set():
                self._lose(f"vLLM's engine died: {await reason(error)}")
            elif self._failures >= FAILURES_IN_A_ROW:
                self._lose(f"{self._failures} prompts in a row have failed, the last with {error!r}")
            raise
        self._failures = 0
        return result

    def _lose(self, reason: str) -> None:
        self._reason = self._reason or reason  # only the first reason is reported
        self._lost.set()

    async def _agent_loop_postprocess(self, output: Any, validate: bool, **kwargs: Any) -> None:
        if not isinstance(output, SerialGroup):
            if validate:
                await self._score_validation(output if isinstance(output, list) else [output], kwargs)
            await super()._agent_loop_postprocess(output, validate, **kwargs)
            return
        # verl's own scores the last of several outputs and copies that reward onto the others.
        correct = await gather_all(self._score(row, kwargs) for row in output.rows)
        rewards = self.reward_schedule(correct, self.settings.decay_base)
        for row, reward in zip(output.rows, rewards, strict=True):
            row.output.reward_score = float(reward)
        await self._put(output, correct, kwargs)

    async def _score_validation(self, outputs: list[AgentLoopOutput], kwargs: dict[str, Any]) -> None:
        """Score as verl would, and note the response's length, which verl then reports for each data source."""
        if outputs:
            await self._compute_score(outputs, kwargs=kwargs)
            reward_info = outputs[-1].extra_fields.get("reward_extra_info")
            if outputs[-1].reward_score is not None and isinstance(reward_info, dict):
                reward_info.setdefault("response_length", len(outputs[-1].response_ids))

    async def _score(self, row: GeneratedRow, kwargs: dict[str, Any]) -> bool:
        """Whether a row's own answer is correct, according to the user's reward set-up and ``cut_answers``."""
        judged = row.answer_ids if self.settings.score == "answer" else row.output.response_ids
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
        await self._compute_score([scored], kwargs=kwargs)
        reward_info = scored.extra_fields.get("reward_extra_info") or {}
        row.output.extra_fields = {**row.output.extra_fields, "reward_extra_info": reward_info}
        row.output.metrics = scored.metrics
        right = is_correct(reward_info.get("acc", scored.reward_score), self.settings.correct_threshold)
        return right and not (row.answer_cut and self.settings.cut_answers == "wrong")

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
