"""Ways to spend tokens on a problem: vanilla, exits, budget, truncate-like, no-think. One more is ``deer``.

Each is a generator. It yields all requests that it needs next, is sent what was generated, and returns its completions.
So one engine can run the generators of a thousand problems side by side, and a test can run one by hand.
"""

from collections.abc import Sequence

from sgrpo_verl.algorithm.serial_group import closed_at, draw_exit_positions
from sgrpo_verl.eval.response import Method, Reasoner, Request, exit_request, exited_completion, own_completion


def vanilla(reasoner: Reasoner, prompt_ids: list[int]) -> Method:
    """The model as it is."""
    [response] = yield [Request(prompt_ids, reasoner.max_tokens)]
    return [own_completion(reasoner, prompt_ids, response.token_ids, response.cut)]


def exits(reasoner: Reasoner, prompt_ids: list[int], num_exits: int) -> Method:
    """A serial group: the model's own response, and early exits at even distances in its thought, the last at its end.

    The exits' completions come in their order, and the full response is the last.
    """
    [response] = yield [Request(prompt_ids, reasoner.max_tokens)]
    ids = response.token_ids
    span = reasoner.find(ids, prompt_ids)
    positions = draw_exit_positions(span.thought_length, num_exits, "even", 0)
    cuts = [ids[: span.thought_start + position] for position in positions]
    answers = yield [exit_request(reasoner, prompt_ids, cut, reasoner.exit_prompt) for cut in cuts]
    of_thought = span.thought_length
    return [
        *(
            exited_completion(
                reasoner, prompt_ids, cut, reasoner.exit_prompt, answer, exit_index=index, of_thought=of_thought
            )
            for index, (cut, answer) in enumerate(zip(cuts, answers, strict=True), start=1)
        ),
        own_completion(reasoner, prompt_ids, ids, response.cut, of_thought=of_thought),
    ]


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
    answers = yield [exit_request(reasoner, prompt_ids, cut, reasoner.exit_prompt) for cut in forced.values()]
    completions = {
        cap: exited_completion(reasoner, prompt_ids, cut, reasoner.exit_prompt, answer, cap=cap)
        for (cap, cut), answer in zip(forced.items(), answers, strict=True)
    }
    kept = ids[: closed_at(prompt_ids, ids, reasoner.form) + reasoner.answer_tokens] if own else []
    for cap in own:
        completions[cap] = own_completion(reasoner, prompt_ids, kept, response.cut or len(kept) < len(ids), cap=cap)
    return [completions[cap] for cap in caps]


def truncate_like(reasoner: Reasoner, prompt_ids: list[int], thought_tokens: int) -> Method:
    """Hard truncation: cut the thought at a given length and force an answer; a shorter thought ends by itself."""
    ids: list[int] = []
    opening = 0
    if thought_tokens:
        [start] = yield [Request(prompt_ids, thought_tokens + reasoner.tag_tokens)]
        ids = start.token_ids
        span = reasoner.find(ids, prompt_ids)
        if not span.closed and not start.cut:
            return [own_completion(reasoner, prompt_ids, ids, cut=False)]
        opening = span.thought_start
        if span.closed and span.thought_length <= thought_tokens:
            kept = ids[: closed_at(prompt_ids, ids, reasoner.form)]
            [answer] = yield [Request([*prompt_ids, *kept], reasoner.answer_tokens)]
            return [own_completion(reasoner, prompt_ids, [*kept, *answer.token_ids], answer.cut)]
    elif prompt_ids != (opened := reasoner.opened(prompt_ids)):
        return (yield from _without_thought(reasoner, opened))
    thought_ids = ids[: opening + thought_tokens]
    [answer] = yield [exit_request(reasoner, prompt_ids, thought_ids, reasoner.exit_prompt)]
    return [exited_completion(reasoner, prompt_ids, thought_ids, reasoner.exit_prompt, answer)]


def no_think(reasoner: Reasoner, prompt_ids: list[int]) -> Method:
    """The exit prompt at once."""
    return (yield from _without_thought(reasoner, reasoner.opened(prompt_ids)))


def _without_thought(reasoner: Reasoner, opened_ids: list[int]) -> Method:
    [answer] = yield [exit_request(reasoner, opened_ids, [], reasoner.exit_prompt)]
    return [exited_completion(reasoner, opened_ids, [], reasoner.exit_prompt, answer)]
