"""The evaluation methods, run by hand against a scripted model: what they ask for, and what they make of it."""

import dataclasses
import math

import pytest

from sgrpo_verl.eval import deer as dynamic_exit
from sgrpo_verl.eval import methods
from sgrpo_verl.eval.deer import Deer
from sgrpo_verl.eval.response import Generated, Reasoner
from sgrpo_verl.settings.config import EXIT_PROMPT, THINK_END
from sgrpo_verl.workbench.tasks import TASKS
from sgrpo_verl.workbench.tokenizer import build_tokenizer

TOKENIZER = build_tokenizer(TASKS["sums"])
THOUGHT = "3+5=8\n8+7=15\nWait, check again.\n3+5=8\n8+7=15\n"
ANSWER = "Answer: \\boxed{15}"
INDUCER = EXIT_PROMPT + "Answer: \\boxed{"


def encode(text):
    return TOKENIZER.encode(text, add_special_tokens=False)


def reasoner(max_tokens=200, answer_tokens=20):
    return Reasoner(TOKENIZER, "<think>", THINK_END, EXIT_PROMPT, max_tokens, answer_tokens, frozenset([EOS]))


PROMPT = TOKENIZER.apply_chat_template(
    [{"role": "user", "content": "3+5+7=?"}], add_generation_prompt=True, tokenize=True, return_dict=False
)
EOS = TOKENIZER.eos_token_id


class Script:
    """A model that goes on with ``text`` wherever the prompt is a beginning of it, and answers when told to."""

    def __init__(self, text=f"{THOUGHT}{THINK_END}\n\n{ANSWER}", answer=ANSWER, probability=0.99):
        self.ids, self.answer, self.log_prob = [*encode(text), EOS], [*encode(answer), EOS], math.log(probability)
        self.requests = []

    def generate(self, request):
        self.requests.append(request)
        after = request.prompt_ids[len(PROMPT) :]
        if self.ids[: len(after)] == after:
            ids = self.ids[len(after) :]
        elif TOKENIZER.decode(after).endswith("\\boxed{"):
            ids = [*encode("15}"), EOS]
        else:
            ids = self.answer
        cut = len(ids) > request.max_tokens
        ids = ids[: request.max_tokens]
        for count in range(1, len(ids) + 1):
            for stop in request.stop:
                if stop in TOKENIZER.decode(ids[:count]):
                    return Generated(ids[:count], None, stop, False)
        return Generated(ids, [self.log_prob] * len(ids) if request.greedy else None, None, cut)


def run(method, script):
    requests = next(method)
    try:
        while True:
            requests = method.send([script.generate(request) for request in requests])
    except StopIteration as ended:
        return ended.value


def test_vanilla():
    [completion] = run(methods.vanilla(reasoner(), PROMPT), Script())
    assert (completion.thought, completion.answer) == (THOUGHT, f"\n\n{ANSWER}")
    assert completion.thought_tokens == len(encode(THOUGHT))
    assert completion.response_tokens == completion.thought_tokens + 1 + completion.answer_tokens
    assert completion.closed
    assert not completion.exited
    assert not completion.cut


@pytest.mark.parametrize("num_exits", [1, 3, 1000])
def test_exits_are_spread_over_one_thought_and_its_own_response_comes_last(num_exits):
    script = Script()
    *exits, full = run(methods.exits(reasoner(), PROMPT, num_exits), script)
    assert (full.answer, full.exit_index, full.exited, full.of_thought) == (
        f"\n\n{ANSWER}",
        None,
        False,
        len(encode(THOUGHT)),
    )
    assert len(exits) == len(script.requests) - 1 == min(num_exits, len(encode(THOUGHT)))
    assert [one.exit_index for one in exits] == list(range(1, len(exits) + 1))
    assert exits[-1].thought == full.thought == THOUGHT, "the last exit is where the thought ends"
    for index, one in enumerate(exits, start=1):
        assert one.thought_tokens == index * len(encode(THOUGHT)) // len(exits)
        assert THOUGHT.startswith(one.thought)
        assert (one.answer, one.of_thought, one.inserted_tokens) == (ANSWER, full.of_thought, len(encode(EXIT_PROMPT)))


