"""The toy tasks and their tokenizers: lessons say what they claim, held-out problems stay held out."""

import itertools
import operator
import random

import pandas as pd
import pytest
from rich.console import Console

from sgrpo_verl.correctness import compute_score
from sgrpo_verl.progress import Bars
from sgrpo_verl.settings.config import EXIT_PROMPT, THINK_END
from sgrpo_verl.workbench.data import write_data
from sgrpo_verl.workbench.evaluate import accuracy_by_rechecks
from sgrpo_verl.workbench.lessons import IGNORED, encode_lesson
from sgrpo_verl.workbench.sums import sum_of
from sgrpo_verl.workbench.swaps import swaps_of
from sgrpo_verl.workbench.task import RECHECK, answer_text, count_rechecks, is_held_out
from sgrpo_verl.workbench.tasks import TASKS
from sgrpo_verl.workbench.tokenizer import build_tokenizer
from sgrpo_verl.workbench.train import describe


@pytest.fixture(scope="module", params=TASKS)
def task(request):
    return TASKS[request.param]


@pytest.fixture(scope="module")
def lessons(task):
    return [task.draw_lesson(random.Random(seed)) for seed in range(400)]


@pytest.fixture(scope="module")
def tokenizer(task):
    return build_tokenizer(task)


def whole(lessons):
    return [lesson for lesson in lessons if len(lesson.pieces) == 1]


def passes(lesson):
    """The passes of a whole lesson's thought."""
    return lesson.pieces[0][0].split(THINK_END)[0].split(RECHECK)


def test_a_sum():
    problem = sum_of(3, 5, 7)
    assert (problem.question, problem.answer) == ("3+5+7=?", "15")
    assert TASKS["sums"].solve(problem, False, random.Random(0)) == ("3+5=8\n8+7=15\n", "15")


def test_swaps():
    problem = swaps_of("3142", "ab", "cd")
    assert (problem.question, problem.answer) == ("3142:ab,cd=?", "1324")
    assert TASKS["swaps"].solve(problem, False, random.Random(0)) == ("ab:1342\ncd:1324\n", "1324")


def test_a_pass_is_right_unless_it_slips(task):
    rng = random.Random(0)
    problems = task.draw_problems(100, seed=3)
    slipped = 0
    for problem in problems:
        text, answer = task.solve(problem, False, rng)
        assert answer == problem.answer == task.so_far(problem, text.split("\n")[:-1])
        assert text.endswith("\n")
        wrong, answer = task.solve(problem, True, rng)
        assert wrong != text
        slipped += answer != problem.answer
        assert compute_score("", answer_text(problem.answer), problem.answer) == 1.0
    assert slipped > 90


def test_no_held_out_problem_is_in_a_lesson_or_a_training_prompt(task, lessons):
    assert not any(is_held_out(lesson.problem) for lesson in lessons)
    assert all(is_held_out(problem) for problem in task.draw_problems(100, seed=0, held_out=True))
    assert not any(is_held_out(problem) for problem in task.draw_problems(100, seed=0))


def test_whole_lessons_end_on_what_their_last_pass_came_to(task, lessons):
    for lesson in whole(lessons):
        answer = lesson.pieces[0][0].split(THINK_END + "\n\n")[1]
        assert answer == answer_text(task.so_far(lesson.problem, passes(lesson)[-1].split("\n")[:-1]))


def test_cut_lessons_answer_with_what_the_thought_has(task, lessons):
    cut = [lesson for lesson in lessons if len(lesson.pieces) == 3]
    assert 0.25 < len(cut) / len(lessons) < 0.45
    for lesson in cut:
        (thought, _), (exit_prompt, _), (answer, learned) = lesson.pieces
        assert (exit_prompt, learned) == (EXIT_PROMPT, True)
        if RECHECK not in thought:
            assert answer == answer_text(task.so_far(lesson.problem, thought.split("\n")[:-1]))


def test_most_lessons_overthink_and_first_passes_slip(task, lessons):
    thoughts = whole(lessons)
    rechecks = [count_rechecks(lesson.pieces[0][0]) for lesson in thoughts]
    expected = sum(itertools.accumulate(task.recheck_probability, operator.mul))
    assert expected - 0.25 < sum(rechecks) / len(thoughts) < expected + 0.25
    assert (min(rechecks) > 0) == (task.name == "rechecked_sums")
    first = [task.so_far(lesson.problem, passes(lesson)[0].split("\n")[:-1]) for lesson in thoughts]
    slipped = sum(answer != lesson.problem.answer for answer, lesson in zip(first, thoughts, strict=True))
    assert 0.05 < slipped / len(thoughts) < 0.15


def test_the_tokenizer_keeps_text_and_has_one_token_for_think_end_and_for_a_digit(lessons, tokenizer):
    for lesson in lessons[:50]:
        text = "".join(text for text, _ in lesson.pieces)
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    assert len(tokenizer.encode(THINK_END, add_special_tokens=False)) == 1
    assert len(tokenizer.encode("1234", add_special_tokens=False)) == 4
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "3+5=?"}], add_generation_prompt=True, tokenize=False
    )
    assert prompt.endswith("<think>\n")


def test_the_exit_prompt_is_never_learned(lessons, tokenizer):
    lesson = next(lesson for lesson in lessons if len(lesson.pieces) == 3)
    ids, labels = encode_lesson(lesson, tokenizer)
    learned = tokenizer.decode([token for token, label in zip(ids, labels, strict=True) if label != IGNORED])
    assert learned == lesson.pieces[2][0] + tokenizer.eos_token


def test_data_is_in_verls_format_and_the_same_for_the_same_seed(task, tmp_path):
    files = write_data(tmp_path / "a", task, train=20, validation=10, test=10, seed=1)
    again = write_data(tmp_path / "b", task, train=20, validation=10, test=10, seed=1)
    train = pd.read_parquet(files["train"])
    assert set(train.columns) == {"data_source", "prompt", "ability", "reward_model", "extra_info"}
    assert [info["index"] for info in train["extra_info"]] == list(range(20))
    questions = [{prompt[0]["content"] for prompt in pd.read_parquet(file)["prompt"]} for file in files.values()]
    assert [len(one) for one in questions] == [20, 10, 10]
    assert len(set.union(*questions)) == 40
    assert str(train.to_dict()) == str(pd.read_parquet(again["train"]).to_dict())


def test_accuracy_by_rechecks():
    responses = [{"score": score, "rechecks": rechecks} for score, rechecks in ((1.0, 2), (0.0, 0), (1.0, 0))]
    assert accuracy_by_rechecks(responses) == {0: (0.5, 2), 2: (1.0, 1)}


def test_time_taken_and_time_left_fit_into_a_terminal_of_80_columns():
    console = Console(width=80, record=True, force_terminal=True)
    lengths = {"sgrpo/response_length/full": 8888.0, "response_length/mean": 8888.0}
    step = {**lengths, "sgrpo/accuracy/full": 1.0, "critic/score/mean": 1.0, "sgrpo/accuracy/exits": 1.0}
    progress = Bars(console)
    bar = progress.add_task(describe(step), total=14, start=False)
    progress.update(bar, completed=14)
    console.print(progress.get_renderable())
    shown = console.export_text()
    assert "…" not in shown
    assert "8888 tokens, accuracy 100%, exits 100%" in shown
    assert shown.count(":") == 4, "the hours of two times were not shown whole"
