"""Where the steps of a thought end, and which tokens of an exit prompt close the thought, both by the tokenizer's text.

Nothing is encoded again: every position found falls between two sampled tokens.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]
STEPS = ("lines", "sentences", "markers")
# ``gap`` is the white space between a step and the next one. A cut may fall anywhere in it, or at its ends.
_LINE = re.compile(r"\n(?P<gap>\s*)")
_SENTENCE = re.compile(r"(?:[.!?…][\"'”’)\]]*(?=\s)|[。！？]|\n)(?P<gap>\s*)")
_INCOMPLETE = "\ufffd"  # what decoding gives for the first bytes of a character
_LONGEST = 8  # tokens of one character, and more than any has: what is still incomplete then is no character


def text_and_ends(token_ids: Sequence[int], decode: Decode) -> tuple[str, list[int | None]]:
    """The text of tokens, and of each token where in it the token ends, in characters; None inside a character.

    Tokens are decoded behind the ones before them, because a tokenizer may write the first token of a text otherwise.
    """
    text, ends, start, done = "", list[int | None](), 0, 0  # tokens up to ``done`` are in the text
    for count in range(1, len(token_ids) + 1):
        known, longer = decode(token_ids[start:done]), decode(token_ids[start:count])
        if count - done < _LONGEST and (len(longer) <= len(known) or longer.endswith(_INCOMPLETE)):
            ends.append(None)
            continue
        text += longer[len(known) :]
        ends.append(len(text))
        start, done = done, count
    return text, ends


def step_ends(thought_ids: Sequence[int], decode: Decode, steps: str, markers: Sequence[str] = ()) -> list[int]:
    """The exit positions at which a step of the thought ends, ascending, each in [1, n − 1].

    The end of the whole thought is not among them: an exit there would be the full response over again. Nor is the
    beginning, if there is nothing but white space before it.

    Args:
        thought_ids: T_1 … T_n.
        steps: "lines" (a line break ends a step), "sentences" (so does ``.``, ``!`` or ``?`` before white space), or
            "markers" (a step ends before each of the words ``markers``).
    """
    text, ends = text_and_ends(thought_ids, decode)
    offsets = [(end, position) for position, end in enumerate(ends, start=1) if end is not None]
    found = set()
    for match in _pattern(steps, markers).finditer(text):
        first, last = match.span("gap")
        index = bisect_right(offsets, (last, len(ends))) - 1
        if index >= 0 and offsets[index][0] >= first:
            end, position = offsets[index]
            if text[:end].strip() and text[end:].strip():
                found.add(position)
    return sorted(found)


def _pattern(steps: str, markers: Sequence[str]) -> re.Pattern:
    if steps == "markers":
        # Only from the first of several blanks on: from each of them, a run of n blanks would take n² steps.
        return re.compile(rf"(?<!\s)(?P<gap>\s*)(?<!\w)(?:{'|'.join(map(re.escape, markers))})(?!\w)")
    return {"lines": _LINE, "sentences": _SENTENCE}[steps]


def closing_length(exit_prompt_ids: Sequence[int], decode: Decode, think_end: str) -> int | None:
    """How many tokens of an exit prompt close the thought: all up to the tag's last, white space before it included.

    None if words come before the tag. The policy's probability of the tag is then that after these words, not that of
    ending its thought here.
    """
    text, ends = text_and_ends(exit_prompt_ids, decode)
    before, tag, _ = text.partition(think_end)
    if not tag or before.strip():
        return None
    return next(count for count, end in enumerate(ends, start=1) if end is not None and end >= len(before + tag))
