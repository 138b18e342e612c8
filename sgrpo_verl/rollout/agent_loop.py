"""One prompt's serial group: verl's own single turn for the full thought, then its early exits, all at once."""

import asyncio
import time
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, register
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop
from verl.workers.rollout.replica import TokenOutput

from sgrpo_verl.algorithm.serial_group import (
    Row,
    ThoughtFormat,
    ThoughtSpan,
    closing_of,
    draw_exit_positions,
    encode,
    exit_row,
    exit_seed,
    find_thought,
    full_row,
)
from sgrpo_verl.algorithm.steps import STEPS, closing_length, step_ends
from sgrpo_verl.settings.config import SGRPOConfig

SERIAL_GROUP_AGENT = "sgrpo_serial_group"
T = TypeVar("T")


@dataclass
class GeneratedRow:
    """A row as verl's ``AgentLoopOutput``, with what scoring and metrics need to know about it."""

    output: AgentLoopOutput
    answer_ids: list[int]
    own_answer_ids: list[int]  # with what opens the answer, which of an early exit stands in the exit prompt
    exit_position: int | None  # in tokens of the thought; None for the full response
    closing_end: (
        int | None
    )  # where in the response its inserted closing tag ends, if it can be told from the exit prompt
    answer_cut: bool  # whether a limit on the length ended it: answer_length, or that of the full response
    cached_share: float | None  # of its prompt, in the server's prefix cache
    started: float  # seconds since the epoch, of its request
    finished: float


@dataclass
class SerialGroup:
    """The rows of one prompt in exit order, the full response last."""

    rows: list[GeneratedRow]
    span: ThoughtSpan


