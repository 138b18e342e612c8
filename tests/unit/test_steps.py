"""Ends of steps: every cut falls where the text says, however the tokenizer splits it."""

import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgrpo_verl.algorithm.steps import STEPS, closing_length, step_ends, text_and_ends

MARKERS = ("Wait", "Hmm")
TEXTS = st.text(st.sampled_from("ab3 .!?\n\t)é語。"), max_size=40)
WORDS = st.lists(st.sampled_from(["Wait", " Wait", "Waiting", "so", ". ", ".", "3.5", "\n", "\n\n", " ", "語。", "é"]))


class Tokens:
    """A tokenizer whose token i is the i-th piece of a text, in bytes; it decodes any run of them."""

    def __init__(self, text, cuts):
        raw = text.encode()
        bounds = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
        self.pieces = [raw[start:end] for start, end in itertools.pairwise(bounds)]

    @property
    def ids(self):
        return list(range(len(self.pieces)))

    def decode(self, ids):
        return b"".join(self.pieces[one] for one in ids).decode(errors="replace")

    def is_whole(self, position):
        """Whether no character is cut in two behind this many tokens."""
        try:
            b"".join(self.pieces[:position]).decode()
        except UnicodeDecodeError:
            return False
        return True


CUTS = st.lists(st.integers(0, 200), max_size=40)


@given(TEXTS, CUTS)
def test_text_and_ends_are_those_of_the_whole(text, cuts):
    tokens = Tokens(text, cuts)
    found, ends = text_and_ends(tokens.ids, tokens.decode)
    assert found == text
    for position, end in enumerate(ends, start=1):
        assert (end is not None) == tokens.is_whole(position)
        assert end is None or tokens.decode(tokens.ids[:position]) == text[:end]


@given(WORDS.map("".join), CUTS, st.sampled_from(STEPS))
def test_a_cut_is_between_two_steps_that_say_something(text, cuts, steps):
    tokens = Tokens(text, cuts)
    positions = step_ends(tokens.ids, tokens.decode, steps, MARKERS)
    assert positions == sorted(set(positions))
    for position in positions:
        before, after = tokens.decode(tokens.ids[:position]), tokens.decode(tokens.ids[position:])
        assert before + after == text
        assert before.strip()
        assert after.strip()
        line = "\n" in re.search(r"\s*$", before).group() or "\n" in re.match(r"\s*", after).group()
        sentence = bool(re.search(r"[.!?。][\"')\]]*\s*$", before))
        marker = bool(re.match(r"\s*(Wait|Hmm)(?!\w)", after))
        assert {"lines": line, "sentences": line or sentence, "markers": marker}[steps]


@given(WORDS.map("".join))
def test_with_a_token_a_character_every_line_end_is_found(text):
    tokens = Tokens(text, range(len(text.encode()) + 1))
    found = len(step_ends(tokens.ids, tokens.decode, "lines"))
    assert found == len([line for line in text.split("\n") if line.strip()]) - 1 or not text.strip()


class TestStepEnds:
    def pieces(self, *pieces):
        decode = lambda ids: "".join(pieces[one] for one in ids)  # noqa: E731
        return {
            steps: ["".join(pieces[:end]) for end in step_ends(range(len(pieces)), decode, steps, MARKERS)]
            for steps in STEPS
        }

    def test_lines(self):
        found = self.pieces("3+5=8", "\n", "8+7", "=15", "\n\n", "  ", "Wait", "\n")
        assert found["lines"] == ["3+5=8\n", "3+5=8\n8+7=15\n\n  "]

    def test_the_end_of_the_thought_is_left_to_the_full_response(self):
        assert self.pieces("3+5=8", "\n")["lines"] == []
        assert self.pieces("\n", "3+5=8")["lines"] == []

    def test_sentences(self):
        found = self.pieces("It is", " 3", ".", "5", " kg", ".", " So", " (", "no", "?)", "\n\n", "Yes", "!")
        assert found["sentences"] == ["It is 3.5 kg.", "It is 3.5 kg. So (no?)\n\n"]

    def test_markers_are_whole_words(self):
        found = self.pieces("So", ".", " Wait", ",", " Wait", "ing", " \n", "Hmm", " Wait")
        assert found["markers"] == ["So.", "So. Wait, Waiting \n", "So. Wait, Waiting \nHmm"]

    def test_a_line_break_inside_a_token_is_no_place_to_cut(self):
        assert self.pieces("a", "b\nc", "d")["lines"] == []


@pytest.mark.parametrize(
    ("pieces", "length"),
    [
        (["</think>", "\n\n"], 1),
        (["</", "think", ">\n\n"], 3),
        (["\n", "</think>", "\n\n", "The answer"], 2),
        (["Stop.", "\n", "</think>"], None),
    ],
)
def test_the_tokens_that_close_a_thought(pieces, length):
    assert closing_length(range(len(pieces)), lambda ids: "".join(pieces[one] for one in ids), "</think>") == length


def test_a_model_that_repeats_itself_without_end_takes_no_longer():
    """Blanks, and bytes that make no character: both once took a time that grew with the square of their number."""

    class Counting(Tokens):
        decoded = 0

        def decode(self, ids):
            self.decoded += len(ids)
            return super().decode(ids)

    started = time.monotonic()
    for marker, ends in (("Wait", [2]), ("then", [])):
        blanks = Tokens("so" + "\n" * 100_000 + marker, [2, 100_002])
        assert step_ends(blanks.ids, blanks.decode, "markers", MARKERS) == ends
    assert time.monotonic() - started < 30, "it once took minutes"
    broken = Counting("so", [])
    broken.pieces += [b"\xff"] * 5_000
    text, ends = text_and_ends(broken.ids, broken.decode)
    assert (len(ends), text) == (5_001, "so" + "\ufffd" * len(text[2:]))
    assert len(text) > 4_900
    assert broken.decoded < 30 * len(broken.ids)
