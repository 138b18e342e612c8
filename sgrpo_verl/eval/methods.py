"""The five ways to spend tokens on a problem: vanilla, budget, truncate-like, no-think, deer.

Each is a generator: it yields the requests that it needs next, all at once, is sent what was generated, and returns its
completions. So one engine runs those of a thousand problems side by side, and a test can run one by hand.
"""

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sgrpo_verl.algorithm.serial_group import LONGEST_TAIL, ThoughtFormat, ThoughtSpan, find_thought


@dataclass(frozen=True)
class Request:
    """Tokens to generate after ``prompt_ids``; ``stop`` texts end it, and their tokens are part of what comes back."""

    prompt_ids: list[int]
    max_tokens: int
    stop: tuple[str, ...] = ()
    greedy: bool = False  # whatever the run's temperature


@dataclass(frozen=True)
class Generated:
    """What came back: token ids, the log-prob of each (for greedy requests only), and the stop text that ended it."""

    token_ids: list[int]
    log_probs: list[float] | None
    stopped_by: str | None  # None: the end-of-sequence token, or the length
    cut: bool  # the length ended it


@dataclass(frozen=True)
class Completion:
    """One response. Lengths in tokens, of what the model generated; what was inserted is counted apart."""

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
    confidences: tuple[float, ...] = ()  # DEER: of each trial answer


Method = Generator[list[Request], list[Generated], list[Completion]]


@dataclass(frozen=True)
class Reasoner:
    """What a method must know of the model: its tokenizer, how it thinks, and the limits of the run."""

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
        return self.tokenizer.encode(text, add_special_tokens=False)

    def find(self, response_ids: Sequence[int], prompt_ids: Sequence[int]) -> ThoughtSpan:
        """Where the thought is, as in training."""
        return find_thought(prompt_ids, response_ids, self.form)

    def opened(self, prompt_ids: list[int]) -> list[int]:
        """The prompt with its thought opened: by its template, or else here."""
        if self.tokenizer.decode(prompt_ids[-LONGEST_TAIL:]).rstrip().endswith(self.think_start):
            return prompt_ids
        return [*prompt_ids, *self.encode(f"{self.think_start}\n")]

    @property
    def tag_tokens(self) -> int:
        """Most tokens of what opens and closes a thought; a line break may follow the first."""
        return len(self.encode(f"{self.think_start}\n")) + len(self.encode(self.think_end))

    def text(self, token_ids: Sequence[int]) -> str:
        return self.tokenizer.decode(self.form.without_end(token_ids))


def _own(reasoner: Reasoner, prompt_ids: list[int], response_ids: list[int], cut: bool, **more: Any) -> Completion:
    """A response that the model ended itself, or that a limit cut."""
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


def _exit_request(reasoner: Reasoner, prompt_ids: list[int], thought_ids: list[int], closing: str) -> Request:
    return Request([*prompt_ids, *thought_ids, *reasoner.encode(closing)], reasoner.answer_tokens)


def _exited(
    reasoner: Reasoner, prompt_ids: list[int], thought_ids: list[int], closing: str, answer: Generated, **more: Any
) -> Completion:
    """A response whose thought the method ended; ``thought_ids`` have its opening tag if the model wrote it."""
    span = reasoner.find(thought_ids, prompt_ids)
    return Completion(
        thought=reasoner.text(thought_ids[span.thought_start :]),
        answer=reasoner.text(answer.token_ids),
        response_tokens=len(thought_ids) + len(answer.token_ids),
        thought_tokens=span.thought_length,
        answer_tokens=len(answer.token_ids),
        inserted_tokens=len(reasoner.encode(closing)),
        closed=True,
        exited=True,
        cut=answer.cut,
        **{"trial_tokens": 0, **more},
    )


def vanilla(reasoner: Reasoner, prompt_ids: list[int]) -> Method:
    """The model as it is."""
    [response] = yield [Request(prompt_ids, reasoner.max_tokens)]
    return [_own(reasoner, prompt_ids, response.token_ids, response.cut)]


def budget(reasoner: Reasoner, prompt_ids: list[int], caps: Sequence[int]) -> Method:
    """Generation-length budgets: for each cap, a thought that is not closed by then is ended with the exit prompt.

    A cap limits the thought; the answer has its own ``answer_tokens``, whether forced or not. One thought serves every
    cap: the prefix of a sample is a sample.
    """
    limit = max(caps) + reasoner.tag_tokens + reasoner.answer_tokens
    [response] = yield [Request(prompt_ids, limit)]
    ids = response.token_ids
    span = reasoner.find(ids, prompt_ids)
    own = {cap for cap in caps if span.thought_length <= cap and (span.closed or not response.cut)}
    forced = {cap: ids[: span.thought_start + cap] for cap in caps if cap not in own}
    answers = yield [_exit_request(reasoner, prompt_ids, cut, reasoner.exit_prompt) for cut in forced.values()]
    completions = {
        cap: _exited(reasoner, prompt_ids, cut, reasoner.exit_prompt, answer, cap=cap)
        for (cap, cut), answer in zip(forced.items(), answers, strict=True)
    }
    for cap in own:
        kept = ids[: span.answer_start + reasoner.answer_tokens]
        completions[cap] = _own(reasoner, prompt_ids, kept, response.cut or len(kept) < len(ids), cap=cap)
    return [completions[cap] for cap in caps]


