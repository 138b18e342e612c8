"""Dynamic early exit (DEER, arXiv 2504.15895): the thought ends once the model is confident of a trial answer."""

import math
from dataclasses import dataclass

from sgrpo_verl.eval.response import (
    Generated,
    Method,
    Reasoner,
    Request,
    exit_request,
    exited_completion,
    own_completion,
)


@dataclass(frozen=True)
class Deer:
    """Settings of dynamic early exit (DEER, arXiv 2504.15895); the defaults are that paper's for mathematics."""

    threshold: float = 0.95  # λ: a trial answer of more confidence ends the thought
    words: tuple[str, ...] = ("Wait",)  # what marks a transition in the thought
    inducer: str = "\n**Final Answer**\n\\boxed{"  # put after the thought so far, to get a trial answer
    closing: str = "\n</think>\n\n"  # put after the thought when it is ended
    trial_tokens: int = 64  # most tokens of a trial answer; a longer one ends nothing


def deer(reasoner: Reasoner, prompt_ids: list[int], settings: Deer) -> Method:
    """Ask for a trial answer at each transition word, and end the thought once the model is confident enough of it."""
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
            return [
                own_completion(
                    reasoner, prompt_ids, ids, answer.cut, trial_tokens=trials, confidences=tuple(confidences)
                )
            ]
        if part.stopped_by is None or left <= 0:
            cut = part.cut or part.stopped_by is not None
            return [
                own_completion(reasoner, prompt_ids, thought, cut, trial_tokens=trials, confidences=tuple(confidences))
            ]
        inducer_ids = reasoner.encode(settings.inducer)
        [trial] = yield [Request([*prompt_ids, *before, *inducer_ids], settings.trial_tokens, greedy=True)]
        trials += len(trial.token_ids)
        confidences.append(confidence(trial, reasoner, settings.inducer))
        if confidences[-1] > settings.threshold:
            [answer] = yield [exit_request(reasoner, prompt_ids, before, settings.closing)]
            return [
                exited_completion(
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