def test_a_response_without_a_thought_has_no_exits():
    [full] = run(methods.exits(reasoner(), PROMPT, 4), Script(text=f"{THINK_END}{ANSWER}"))
    assert (full.exit_index, full.of_thought) == (None, 0)


def test_vanilla_cut_in_its_thought_has_no_answer():
    [completion] = run(methods.vanilla(reasoner(max_tokens=10), PROMPT), Script(f"\\boxed{{15}} {THOUGHT}"))
    assert (completion.closed, completion.cut, completion.answer) == (False, True, "")
    assert completion.response_tokens == completion.thought_tokens == 10


def test_without_a_closing_tag_the_whole_response_is_the_answer():
    """A model that writes no thoughts: --think-end ''."""
    plain = dataclasses.replace(reasoner(), think_end="")
    [completion] = run(methods.vanilla(plain, PROMPT), Script(f"So it is 15.\n{ANSWER}"))
    assert (completion.thought, completion.answer) == ("", f"So it is 15.\n{ANSWER}")
    assert (completion.closed, completion.thought_tokens) == (True, 0)
    assert completion.answer_tokens == completion.response_tokens


def test_an_answer_begins_with_the_phrase_that_opens_it():
    """A model without think tags: its thought is what stands before the box, and its answer the box."""
    box, lead = "\\boxed{", "\nSo the answer is \\boxed{"
    boxes = dataclasses.replace(reasoner(), think_start="", think_end=box, exit_prompt=lead)
    text = "3+5=8\n8+7=15\nAnswer: \\boxed{15}, or \\boxed{16}"
    for method in (
        methods.exits(boxes, PROMPT, 4),
        methods.budget(boxes, PROMPT, (3, 100)),
        methods.vanilla(boxes, PROMPT),
    ):
        *forced, own = run(method, Script(text))
        assert (own.thought, own.answer) == ("3+5=8\n8+7=15\nAnswer: ", "\\boxed{15}, or \\boxed{16}")
        assert all(one.answer == "\\boxed{15}" and box not in one.thought for one in forced)
        assert all(one.answer_tokens == len(encode("15}")) + 1 for one in forced), "what was inserted is no token of it"
    assert run(methods.truncate_like(boxes, PROMPT, own.thought_tokens), Script(text)) == [own]
    room = len(encode("15}"))
    *_, own = run(methods.budget(dataclasses.replace(boxes, answer_tokens=room), PROMPT, (3, 100)), Script(text))
    assert own.answer == "\\boxed{15}", (
        "the phrase takes no room from the answer, which it does not where it is inserted"
    )
    short = methods.truncate_like(boxes, PROMPT, own.thought_tokens)
    next(short)
    [request] = short.send([Generated(encode(text), None, None, True)])
    assert TOKENIZER.decode(request.prompt_ids).endswith(box), "a thought that is closed stays closed"
    [blind] = run(methods.no_think(boxes, PROMPT), Script(text))
    assert (blind.thought, blind.answer) == ("", "\\boxed{15}")


def test_a_prompt_that_closes_the_thought_leaves_an_answer():
    prompt = [*PROMPT, *encode(f"\n{THINK_END}\n\n")]
    [request] = next(methods.vanilla(reasoner(), prompt))
    assert request.prompt_ids == prompt
    [completion] = run(methods.vanilla(reasoner(), prompt), Script())
    assert (completion.thought, completion.answer) == ("", ANSWER)
    assert completion.closed


