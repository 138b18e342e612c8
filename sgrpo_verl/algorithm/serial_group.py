"""The serial group in pure Python: where a thought is cut, and the rows that result.

A *row* is what the policy is trained on: the response's tokens, which of them it sampled, and with which log-probs.
Row i of a group is the thought up to exit position P_i, the exit prompt, and the answer C_i; the last row is the full
response. docs/method.md has the algorithm.
"""

import hashlib
import random
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

LONGEST_TAIL = 32  # tokens of a prompt that can hold the end of a closed thought
WORD = "A"  # one token of its own in nearly any vocabulary; without it, a text is encoded alone
# One tag or several; a word may stand between special tokens, as in <|channel|>final<|message|>.
_TAG = re.compile(r"(?:\s*(?:<\|[^<>]*\|>\w*|<[^<>]*>|\[[^\[\]]*\]|◁[^◁▷]*▷))+\s*")
_ANSWER_TAG = re.compile(
    r"[<\[](?![/|]|end)(?:[^<>\[\]]*answer|ans\b|final|solution|result|response|output|conclusion)[^<>\[\]]*[>\]]\s*$",
    re.IGNORECASE,
)
Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class ThoughtFormat:
    """How a model writes its thoughts, and what ends its responses."""

    think_start: str  # opens a thought; absent from a response where the chat template wrote it
    think_end: str  # closes a thought
    think_start_ids: Sequence[int]
    think_end_ids: Sequence[int]
    eos_ids: frozenset[int]  # every token that ends a response, see ``eos_ids``
    decode: Decode  # keeps special tokens

    @classmethod
    def of(cls, tokenizer: Any, think_start: str, think_end: str, eos_ids: frozenset[int]) -> "ThoughtFormat":
        """The format as a Hugging Face tokenizer writes it."""
        start_ids, end_ids = (encode(tokenizer, text, text) for text in (think_start, think_end))
        return cls(think_start, think_end, start_ids, end_ids, eos_ids, tokenizer.decode)

    def without_end(self, token_ids: Sequence[int]) -> list[int]:
        """Token ids without the end-of-sequence tokens behind them."""
        end = len(token_ids)
        while end and token_ids[end - 1] in self.eos_ids:
            end -= 1
        return list(token_ids[:end])


def opens_answer(think_end: str) -> bool:
    r"""Whether what closes a thought is the beginning of the answer, as every phrase is, and a tag is not.

    Reward functions look for the phrase: without ``\boxed{``, ``####`` or "Final answer:", the answer would be ``18}``
    or 18, in which they find none. Of tags, only those that open an answer are a part of it, such as ``<answer>``.
    """
    return not _TAG.fullmatch(think_end) or bool(_ANSWER_TAG.search(think_end))


def encode(tokenizer: Any, text: str, tag: str) -> list[int]:
    """A text's tokens, as the model knows them where a word follows.

    At the end of a text, a tokenizer of GPT-2's kind makes one token of two line breaks. Before a word they are two, so
    a model that has only ever seen the two does not know how to go on after the one. And ``tag`` is one token if the
    tokenizer has one for it, also where it reads no such text: some keep special tokens out of what they encode.
    """
    token_ids = _encode_before_word(tokenizer, text)
    token = special_token(tokenizer, tag)
    if token is None or token in token_ids or tag not in text:
        return token_ids
    *before, last = text.split(tag)  # only the last part may be followed by a word
    parts = [tokenizer.encode(part, add_special_tokens=False) if part else [] for part in before]
    parts.append(_encode_before_word(tokenizer, last) if last else [])
    return [one for number, part in enumerate(parts) for one in ([token, *part] if number else part)]


def _encode_before_word(tokenizer: Any, text: str) -> list[int]:
    """A text's tokens; white space at its end is encoded as before a word, unless it is a part of the word's token."""
    alone = list(tokenizer.encode(text, add_special_tokens=False))
    if not text[-1:].isspace():
        return alone
    *before, word = tokenizer.encode(f"{text}{WORD}", add_special_tokens=False)
    known = tokenizer.decode([word]) == WORD and tokenizer.decode(before) == tokenizer.decode(alone)
    return before if known else alone


def special_token(tokenizer: Any, tag: str) -> int | None:
    """The one token that a text is to a tokenizer, or None."""
    find = getattr(tokenizer, "convert_tokens_to_ids", None)
    token = find(tag) if find and tag else None
    known = isinstance(token, int) and token != getattr(tokenizer, "unk_token_id", None)
    special = _TAG.fullmatch(tag) or tag in _special_tokens(tokenizer)  # and no phrase that is a word of the vocabulary
    return token if known and special and tokenizer.decode([token]).strip() == tag else None