async def gather_all(awaitables: Iterable[Awaitable[T]]) -> list[T]:
    """Wait for all, even if one fails, then raise the first failure: nothing of a failed group keeps running."""
    results = await asyncio.gather(*awaitables, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results  # type: ignore[return-value]


class _OneRequestId:
    """An LLM client that sends every request under the first one's id: to the server with the thought's KV cache.

    With verl's ``full_determinism``, each has an id of its own, which begins with the first one's.
    """

    def __init__(self, client: Any, full_determinism: bool):
        self._client = client
        self._full_determinism = full_determinism
        self._first: str | None = None

    async def generate(self, request_id: str, **kwargs: Any) -> TokenOutput:
        if self._first is None:
            self._first = request_id
        elif self._full_determinism:  # then verl hands the id to vLLM as it is, which wants each once
            request_id = f"{self._first}-{request_id}"
        else:
            request_id = self._first
        return await self._client.generate(request_id=request_id, **kwargs)


@register(SERIAL_GROUP_AGENT)
class SerialGroupAgentLoop(SingleTurnAgentLoop):
    """S-GRPO's two rollout phases for one prompt: the full thought, then its early exits."""

    def __init__(self, *args: Any, eos_ids: Sequence[int], context_length: int | None = None, **kwargs: Any):
        """What the worker puts into verl's registry of agent loops.

        Args:
            eos_ids: every token that ends a response.
            context_length: most tokens of prompt and response that the server takes; None: as many as are asked for.
        """
        super().__init__(*args, **kwargs)
        self.context_length = context_length
        self.tokenizer: Any = self.tokenizer  # verl annotates it with its factory
        self.settings = SGRPOConfig.of(self.config)
        self.exit_prompt_ids = encode(self.tokenizer, self.settings.exit_prompt, self.settings.think_end)
        self.form = ThoughtFormat.of(
            self.tokenizer, self.settings.think_start, self.settings.think_end, frozenset(eos_ids)
        )
        self.opening_ids = closing_of(self.exit_prompt_ids, self.form)
        self.closing_length = closing_length(self.exit_prompt_ids, self.form.decode, self.settings.think_end)

    async def process_multi_modal_info(self, messages: list[dict]) -> dict:
        multi_modal_data = await super().process_multi_modal_info(messages)
        if multi_modal_data:
            raise ValueError(
                f"algorithm.adv_estimator=sgrpo with {', '.join(multi_modal_data)} in a prompt: S-GRPO takes text only"
            )
        return multi_modal_data

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> SerialGroup:  # type: ignore[override]
        """Generate the group of one prompt.

        Args:
            sampling_params: verl's, for the full thought and for the answers alike.
            kwargs: the prompt's fields in TransferQueue, of them ``raw_prompt``, ``global_steps`` and ``index``.
        """
        full_determinism = self.rollout_config.get("full_determinism", False)
        # Not a client by type: generate is all that an agent loop calls of one.
        self.server_manager = _OneRequestId(self.server_manager, full_determinism)  # type: ignore[assignment]
        started = time.time()
        full_output = await super().run(sampling_params, **kwargs)
        finished = time.time()
        span = find_thought(full_output.prompt_ids, full_output.response_ids, self.form)
        full = full_row(full_output.response_ids, full_output.response_mask, full_output.response_logprobs, span)
        exits = await gather_all(
            self._early_exit(full_output, full, span, position, sampling_params, kwargs)
            for position in self._exit_positions(span, full_output.prompt_ids, full_output.response_ids, kwargs)
        )
        if not full_output.response_ids:  # verl cannot store an empty row: one masked token stands for it
            full_output = full_output.model_copy(
                update={"response_ids": [self.tokenizer.eos_token_id], "response_mask": [0], "response_logprobs": [0.0]}
            )
        cut = self._cut(full_output.response_ids, self._longest(full_output.prompt_ids))
        answer_ids = full.answer_ids
        full_generated = GeneratedRow(full_output, answer_ids, answer_ids, None, None, cut, None, started, finished)
        return SerialGroup([*exits, full_generated], span)

    def _exit_positions(
        self, span: ThoughtSpan, prompt_ids: list[int], response_ids: list[int], kwargs: dict[str, Any]
    ) -> list[int]:
        """P_1 < … < P_m, none so late that there is no room for the exit prompt and an answer."""
        room = self._longest(prompt_ids) - len(self.exit_prompt_ids) - self.settings.answer_length
        seed = exit_seed(self.rollout_config.seed, int(kwargs["global_steps"]), kwargs.get("index"), prompt_ids)
        last = min(span.thought_length, room - span.thought_start)
        sampling, num_exits = self.settings.exit_sampling, self.settings.num_exits
        if sampling not in STEPS:
            return draw_exit_positions(max(0, last), num_exits, sampling, seed)
        thought = response_ids[span.thought_start : span.thought_end]
        ends = [
            end for end in step_ends(thought, self.form.decode, sampling, self.settings.step_markers) if end <= last
        ]
        return [ends[drawn - 1] for drawn in draw_exit_positions(len(ends), num_exits, "uniform", seed)]

    def _longest(self, prompt_ids: list[int]) -> int:
        """Most tokens of a response to this prompt."""
        if self.context_length is None:
            return self.response_length
        return min(self.response_length, self.context_length - len(prompt_ids))

    def _cut(self, token_ids: Sequence[int], limit: int) -> bool:
        """Whether generation ended at ``limit``, not by itself."""
        return bool(token_ids) and len(token_ids) >= limit and token_ids[-1] not in self.form.eos_ids

    async def _early_exit(
        self,
        full_output: AgentLoopOutput,
        full: Row,
        span: ThoughtSpan,
        position: int,
        sampling_params: dict[str, Any],
        kwargs: dict[str, Any],
    ) -> GeneratedRow:
        """Cut the thought at ``position``, insert the exit prompt, and let the policy answer."""
        prompt_ids = [
            *full_output.prompt_ids,
            *full.response_ids[: span.thought_start + position],
            *self.exit_prompt_ids,
        ]
        started = time.time()
        answer = await self.server_manager.generate(
            request_id=f"exit-{position}",  # sent under the thought's own, see _OneRequestId
            prompt_ids=prompt_ids,
            sampling_params={**sampling_params, "max_tokens": self.settings.answer_length},
            priority=int(kwargs.get("priority", 0)),
        )
        finished = time.time()
        answer_length = self.settings.answer_length  # verl's TensorRT-LLM server goes by a limit of its own
        answer_ids, log_probs = list(answer.token_ids[:answer_length]), answer.log_probs
        if not answer_ids:
            raise RuntimeError(
                f"the early exit at position {position} has no answer: generation was {answer.stop_reason}"
            )
        row = exit_row(
            full,
            position,
            self.exit_prompt_ids,
            answer_ids,
            None if log_probs is None else log_probs[:answer_length],
            self.settings.train_exit_prompt,
            span.thought_start,
        )
        output = full_output.model_copy(
            update={
                "response_ids": row.response_ids,
                "response_mask": row.response_mask,
                "response_logprobs": row.log_probs,
                "extra_fields": _merge_versions(full_output.extra_fields, answer.extra_fields),
                "metrics": full_output.metrics.model_copy(update={"generate_sequences": finished - started}),
            }
        )
        cut = self._cut(answer_ids, answer_length)
        cached = answer.extra_fields.get("num_cached_tokens")
        cached_share = None if cached is None else cached / len(prompt_ids)
        closing_end = None if self.closing_length is None else span.thought_start + position + self.closing_length
        own_ids = [*self.opening_ids, *answer_ids]
        return GeneratedRow(output, answer_ids, own_ids, position, closing_end, cut, cached_share, started, finished)


def _merge_versions(thought: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """The extra fields of an exit's row, whose policy versions span those of both the thought and the answer."""
    merged = {**thought, **answer}
    for field, pick in (("min_global_steps", min), ("max_global_steps", max)):
        versions = [fields[field] for fields in (thought, answer) if fields.get(field) is not None]
        merged[field] = pick(versions) if versions else None
    return merged