def test_an_answer_after_a_prompt_that_closes_the_thought_has_the_same_room():
    prompt, text = [*PROMPT, *encode(f"\n{THINK_END}\n\n")], f"{ANSWER}, or \\boxed{{16}}"
    script = Script()
    script.ids = [*encode(text), EOS]
    script.generate = lambda request: Generated(script.ids[: request.max_tokens], None, None, False)
    [completion] = run(methods.budget(reasoner(answer_tokens=3), prompt, (5,)), script)
    assert (completion.answer_tokens, completion.cut) == (3, True)
    method = methods.truncate_like(reasoner(answer_tokens=3), prompt, 5)
    next(method)
    [request] = method.send([Generated([*encode(text), EOS], None, None, False)])
    assert request.prompt_ids == prompt, "it is answered from there, and nothing goes on behind the end"


def test_budget_cuts_at_each_cap_and_leaves_a_shorter_thought_alone():
    length = len(encode(THOUGHT))
    caps = (1, 7, length - 1, length, 100)
    completions = run(methods.budget(reasoner(), PROMPT, caps), Script())
    assert [completion.cap for completion in completions] == list(caps)
    assert [completion.thought_tokens for completion in completions] == [1, 7, length - 1, length, length]
    assert [completion.exited for completion in completions] == [True, True, True, False, False]
    inserted = len(encode(EXIT_PROMPT))
    assert [completion.inserted_tokens for completion in completions] == [inserted] * 3 + [0] * 2
    assert all(ANSWER in completion.answer for completion in completions)


def test_budget_gives_every_answer_the_same_room():
    completions = run(methods.budget(reasoner(answer_tokens=3), PROMPT, (5, 100)), Script())
    assert [completion.answer_tokens for completion in completions] == [3, 3]
    assert all(completion.cut for completion in completions)


def test_budget_where_the_thought_never_closes():
    completions = run(methods.budget(reasoner(), PROMPT, (5, 20)), Script("3+5=8\n" * 200))
    assert [(completion.thought_tokens, completion.exited) for completion in completions] == [(5, True), (20, True)]


@pytest.mark.parametrize("length", [0, 1, 9, 1000])
def test_truncate_like(length):
    script = Script()
    [completion] = run(methods.truncate_like(reasoner(), PROMPT, length), script)
    own = len(encode(THOUGHT))
    assert completion.thought_tokens == min(length, own)
    assert completion.exited == (length < own)
    assert completion.thought == TOKENIZER.decode(encode(THOUGHT)[:length])
    assert ANSWER in completion.answer
    assert not completion.cut


def test_truncate_like_at_its_own_length_is_vanilla():
    [cut] = run(methods.truncate_like(reasoner(), PROMPT, len(encode(THOUGHT))), Script())
    [own] = run(methods.vanilla(reasoner(), PROMPT), Script())
    assert cut == own


def test_no_think_opens_the_thought_where_the_template_does_not():
    script = Script()
    [completion] = run(methods.no_think(reasoner(), PROMPT), script)
    assert script.requests[0].prompt_ids == [*PROMPT, *encode(EXIT_PROMPT)]
    assert (completion.thought_tokens, completion.exited) == (0, True)
    bare = PROMPT[: -len(encode("<think>\n"))]
    [request] = next(methods.no_think(reasoner(), bare))
    assert TOKENIZER.decode(request.prompt_ids).endswith(f"<think>\n{EXIT_PROMPT}")


def deer(script, max_tokens=200, **settings):
    method = dynamic_exit.deer(reasoner(max_tokens), PROMPT, Deer(inducer=INDUCER, closing=EXIT_PROMPT, **settings))
    [completion] = run(method, script)
    return completion


def test_deer_exits_before_the_transition_word_when_sure():
    script = Script(probability=0.99)
    completion = deer(script)
    assert completion.thought == "3+5=8\n8+7=15\n"
    assert completion.exited
    assert completion.confidences == (pytest.approx(0.99),)
    assert completion.trial_tokens == len(encode("15}")) + 1
    assert completion.response_tokens == completion.thought_tokens + completion.answer_tokens
    trial = script.requests[1]
    assert trial.prompt_ids == [*PROMPT, *encode("3+5=8\n8+7=15\n"), *encode(INDUCER)]
    assert trial.greedy