def _special_tokens(tokenizer: Any) -> set[str]:
    return {*getattr(tokenizer, "all_special_tokens", ()), *getattr(tokenizer, "get_added_vocab", dict)()}


def in_pieces(tokenizer: Any, tag: str) -> bool:
    """Whether a tokenizer has ``tag`` as a token of its own, and yet it is encoded in pieces."""
    return tag in _special_tokens(tokenizer) and len(encode(tokenizer, tag, tag)) > 1


def eos_ids(tokenizer: Any, generation_config: Any) -> frozenset[int]:
    """Every token that ends a response: the generation config's, of which there may be several, and the tokenizer's.

    These are what vLLM stops at. They need not be special tokens of the tokenizer, nor is each of those one of them.
    """
    configured = getattr(generation_config, "eos_token_id", None)
    several = configured if isinstance(configured, list | tuple) else [configured]
    return frozenset(one for one in (*several, tokenizer.eos_token_id) if one is not None)


@dataclass(frozen=True)
class ThoughtSpan:
    """Where the thought of a response starts and ends and its answer starts, in tokens.

    ``response[thought_start:thought_end]`` is the thought T_1 … T_n without what opens and closes it,
    ``response[answer_start:]`` the answer C_0, which begins with what closes the thought if that opens it, see
    ``opens_answer``. Not closed: the whole response is the thought (an end-of-sequence token apart), and there is no
    answer. A thought that is nothing but white space is no thought: its length is 0.
    """

    thought_start: int
    thought_end: int
    answer_start: int
    closed: bool

    @property
    def thought_length(self) -> int:
        """n."""
        return self.thought_end - self.thought_start


@dataclass(frozen=True)
class Row:
    """One row of a serial group: lists of one length, except ``log_probs``, which may be missing altogether."""

    response_ids: list[int]
    response_mask: list[int]  # 1: sampled by the policy (or trained on by choice), 0: the inserted exit prompt
    log_probs: list[float] | None  # 0.0 where nothing was sampled
    answer_ids: list[int]  # what comes after the exit prompt, or after the full thought is closed
    exit_position: int | None  # P_i, in tokens of the thought; None for the full response


def find_thought(prompt_ids: Sequence[int], response_ids: Sequence[int], form: ThoughtFormat) -> ThoughtSpan:
    """The thought of a sampled response, between its opening tag, where it writes one, and the first closing tag.

    The tags are found by their tokens, or by their text where they merged with their neighbours. Nothing is encoded
    again: positions always fall between two sampled tokens. A prompt that ends on a closed thought (a chat template
    that switches thinking off) leaves only an answer, and so does an empty closing tag. What stands before the
    opening tag is no part of the thought, unless the prompt has opened it.
    """
    prompt_end = _end_of(prompt_ids, form)
    if _closes(prompt_end, form):
        return ThoughtSpan(0, 0, 0, closed=True)
    response = list(response_ids)
    end, answer_start, closed = _find_end(response, form)
    if closed and opens_answer(form.think_end):
        answer_start = end
    opened = bool(form.think_start) and prompt_end.endswith(form.think_start)
    start = min(_find_start(response[:end], form, opened), end)
    if not form.decode(response[start:end]).strip():
        start = end
    return ThoughtSpan(start, end, answer_start, closed)


def _end_of(prompt_ids: Sequence[int], form: ThoughtFormat) -> str:
    return form.decode(list(prompt_ids)[-LONGEST_TAIL:]).rstrip()


def _closes(prompt_end: str, form: ThoughtFormat) -> bool:
    return prompt_end.endswith(form.think_end.rstrip())


def closed_at(prompt_ids: Sequence[int], response_ids: Sequence[int], form: ThoughtFormat) -> int:
    """How many tokens of a response hold its thought and all of what closes it; more than there are if nothing does."""
    response = list(response_ids)
    if _closes(_end_of(prompt_ids, form), form):
        return 0
    _, end, _ = _find_end(response, form)
    return end if form.think_end in form.decode(response[:end]) else end + 1


def _find_end(response: list[int], form: ThoughtFormat) -> tuple[int, int, bool]:
    """Where the thought ends, where the answer starts, and whether the thought is closed."""
    closing = list(form.think_end_ids)
    starts = range(len(response) - len(closing) + 1)
    start = next((start for start in starts if response[start : start + len(closing)] == closing), None)
    before = response if start is None else response[:start]
    if form.think_end in (text := form.decode(before)):  # merged with its neighbours, and the first one counts
        return *_find_in_text(before, text.index(form.think_end), form.think_end, form.decode), True
    if start is not None:
        return start, start + len(closing), True
    return len(form.without_end(response)), len(response), False


