"""The evaluation's vocabulary: what a method requests from the engine, what it gets, and the completion it returns."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sgrpo_verl.algorithm.serial_group import (
    LONGEST_TAIL,
    ThoughtFormat,
    ThoughtSpan,
    closing_of,
    encode,
    find_thought,
)


@dataclass(frozen=True)
class Request:
    """Asks for tokens after ``prompt_ids``. ``stop`` texts end it, and their tokens are part of the result."""

    prompt_ids: list[int]
    max_tokens: int
    stop: tuple[str, ...] = ()
    greedy: bool = False  # whatever the run's temperature


@dataclass(frozen=True)
class Generated:
    """What was generated: token ids, their log-probs (for greedy requests only), and the stop text that ended it."""

    token_ids: list[int]
    log_probs: list[float] | None
    stopped_by: str | None  # None: the end-of-sequence token, or the length
    cut: bool  # the length ended it


@dataclass(frozen=True)
class Completion:
    """One response. Lengths are in tokens that the model generated; inserted tokens are counted separately."""

    thought: str
    answer: str
    response_tokens: int  # thought, what the model closed it with, answer
    thought_tokens: int
    answer_tokens: int
    inserted_tokens: int  # the exit prompt, where the method ended the thought
    trial_tokens: int  # DEER's trial answers: generated, and no part of the response
    closed: bool  # by the model or by the method
    exited: bool  # by the method
    cut: bool  # the response ended at a limit
    cap: int | None = None  # budget: most tokens of the thought
    exit_index: int | None = None  # exits: which early exit it is, from 1; None for the full response
    of_thought: int | None = None  # exits: tokens of the whole thought, of which this one is the beginning
    confidences: tuple[float, ...] = ()  # DEER: of each trial answer


Method = Generator[list[Request], list[Generated], list[Completion]]


@dataclass(frozen=True)
class Reasoner:
    """What a method must know about the model: its tokenizer, how it writes thoughts, and the limits of the run."""

    tokenizer: Any
    think_start: str
    think_end: str
    exit_prompt: str
    max_tokens: int  # of a response
    answer_tokens: int  # of an answer after a thought that the method ended
    eos_ids: frozenset[int]  # every token that ends a response

    @cached_property
    def form(self) -> ThoughtFormat:
        return ThoughtFormat.of(self.tokenizer, self.think_start, self.think_end, self.eos_ids)

    def encode(self, text: str) -> list[int]:
        tag = self.think_end if self.think_end in text else self.think_start
        return encode(self.tokenizer, text, tag)

    def find(self, response_ids: Sequence[int], prompt_ids: Sequence[int]) -> ThoughtSpan:
        """Where the thought is, as in training."""
        return find_thought(prompt_ids, response_ids, self.form)

    def opened(self, prompt_ids: list[int]) -> list[int]:
        """The prompt with the thought opened, by its template or else here."""
        if self.tokenizer.decode(prompt_ids[-LONGEST_TAIL:]).rstrip().endswith(self.think_start):
            return prompt_ids
        return [*prompt_ids, *self.encode(f"{self.think_start}\n")]

    @property
    def tag_tokens(self) -> int:
        """An upper limit for the tokens that open and close a thought; a line break may follow the opening tag."""
        return len(self.encode(f"{self.think_start}\n")) + len(self.encode(self.think_end))

    def text(self, token_ids: Sequence[int]) -> str:
        return self.tokenizer.decode(self.form.without_end(token_ids))


def own_completion(
    reasoner: Reasoner, prompt_ids: list[int], response_ids: list[int], cut: bool, **more: Any
) -> Completion:
    """A response that the model ended itself, or that a limit cut off."""
    span = reasoner.find(response_ids, prompt_ids)
    answer_ids = response_ids[span.answer_start :]
    return Completion(
        thought=reasoner.text(response_ids[span.thought_start : span.thought_end]),
        answer=reasoner.text(answer_ids),
        response_tokens=len(response_ids),
        thought_tokens=span.thought_length,
        answer_tokens=len(answer_ids),
        inserted_tokens=0,
        closed=span.closed,
        exited=False,
        cut=cut,
        **{"trial_tokens": 0, **more},
    )


def exit_request(reasoner: Reasoner, prompt_ids: list[int], thought_ids: list[int], closing: str) -> Request:
    return Request([*prompt_ids, *thought_ids, *reasoner.encode(closing)], reasoner.answer_tokens)


def exited_completion(
    reasoner: Reasoner, prompt_ids: list[int], thought_ids: list[int], closing: str, answer: Generated, **more: Any
) -> Completion:
    """A response whose thought the method ended; ``thought_ids`` have its opening tag if the model wrote it."""
    span = reasoner.find(thought_ids, prompt_ids)
    return Completion(
        thought=reasoner.text(thought_ids[span.thought_start :]),
        answer=reasoner.text([*closing_of(reasoner.encode(closing), reasoner.form), *answer.token_ids]),
        response_tokens=len(thought_ids) + len(answer.token_ids),
        thought_tokens=span.thought_length,
        answer_tokens=len(answer.token_ids),
        inserted_tokens=len(reasoner.encode(closing)),
        closed=True,
        exited=True,
        cut=answer.cut,
        **{"trial_tokens": 0, **more},
    )