def test_deer_goes_on_when_unsure_and_is_then_the_model_itself():
    completion = deer(Script(probability=0.9))
    [own] = run(methods.vanilla(reasoner(), PROMPT), Script())
    assert (completion.thought, completion.answer) == (own.thought, own.answer)
    assert completion.response_tokens == own.response_tokens
    assert completion.confidences == (pytest.approx(0.9),)
    assert not completion.exited


def test_deer_takes_its_words_from_the_thought_only():
    completion = deer(Script(f"3+5=8\n{THINK_END}\n\nWait, it is \\boxed{{15}}"))
    assert completion.confidences == ()
    assert completion.answer == "\n\nWait, it is \\boxed{15}"


def test_deer_ends_at_the_limit():
    completion = deer(Script("Wait, check again.\n" * 100, probability=0.5), max_tokens=30)
    assert completion.cut
    assert not completion.closed
    assert completion.response_tokens == 30
    assert completion.confidences[0] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("trial", "cut", "inducer", "expected"),
    [
        ("15}", False, "{", 0.5),
        ("\\frac{1}{2}} and", False, "{", 0.5),
        ("}", False, "{", 0.0),  # empty
        ("15", True, "{", 0.0),  # unfinished
        ("15", False, "{", 0.0),  # the brace never closes
        ("15\nand more", False, "Answer: ", 0.5),
        ("15", False, "Answer: ", 0.5),
        ("15", True, "Answer: ", 0.0),
        ("", False, "Answer: ", 0.0),
    ],
)
def test_confidence(trial, cut, inducer, expected):
    ids = encode(trial)
    generated = Generated(ids, [math.log(0.5)] * len(ids), None, cut)
    assert dynamic_exit.confidence(generated, reasoner(), inducer) == pytest.approx(expected)


def test_confidence_counts_the_answers_tokens_only():
    ids = encode("15} and more")
    log_probs = [math.log(0.9), math.log(0.4)] + [math.log(0.01)] * (len(ids) - 2)
    confidence = dynamic_exit.confidence(Generated(ids, log_probs, None, False), reasoner(), "{")
    assert confidence == pytest.approx(math.sqrt(0.9 * 0.4))


def test_what_ends_a_response_need_not_be_a_special_token():
    """As in a tokenizer converted from GGUF: the generation config names a plain token, and decoding keeps it."""
    ending = encode("7")[0]
    plain = Reasoner(TOKENIZER, "<think>", THINK_END, EXIT_PROMPT, 200, 20, frozenset([ending, EOS]))
    response = [*encode(f"{THOUGHT}{THINK_END}\n\n{ANSWER}"), ending, EOS]
    [completion] = run(methods.vanilla(plain, PROMPT), FixedAnswer(response))
    assert completion.answer == f"\n\n{ANSWER}"
    unclosed = run(methods.vanilla(plain, PROMPT), FixedAnswer([*encode("3+5=8"), ending]))[0]
    assert (unclosed.thought, unclosed.thought_tokens) == ("3+5=8", 5)


def test_a_tag_that_the_model_writes_is_no_thought():
    """Neither for the counts nor for a budget, whose cap is of the thought alone."""
    opened = [*encode(f"<think>\n{THOUGHT}{THINK_END}\n\n{ANSWER}"), EOS]
    [own] = run(methods.vanilla(reasoner(), PROMPT[:4]), FixedAnswer(opened))
    assert own.thought == f"\n{THOUGHT}"
    assert own.thought_tokens == len(encode(f"\n{THOUGHT}"))
    [empty] = run(
        methods.vanilla(reasoner(), PROMPT[:4]), FixedAnswer([*encode(f"<think>\n\n{THINK_END}\n\n{ANSWER}"), EOS])
    )
    assert (empty.thought_tokens, empty.closed) == (0, True)


class FixedAnswer:
    """A model that says the same whatever it is asked."""

    def __init__(self, ids):
        self.ids = ids

    def generate(self, request):
        return Generated(self.ids, None, None, False)