def _find_start(thought: list[int], form: ThoughtFormat, opened: bool) -> int:
    """The tokens up to the end of the opening tag, what precedes it included; 0 if there is none."""
    text = form.decode(thought)
    at = text.find(form.think_start) if form.think_start else -1
    inside = at > 0 and text[at - 1].isalnum()  # a word goes on into it: a thought that speaks of the tag
    if at < 0 or inside or (opened and text[:at].strip()):
        return 0
    counts = range(len(thought) + 1)
    return bisect_left(counts, True, key=lambda count: form.think_start in form.decode(thought[:count]))


def _find_in_text(response: list[int], start: int, think_end: str, decode: Decode) -> tuple[int, int]:
    """Thought's end and answer's start where ``think_end``, at character ``start``, is no token sequence of its own."""
    # Both questions are monotonic in the number of tokens, so a few decodes answer them.
    counts = range(len(response) + 1)
    answer_start = bisect_left(counts, True, key=lambda count: think_end in decode(response[:count]))
    thought_end = bisect_left(counts, True, key=lambda count: len(decode(response[:count])) > start) - 1
    after = decode(response[:answer_start])[start + len(think_end) :]
    if (
        after.strip()
    ):  # the closing token holds the answer's beginning too: an answer with a stray ">" beats half an answer
        answer_start -= 1
    return thought_end, answer_start


def closing_of(exit_prompt_ids: Sequence[int], form: ThoughtFormat) -> list[int]:
    """The tokens of an exit prompt that an early exit's answer begins with: its words behind ``think_end``.

    They begin with ``think_end`` where it opens the answer. A full response's answer begins in the same way.
    """
    end, answer_start, _ = _find_end(list(exit_prompt_ids), form)
    beginning = list(exit_prompt_ids[end if opens_answer(form.think_end) else answer_start :])
    return beginning if form.decode(beginning).strip() else []


def exit_seed(seed: int, global_step: int, prompt_index: object, prompt_ids: Sequence[int]) -> int:
    """One seed per prompt and step: the same run again draws the same exits, whatever order its prompts finish in."""
    text = repr((seed, global_step, str(prompt_index), list(prompt_ids)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def draw_exit_positions(num_positions: int, num_exits: int, sampling: str, seed: int) -> list[int]:
    """m exit positions in [1, n], distinct and ascending (S-GRPO, "Early-exit rollout"); fewer where n < m.

    Args:
        num_positions: n, how many positions of the thought may be cut at; 0 gives no exits.
        num_exits: m.
        sampling: "uniform" (every set of m positions equally likely) or "even" (equally spaced, the last one at n).
        seed: decides the uniform draw; see ``exit_seed``.
    """
    count = min(num_exits, num_positions)
    if sampling == "even":
        return [(position * num_positions) // count for position in range(1, count + 1)]
    return sorted(random.Random(seed).sample(range(1, num_positions + 1), count))


def full_row(
    response_ids: Sequence[int], response_mask: Sequence[int], log_probs: Sequence[float] | None, span: ThoughtSpan
) -> Row:
    """The group's last row: the full response as it was sampled. Its answer is empty where the thought never closed."""
    return Row(
        list(response_ids),
        list(response_mask),
        None if log_probs is None else list(log_probs),
        list(response_ids[span.answer_start :]),
        None,
    )


def exit_row(
    full: Row,
    exit_position: int,
    exit_prompt_ids: Sequence[int],
    answer_ids: Sequence[int],
    answer_log_probs: Sequence[float] | None,
    train_exit_prompt: bool = False,
    thought_start: int = 0,
) -> Row:
    """The early exit at P_i: T_1 … T_{P_i}, the exit prompt, C_i; the exit prompt's mask is 0 unless trained on.

    ``thought_start`` is where T_1 stands in the full response: what opens the thought stays before it.
    """
    inserted, cut = len(exit_prompt_ids), thought_start + exit_position
    log_probs = None
    if full.log_probs is not None and answer_log_probs is not None:
        log_probs = [*full.log_probs[:cut], *[0.0] * inserted, *answer_log_probs]
    return Row(
        [*full.response_ids[:cut], *exit_prompt_ids, *answer_ids],
        [*full.response_mask[:cut], *[int(train_exit_prompt)] * inserted, *[1] * len(answer_ids)],
        log_probs,
        list(answer_ids),
        exit_position,
    )
