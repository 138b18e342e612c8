"""Exit positions and rows: the cases of docs/cases.md and what must be true of each, in pure Python."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from tokenizers import decoders as token_decoders
from transformers import PreTrainedTokenizerFast

from sgrpo_verl.algorithm.serial_group import (
    ThoughtFormat,
    closing_of,
    draw_exit_positions,
    encode,
    eos_ids,
    exit_row,
    exit_seed,
    find_thought,
    full_row,
    in_pieces,
    opens_answer,
    special_token,
)
from sgrpo_verl.answers.reading import final_answer
from sgrpo_verl.correctness import ANSWER_ALONE, compute_score

EOS, CLOSE, OPEN = 0, [7, 8], [1, 2]  # the tags are two tokens here
WORDS = {
    0: "<eos>",
    1: "<thi",
    2: "nk>",
    3: "<think>\n",
    4: "\n",
    5: "\n\n",
    6: "nk>x",
    7: "</thi",
    8: "nk>",
    9: "</think>\n",
    10: "x</th",
    11: "ink>",
    12: "nk>4",
    13: "é",
}


def decode(ids):
    return "".join(WORDS.get(token, chr(ord("a") + token % 26)) for token in ids)


def thought_of(response, closing=CLOSE, prompt=(20,)):
    return find_thought(prompt, response, ThoughtFormat("<think>", "</think>", OPEN, closing, frozenset([EOS]), decode))


class TestExitPositions:
    @given(st.integers(0, 300), st.integers(1, 20), st.sampled_from(["uniform", "even"]), st.integers())
    def test_distinct_ascending_inside_the_thought(self, n, m, sampling, seed):
        positions = draw_exit_positions(n, m, sampling, seed)
        assert len(positions) == min(n, m)
        assert positions == sorted(set(positions))
        assert all(1 <= position <= n for position in positions)

    @given(st.integers(0, 300), st.integers(1, 20), st.integers())
    def test_seeded(self, n, m, seed):
        assert draw_exit_positions(n, m, "uniform", seed) == draw_exit_positions(n, m, "uniform", seed)

    def test_uniform(self):
        n, m, draws = 40, 8, 5_000
        counts = Counter(
            position
            for seed in range(draws)
            for position in draw_exit_positions(n, m, "uniform", exit_seed(seed, 1, 0, []))
        )
        assert set(counts) == set(range(1, n + 1))
        # Positions of one draw are distinct, so counts vary less than chi-square has it: the test is on the safe side.
        assert chisquare([counts[position] for position in range(1, n + 1)]).pvalue > 1e-3

    def test_even(self):
        assert draw_exit_positions(80, 8, "even", 0) == [10, 20, 30, 40, 50, 60, 70, 80]
        assert draw_exit_positions(3, 8, "even", 0) == [1, 2, 3]

    def test_the_seed_is_of_prompt_and_step(self):
        seeds = {
            exit_seed(seed, step, index, prompt)
            for seed in (0, 1)
            for step in (1, 2)
            for index in (0, 1)
            for prompt in ([1, 2], [1, 3])
        }
        assert len(seeds) == 16
        assert exit_seed(42, 3, 7, [1, 2, 3]) == exit_seed(42, 3, 7, (1, 2, 3))


class TestFindThought:
    def test_on_tokens(self):
        span = thought_of([20, 21, 7, 8, 22, EOS])
        assert (span.thought_end, span.answer_start, span.closed) == (2, 4, True)

    def test_the_first_one_closes(self):
        assert thought_of([20, 7, 8, 21, 7, 8, 22]).thought_end == 1

    def test_no_thought(self):
        span = thought_of([7, 8, 22, EOS])
        assert (span.thought_end, span.closed) == (0, True)

    def test_empty_response(self):
        span = thought_of([])
        assert (span.thought_end, span.answer_start, span.closed) == (0, 0, False)

    def test_never_closed(self):
        span = thought_of([20, 21, 22])
        assert (span.thought_end, span.answer_start, span.closed) == (3, 3, False)

    def test_never_closed_leaves_the_end_of_sequence_out_of_the_thought(self):
        assert thought_of([20, 21, EOS]).thought_end == 2

    def test_merged_with_what_follows(self):
        span = thought_of([20, 21, 9, 22, EOS])  # "</think>\n" is one token
        assert (span.thought_end, span.answer_start, span.closed) == (2, 3, True)

    def test_merged_with_what_comes_before(self):
        span = thought_of([20, 10, 11, 22])  # "x</th", "ink>"
        assert (span.thought_end, span.answer_start) == (1, 3)

    def test_an_answer_that_starts_in_the_closing_token_is_kept(self):
        span = thought_of([20, 7, 12, 22])  # "</thi", "nk>4"
        assert (span.thought_end, span.answer_start) == (1, 2)

    @pytest.mark.parametrize("second", [CLOSE, [9], [10, 11]])
    @pytest.mark.parametrize(("first", "thought_end"), [(CLOSE, 2), ([9], 2), ([10, 11], 2), ([7, 12], 2)])
    def test_the_first_one_closes_however_they_are_written(self, first, thought_end, second):
        """As tokens of their own, or merged with what is before or behind; the second is part of the answer."""
        span = thought_of([20, 21, *first, 22, *second, 23])
        start = 2 + len(first) - (first == [7, 12])  # the "4" behind that one is kept
        assert (span.thought_end, span.answer_start, span.closed) == (thought_end, start, True)

    @given(st.lists(st.integers(14, 30), max_size=30), st.lists(st.integers(14, 30), max_size=10), st.booleans())
    def test_any_two_closing_tags(self, thought, answer, merged_first):
        first, second = ([9], CLOSE) if merged_first else (CLOSE, [9])
        span = thought_of([*thought, *first, *answer, *second, 22])
        assert span.answer_start == len(thought) + len(first)
        assert span.thought_end == (len(thought) if thought else 0)

    @given(st.lists(st.integers(14, 30), max_size=30), st.lists(st.integers(14, 30), max_size=10))
    def test_any_thought_and_answer(self, thought, answer):
        span = thought_of([*thought, *CLOSE, *answer])
        assert (span.thought_end, span.answer_start) == (len(thought), len(thought) + 2)
        text = thought_of([*thought, 9, *answer])
        assert (text.thought_end, text.answer_start) == (len(thought), len(thought) + 1)


class TestTags:
    """Models that write the opening tag themselves, and templates that leave no thought."""

    def span(self, response, **more):
        span = thought_of(response, **more)
        return span.thought_start, span.thought_end, span.answer_start, span.closed

    def test_the_opening_tag_is_no_thought(self):
        assert self.span([1, 2, 20, 21, *CLOSE, 22]) == (2, 4, 6, True)
        assert self.span([3, 20, 21, *CLOSE, 22]) == (1, 3, 5, True)  # merged with its line break
        assert self.span([4, 1, 2, 20, *CLOSE, 22]) == (3, 4, 6, True)  # white space before it
        assert self.span([1, 6, 20, *CLOSE, 22]) == (2, 3, 5, True)  # merged with the thought's first word
        assert self.span([1, 2, 20, 21, EOS]) == (2, 4, 5, False)
        assert self.span([20, 1, 2, 21, *CLOSE]) == (0, 4, 6, True), "one inside the thought opens nothing"

    def test_what_stands_before_the_opening_tag_is_no_thought(self):
        """ "Sure. <think>…": the thought starts behind the tag, unless the prompt has opened it."""
        assert self.span([20, 4, 1, 2, 21, 22, *CLOSE, 23]) == (4, 6, 8, True)
        assert self.span([20, 21, 5, 3, 22, *CLOSE, 23]) == (4, 5, 7, True)
        assert self.span([20, 4, 1, 2, 21, 22]) == (4, 6, 6, False), "never closed"
        assert self.span([20, 4, 1, 2, 21, *CLOSE], prompt=[20, 1, 2, 4]) == (0, 5, 7, True), "opened by the prompt"
        assert self.span([1, 2, 21, *CLOSE], prompt=[20, 1, 2, 4]) == (2, 3, 5, True), "opened twice"

    @pytest.mark.parametrize("thought", [[], [4], [5, 4]])
    @pytest.mark.parametrize("opening", [[], [1, 2], [3]])
    def test_white_space_is_no_thought(self, opening, thought):
        span = thought_of([*opening, *thought, *CLOSE, 22, EOS])
        assert (span.thought_length, span.closed) == (0, True)
        assert span.answer_start == len(opening) + len(thought) + 2
        assert thought_of([*opening, *thought]).thought_length == 0

    def test_a_prompt_that_closes_the_thought_leaves_an_answer(self):
        """Qwen3 with enable_thinking=False: the prompt ends with <think>, </think> and two line breaks."""
        for prompt in ([20, 1, 2, 5, *CLOSE, 5], [20, 3, 4, 9, 4]):
            assert self.span([20, 21, 22, EOS], prompt=prompt) == (0, 0, 0, True)
        assert self.span([20, 21], prompt=[20, *CLOSE, 21]) == (0, 2, 2, False), "an earlier turn's"

    def test_without_an_opening_tag_of_its_own(self):
        form = ThoughtFormat("", "</think>", [], CLOSE, frozenset([EOS]), decode)
        span = find_thought([20], [1, 2, 20, *CLOSE], form)
        assert (span.thought_start, span.thought_end) == (0, 3)

    @given(st.integers(1, 3), st.lists(st.integers(14, 30), min_size=1, max_size=20), st.data())
    def test_an_exit_keeps_the_tag_and_p_tokens_of_the_thought(self, breaks, thought, data):
        response = [4] * breaks + [*OPEN, *thought, *CLOSE, 22]
        span = thought_of(response)
        position = data.draw(st.integers(1, span.thought_length))
        full = full_row(response, [1] * len(response), None, span)
        row = exit_row(full, position, CLOSE, [23], None, thought_start=span.thought_start)
        assert row.response_ids == [*[4] * breaks, *OPEN, *thought[:position], *CLOSE, 23]
        assert row.exit_position == position

    def test_what_ends_a_response(self):
        tokenizer = SimpleNamespace(eos_token_id=2)
        assert eos_ids(tokenizer, SimpleNamespace(eos_token_id=[5, 6])) == {2, 5, 6}
        assert eos_ids(tokenizer, SimpleNamespace(eos_token_id=5)) == {2, 5}
        assert eos_ids(tokenizer, SimpleNamespace(eos_token_id=None)) == eos_ids(tokenizer, None) == {2}
        form = ThoughtFormat("<think>", "</think>", OPEN, CLOSE, frozenset([EOS, 9]), decode)
        assert form.without_end([20, EOS, 21, 9, EOS]) == [20, EOS, 21]
        assert form.without_end([EOS]) == []


TOKENS = st.lists(st.integers(14, 50), max_size=40)

GPT_2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
QWEN = pre_tokenizers.Sequence(
    [
        pre_tokenizers.Split(Regex(r"\p{L}+|[^\s\p{L}]+[\r\n]*|\s*[\r\n]+|\s+"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
)


class TestWhiteSpaceAtTheEnd:
    """An exit prompt ends in line breaks, and its tokens must be those that the model knows before an answer."""

    @staticmethod
    def tokenizer(splits):
        """Bytes, and one token for two line breaks; ``splits`` decides where a text falls apart first."""
        vocabulary = {character: number for number, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
        line_break = GPT_2.pre_tokenize_str("\n")[0][0]
        model = models.BPE({**vocabulary, 2 * line_break: len(vocabulary)}, [(line_break, line_break)])
        bare = Tokenizer(model)
        bare.pre_tokenizer, bare.decoder = splits, token_decoders.ByteLevel()
        return PreTrainedTokenizerFast(tokenizer_object=bare)

    @pytest.mark.parametrize("splits", [GPT_2, QWEN])
    @pytest.mark.parametrize("text", ["stop.\n</think>\n\n", "</think>\n", "</think>\n\n\n", " \n", "a ", "a\n \n"])
    @pytest.mark.parametrize("answer", ["The answer", "12", "**4**"])
    def test_tokens_are_those_of_the_longer_text(self, splits, text, answer):
        tokenizer = self.tokenizer(splits)
        ids = encode(tokenizer, text, "</think>")
        assert tokenizer.decode(ids) == text
        assert tokenizer.encode(text + answer, add_special_tokens=False)[: len(ids)] == ids

    def test_a_phrase_that_is_a_word_of_the_vocabulary_merges_as_in_what_the_model_writes(self):
        tokenizer = self.tokenizer(GPT_2)
        assert tokenizer.convert_tokens_to_ids("#") is not None, "the case that this is about"
        assert encode(tokenizer, "\n\n#", "#") == tokenizer.encode("\n\n#", add_special_tokens=False)
        assert special_token(tokenizer, "#") is None

    def test_alone_they_are_others(self):
        """The case that this is about."""
        tokenizer = self.tokenizer(GPT_2)
        assert tokenizer.encode("a\n\n") != tokenizer.encode("a\n\nb")[:-1]

    def test_around_a_special_token(self):
        tokenizer = self.tokenizer(GPT_2)
        tokenizer.add_special_tokens({"additional_special_tokens": ["</think>"]})
        natural = tokenizer.encode("stop.\n</think>\n\nThe", add_special_tokens=False)
        assert encode(tokenizer, "stop.\n</think>\n\n", "</think>") == natural[:-3]

    def test_before_a_special_token_that_is_not_read_no_word_follows(self):
        tokenizer = self.tokenizer(GPT_2)
        tokenizer.add_special_tokens({"additional_special_tokens": ["</think>"]})
        natural = tokenizer.encode("stop.\n\n</think>\n\nThe", add_special_tokens=False)
        tokenizer.split_special_tokens = True
        assert encode(tokenizer, "stop.\n\n</think>\n\n", "</think>") == natural[:-3]


class TestSpecialTags:
    """Tokenizers that keep their special tokens out of what they encode."""

    @staticmethod
    def tokenizer(**options):
        plain = Tokenizer(models.BPE({character: number for number, character in enumerate("[/THINK] \nab")}, []))
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, **options)
        tokenizer.add_special_tokens({"additional_special_tokens": ["[/THINK]"]})
        return tokenizer

    @pytest.mark.parametrize("split", [False, True])
    def test_the_tag_is_one_token_of_the_exit_prompt(self, split):
        tokenizer = self.tokenizer(split_special_tokens=split)
        [tag] = [tokenizer.convert_tokens_to_ids("[/THINK]")]
        pieces = tokenizer.encode("[/THINK]", add_special_tokens=False)
        assert (len(pieces) > 1) == split, "the case that this is about"
        ids = encode(tokenizer, "ab\n[/THINK]\nb", "[/THINK]")
        assert ids.count(tag) == 1
        assert tokenizer.decode(ids).replace(" ", "") == "ab\n[/THINK]\nb"
        form = ThoughtFormat.of(tokenizer, "", "[/THINK]", frozenset())
        assert form.think_end_ids == [tag]
        assert not in_pieces(tokenizer, "[/THINK]")
        span = find_thought([], ids, form)
        assert (span.thought_end, span.answer_start, span.closed) == (ids.index(tag), ids.index(tag) + 1, True)

    def test_a_tag_that_is_no_token_is_encoded_as_it_is(self):
        tokenizer = self.tokenizer()
        assert encode(tokenizer, "ab", "ba") == tokenizer.encode("ab", add_special_tokens=False)
        assert not in_pieces(tokenizer, "ba")

    def test_one_that_cannot_be_encoded_is_known(self):
        """Its token stands for another text than its name."""
        tokenizer = SimpleNamespace(
            all_special_tokens=["[/THINK]"],
            convert_tokens_to_ids=lambda text: 9,
            unk_token_id=0,
            decode=lambda ids: "other",
            encode=lambda text, add_special_tokens: [1, 2, 3],
        )
        assert in_pieces(tokenizer, "[/THINK]")
        assert encode(tokenizer, "a[/THINK]", "[/THINK]") == [1, 2, 3]


BOX = "\\boxed{"
THOUGHTS = st.text(alphabet="so 8=\\(.{}\n", max_size=30).filter(lambda text: BOX not in text)
ANSWERS = st.sampled_from(["18}\\).", "-5} dollars", "\\$18}", "\\frac{1}{2}}", "(3,4)}", "1}, no: \\boxed{18}.", "18"])


class TestAnAnswerThatTheClosingPhraseOpens:
    """Instruct models without think tags: the thought ends where the box of the answer begins."""

    @staticmethod
    def tokens(text, cuts):
        """The text in pieces of any lengths, as a tokenizer may cut it, and their form."""
        places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
        pieces = [text[start:end] for start, end in pairwise(places)]
        known = dict(enumerate([*pieces, BOX]))  # the phrase alone is a token that the response may not have
        form = ThoughtFormat("", BOX, [], [len(pieces)], frozenset(), lambda ids: "".join(known[one] for one in ids))
        return list(range(len(pieces))), form

    @given(THOUGHTS, ANSWERS, st.lists(st.integers(0, 100), max_size=30))
    def test_it_begins_with_the_phrase_wherever_tokens_merge(self, thought, answer, cuts):
        ids, form = self.tokens(thought + BOX + answer, cuts)
        span = find_thought([], ids, form)
        kept, judged = form.decode(ids[: span.thought_end]), form.decode(ids[span.answer_start :])
        assert span.closed
        assert kept + judged == thought + BOX + answer
        assert BOX not in kept
        assert judged.endswith(BOX + answer)
        assert len(judged) - len(BOX + answer) < max(map(len, map(form.decode, ([one] for one in ids))))
        # A digit that shares a token with the phrase is seen, too: 8\boxed{18} holds no whole answer.
        assert final_answer(judged) in (final_answer(BOX + answer), final_answer(thought + BOX + answer))

    @given(st.lists(st.integers(0, 100), max_size=30))
    def test_an_exits_answer_begins_with_the_phrase_too(self, cuts):
        ids, form = self.tokens(f"Thus, the final answer is \\({BOX}", cuts)
        closing = form.decode(closing_of(ids, form))
        assert closing.endswith(BOX)
        assert final_answer(f"{closing}18}}\\)") == "18"

    @pytest.mark.parametrize("answer", ["}", "", " }. I do not know", "17}", "1"])
    def test_nothing_in_the_thought_makes_it_right(self, answer):
        """The reward function gets the answer from the phrase on; of the whole response, it would read the thought."""
        for thought in ("The answer is 18.", "#### 18", "<answer>18</answer>", "So \\fbox{18}"):
            assert compute_score("", f"{BOX}{answer}", "18", {ANSWER_ALONE: True}) == 0.0
            whole = compute_score("", f"{thought}\n{BOX}{answer}", "18")
            assert whole == float("}" in answer and "1" not in answer), "the case that this is about"

    @given(st.lists(st.integers(0, 100), max_size=30), st.sampled_from(["\n</think>\n\n", "</think>Final answer: "]))
    def test_words_behind_a_tag_begin_an_exits_answer_and_white_space_does_not(self, cuts, closing):
        ids, form = self.tokens(f"{closing}{BOX}", cuts)
        form = replace(form, think_end="</think>")
        words = closing.partition("</think>")[2].lstrip() + BOX  # white space may share a token with the tag
        assert form.decode(closing_of(ids, form)).endswith(words)
        ids, form = self.tokens("Stop.\n</think>\n\n", cuts)
        assert closing_of(ids, replace(form, think_end="</think>")) == []

    def test_what_opens_an_answer(self):
        phrases = (BOX, "\\(\\boxed{", "Answer: [", "(", "Final answer:", "**Answer:**", "####", "Answer: $", "答案是")
        marked = ("(Answer)", "<b>Final Answer:</b>", "[[Answer]]", "[ANSWER]", "[Final Answer]", "## Final Response")
        opening = ("</think>\n<answer>", "<answer>", "<final>", "<response>", "<CONCLUSION>", "\\begin{answer}")
        assert all(map(opens_answer, (*phrases, *marked, *opening, "</Thought>\n<Output>")))
        tags = (
            "</think>",
            "[/THINK]",
            "<|end_of_thought|>",
            "◁/think▷",
            "<|channel|>final<|message|>",
            "<|end|><|start|>assistant<|channel|>final<|message|>",
            "<|end_of_thought|>\n\n<|begin_of_solution|>",
            "</seed:think>",
            "<channel|>",
            "<transition>",
            "<end_of_transcript>",
            "<end_thinking_output>",
            "<answer></answer>",
        )
        assert not any(map(opens_answer, tags))
        form = ThoughtFormat("", "</think>", [], CLOSE, frozenset([EOS]), decode)
        assert closing_of([20, *CLOSE, 21], form) == [21], "what the exit prompt says of the answer"


class TestRows:
    @given(TOKENS, TOKENS, st.data(), st.booleans())
    def test_rows_reassemble_what_was_sampled(self, thought, answer, data, train_exit_prompt):
        response = [*thought, *CLOSE, *answer]
        log_probs = [-0.001 * position for position in range(len(response))]
        full = full_row(response, [1] * len(response), log_probs, thought_of(response))
        assert (full.response_ids, full.log_probs, full.response_mask) == (response, log_probs, [1] * len(response))
        assert full.answer_ids == answer

        exit_prompt = [5, 6, *CLOSE]
        for position in draw_exit_positions(len(thought), 8, "uniform", 0):
            early = data.draw(st.lists(st.integers(14, 50), min_size=1, max_size=5))
            early_log_probs = [-1.0 - index for index in range(len(early))]
            row = exit_row(full, position, exit_prompt, early, early_log_probs, train_exit_prompt)
            assert row.response_ids == thought[:position] + exit_prompt + early
            assert row.log_probs == log_probs[:position] + [0.0] * len(exit_prompt) + early_log_probs
            inserted = int(train_exit_prompt)
            assert row.response_mask == [1] * position + [inserted] * len(exit_prompt) + [1] * len(early)
            assert row.answer_ids == early
            assert row.exit_position == position

    def test_without_log_probs(self):
        full = full_row([20, *CLOSE], [1, 1, 1], None, thought_of([20, *CLOSE]))
        assert full.log_probs is None
        assert exit_row(full, 1, CLOSE, [22], None).log_probs is None

    @pytest.mark.parametrize("num_exits", [1, 8])
    def test_a_thought_shorter_than_the_exits(self, num_exits):
        assert draw_exit_positions(2, num_exits, "uniform", 3) in ([1], [2], [1, 2])