def truncate_like(reasoner: Reasoner, prompt_ids: list[int], thought_tokens: int) -> Method:
    """Hard truncation: the thought is cut at a given length, and an answer forced; a shorter thought ends by itself."""
    ids: list[int] = []
    opening = 0
    if thought_tokens:
        [start] = yield [Request(prompt_ids, thought_tokens + reasoner.tag_tokens)]
        ids = start.token_ids
        span = reasoner.find(ids, prompt_ids)
        if not span.closed and not start.cut:
            return [_own(reasoner, prompt_ids, ids, cut=False)]
        opening = span.thought_start
        if span.closed and span.thought_length <= thought_tokens:
            kept = ids[: span.answer_start]
            [answer] = yield [Request([*prompt_ids, *kept], reasoner.answer_tokens)]
            return [_own(reasoner, prompt_ids, [*kept, *answer.token_ids], answer.cut)]
    elif prompt_ids != (opened := reasoner.opened(prompt_ids)):
        return (yield from _without_thought(reasoner, opened))
    thought_ids = ids[: opening + thought_tokens]
    [answer] = yield [_exit_request(reasoner, prompt_ids, thought_ids, reasoner.exit_prompt)]
    return [_exited(reasoner, prompt_ids, thought_ids, reasoner.exit_prompt, answer)]


def no_think(reasoner: Reasoner, prompt_ids: list[int]) -> Method:
    """The exit prompt at once."""
    return (yield from _without_thought(reasoner, reasoner.opened(prompt_ids)))


def _without_thought(reasoner: Reasoner, opened_ids: list[int]) -> Method:
    [answer] = yield [_exit_request(reasoner, opened_ids, [], reasoner.exit_prompt)]
    return [_exited(reasoner, opened_ids, [], reasoner.exit_prompt, answer)]


@dataclass(frozen=True)
class Deer:
    """Settings of dynamic early exit (DEER, arXiv 2504.15895); the defaults are that paper's for mathematics."""

    threshold: float = 0.95  # λ: a trial answer of more confidence ends the thought
    words: tuple[str, ...] = ("Wait",)  # what marks a transition in the thought
    inducer: str = "\n**Final Answer**\n\\boxed{"  # put after the thought so far, to get a trial answer
    closing: str = "\n</think>\n\n"  # put after the thought when it is ended
    trial_tokens: int = 64  # most tokens of a trial answer; a longer one ends nothing


def deer(reasoner: Reasoner, prompt_ids: list[int], settings: Deer) -> Method:
    """At each transition word, a trial answer; the thought ends where the model is confident enough of it."""
    thought: list[int] = []
    confidences: list[float] = []
    trials = 0
    while True:
        stop = (*settings.words, reasoner.think_end)
        [part] = yield [Request([*prompt_ids, *thought], reasoner.max_tokens - len(thought), stop)]
        before = [*thought, *_without_stop(reasoner, part)]
        thought = [*thought, *part.token_ids]
        left = reasoner.max_tokens - len(thought)
        if part.stopped_by == reasoner.think_end and left > 0:
            [answer] = yield [Request([*prompt_ids, *thought], left)]
            ids = [*thought, *answer.token_ids]
            return [_own(reasoner, prompt_ids, ids, answer.cut, trial_tokens=trials, confidences=tuple(confidences))]
        if part.stopped_by is None or left <= 0:
            cut = part.cut or part.stopped_by is not None
            return [_own(reasoner, prompt_ids, thought, cut, trial_tokens=trials, confidences=tuple(confidences))]
        inducer_ids = reasoner.encode(settings.inducer)
        [trial] = yield [Request([*prompt_ids, *before, *inducer_ids], settings.trial_tokens, greedy=True)]
        trials += len(trial.token_ids)
        confidences.append(confidence(trial, reasoner, settings.inducer))
        if confidences[-1] > settings.threshold:
            [answer] = yield [_exit_request(reasoner, prompt_ids, before, settings.closing)]
            return [
                _exited(
                    reasoner,
                    prompt_ids,
                    before,
                    settings.closing,
                    answer,
                    trial_tokens=trials,
                    confidences=tuple(confidences),
                )
            ]


def _without_stop(reasoner: Reasoner, part: Generated) -> list[int]:
    """The tokens before those that hold the stop text."""
    ids = part.token_ids
    if part.stopped_by is None:
        return ids
    count = len(ids)
    start = reasoner.tokenizer.decode(ids).rindex(part.stopped_by)
    while count and len(reasoner.tokenizer.decode(ids[:count])) > start:
        count -= 1
    return ids[:count]


def confidence(trial: Generated, reasoner: Reasoner, inducer: str) -> float:
    """C: the geometric mean of the probabilities of a trial answer's tokens, each the most likely one (DEER).

    The answer ends where the brace that the inducer opened is closed, or, if it opened none, at the first line break or
    where the model ends; the token that ends it counts if some of the answer is in it. An empty or unfinished answer
    has confidence 0.
    """
    braces = inducer.endswith("{")
    ids = [token for token in trial.token_ids if token not in reasoner.eos_ids]
    ends = [_answer_end(reasoner.tokenizer.decode(ids[: count + 1]), braces) for count in range(len(ids))]
    last = next((count for count, end in enumerate(ends) if end is not None), None)
    if last is None:
        if braces or trial.cut:
            return 0.0
        count, answer = len(ids), reasoner.tokenizer.decode(ids)
    else:
        before, answer = reasoner.tokenizer.decode(ids[:last]), reasoner.tokenizer.decode(ids[: last + 1])[: ends[last]]
        count = last + (answer != before)
    log_probs = (trial.log_probs or [])[:count]
    return math.exp(sum(log_probs) / count) if log_probs and answer.strip() else 0.0


def _answer_end(text: str, braces: bool) -> int | None:
    """Position of the character that ends a trial answer."""
    if not braces:
        return text.index("\n") if "\n" in text else None
    depth = 1
    for position, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return position
    return None
