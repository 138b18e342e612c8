"""The language recipe's stories and lessons."""

import json
import random
import re

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from recipes.kept import data_type, keep_metrics
from recipes.language import teach
from recipes.language import weights as downloads
from recipes.language.data import EASIEST, write_data
from recipes.language.lessons import CHECK, HABIT, NEVER_STOPS, response, sums, thought_pass
from recipes.language.stories import HELD_OUT, LARGEST, TAUGHT, draw, draw_stories
from sgrpo_verl.correctness import compute_score
from sgrpo_verl.errors import UserError
from sgrpo_verl.files import read_lines
from sgrpo_verl.settings.config import EXIT_PROMPT, THINK_END
from sgrpo_verl.workbench.lessons import lesson_batches
from tests.families import SMOLLM2

STORIES = [
    draw({name: family}, random.Random(seed), False)
    for name, family in (TAUGHT | HELD_OUT).items()
    for seed in range(30)
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.family)
def test_a_thought_follows_the_story_to_its_answer(story):
    rng = random.Random(0)
    thought, answer = thought_pass(story, False, rng)
    assert answer == story.answer == int(re.search(r"That makes (\d+)\.$", thought)[1])
    assert 0 < answer <= LARGEST
    for first, operation, second, result in re.findall(r"(\d+) ([-+*]) (\d+) = (\d+)", thought):
        assert {"+": int(first) + int(second), "-": int(first) - int(second), "*": int(first) * int(second)}[
            operation
        ] == int(result)
    assert all(event.told in story.question for event in story.events)
    assert "{" not in story.question


def test_a_slip_is_one_wrong_sum_and_what_follows_from_it():
    rng = random.Random(1)
    answers = [(thought_pass(story, True, rng)[1], story.answer) for story in STORIES]
    assert sum(answer != truth for answer, truth in answers) > 0.95 * len(answers)


def test_a_habit_that_never_stops_has_no_thought_without_a_check():
    for habit in (HABIT, NEVER_STOPS):
        assert sum(habit) == pytest.approx(1)
        lessons, rng = teach.Lessons(0, 0.0, habit), random.Random(3)
        checks = [lessons(rng).pieces[0][0].count(CHECK) for _ in range(200)]
        assert (0 in checks) == (habit is HABIT)


def test_lessons_check_as_often_as_they_are_told_and_never_hold_the_exit_prompt():
    rng = random.Random(2)
    for story in STORIES[:50]:
        for checks in range(4):
            text = response(story, rng, checks)
            thought, answer = text.split(THINK_END)
            assert thought.count(CHECK) == checks
            assert EXIT_PROMPT.split(THINK_END)[0].strip() not in text
            if thought.endswith(f"That makes {story.answer}.\n"):
                assert compute_score("stories", f"{thought}{THINK_END}{answer}", str(story.answer)) == 1.0


def test_of_a_lesson_of_sums_only_the_results_are_learnt_and_they_are_right():
    for seed in range(20):
        pieces = sums(random.Random(seed)).pieces
        for (asked, asked_learnt), (result, learnt) in zip(pieces[::2], pieces[1::2], strict=True):
            assert (asked_learnt, learnt) == (False, True)
            first, operation, second = asked.removesuffix(" =").split()
            right = int(first) + int(second) if operation == "+" else int(first) - int(second)
            assert result == f" {right}."
            assert 0 < right <= LARGEST


def test_the_faster_data_type_is_kept(tmp_path):
    assert data_type(tmp_path) in ("float32", "bfloat16")
    (tmp_path / "data_type").write_text("kept")
    assert data_type(tmp_path) == "kept"


def test_no_test_problem_is_a_training_problem():
    train = {story.question for story in draw_stories(TAUGHT, 500, 1, test=False)}
    test = {story.question for story in draw_stories(TAUGHT, 100, 2, test=True)}
    assert len(train) == 500
    assert len(test) == 100
    assert not train & test
    assert {story.family for story in draw_stories(TAUGHT, 300, 3, test=False)} == set(TAUGHT)


@pytest.mark.parametrize("practice", [False, True])
def test_teaching_goes_on_where_it_was_stopped(tmp_path, monkeypatch, practice):
    weights = SMOLLM2.save(tmp_path / "weights")
    monkeypatch.setattr(teach, "FROZEN", 1)
    monkeypatch.setattr(teach, "BATCH_SIZE", 2)
    monkeypatch.setattr(teach, "KEEP_SECONDS", 0)
    teach.teach(weights, tmp_path / "whole", steps=4, practice=practice)
    losses = iter([*[teach.lesson_loss] * 4, None])  # two steps of two parts, then it is stopped
    with monkeypatch.context() as stopped:
        stopped.setattr(teach, "lesson_loss", lambda *given: next(losses)(*given))
        with pytest.raises(TypeError):
            teach.teach(weights, tmp_path / "resumed", steps=4, practice=practice)
    assert (tmp_path / "resumed.state").exists()
    assert not (tmp_path / "resumed").exists()
    teach.teach(weights, tmp_path / "resumed", steps=4, practice=practice)
    assert not (tmp_path / "resumed.state").exists()
    whole, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "resumed"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    before = load_file(weights / "model.safetensors")
    assert any(not torch.equal(before[name], whole[name]) for name in whole), "it has learnt something"


def test_the_parts_of_a_batch_teach_what_the_batch_teaches(tmp_path):
    weights = SMOLLM2.save(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(weights)
    batch = next(lesson_batches(teach.Lessons(0, 0.5, teach.CHECKS), tokenizer, 0, 6))
    gradients = {}
    for parts in (1, 4):
        model = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32)
        shares = []
        for part, share in teach.parts_of(batch, parts):
            (share * teach.lesson_loss(model, part)).backward()
            shares.append(share)
        assert sum(shares) == pytest.approx(1)
        gradients[parts] = [one.grad for one in model.parameters()]
    for whole, summed in zip(*gradients.values(), strict=True):
        torch.testing.assert_close(summed, whole, rtol=1e-3, atol=1e-6)


def test_the_steps_of_every_start_are_kept(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    for start in ([(1, 0.1), (2, 0.2), (3, 0.3)], [(3, 0.4), (4, 0.5)]):  # stopped after 3, resumed from 2
        metrics.write_text("".join(json.dumps({"step": step, "data": {"x": x}}) + "\n" for step, x in start))
        keep_metrics(tmp_path)
    kept = [(one["step"], one["data"]["x"]) for one in read_lines(keep_metrics(tmp_path))]
    assert kept == [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.5)]


def test_larger_numbers_only_where_they_are_asked_for():
    def numbers(large: float) -> list[int]:
        stories = draw_stories(TAUGHT, 100, 1, False, large)
        return [event.operand for story in stories for event in story.events if event.operation != "*"]

    assert set(numbers(0.0)) <= set(range(2, 10))
    assert 0.1 < sum(amount > 9 for amount in numbers(0.3)) / len(numbers(0.3)) < 0.4


def test_the_easiest_of_gsm8k_are_a_test_set_where_there_is_a_file_with_its_columns(tmp_path):
    problems = [{"problem": "2?" * number, "answer": "2", "solution": "<<1+1=2>>" * number} for number in range(1, 99)]
    file = tmp_path / "gsm8k_test.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in reversed(problems)))
    assert write_data(tmp_path / "data", str(tmp_path)) == ["test", "held_out", "gsm8k_easiest"]
    prompts = pd.read_parquet(tmp_path / "data" / "gsm8k_easiest.parquet")["prompt"]
    assert [prompt[0]["content"] for prompt in prompts] == [one["problem"] for one in problems[:EASIEST]]
    file.write_text(json.dumps({"question": "2?", "answer": "2"}))
    with pytest.raises(UserError, match=r"gsm8k_test\.jsonl: not every problem has problem; each needs"):
        write_data(tmp_path / "data", str(tmp_path))


def test_benchmarks_that_are_not_there_or_other_ones_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match=r"^--benchmarks /nonexistent/gsm8k_test\.jsonl: no such file"):
        write_data(tmp_path / "data", "/nonexistent")
    assert not (tmp_path / "data").exists()
    for question in ("2?", "3?"):
        (tmp_path / question).mkdir()
        (tmp_path / question / "gsm8k_test.jsonl").write_text(json.dumps({"problem": question, "answer": "2"}) + "\n")
    for _ in range(2):
        assert "gsm8k_easiest" in write_data(tmp_path / "data", str(tmp_path / "2?"))
    assert "gsm8k_easiest" not in write_data(tmp_path / "data", "")
    with pytest.raises(UserError, match=r"^--benchmarks .*/3\?: .*/gsm8k_easiest\.parquet has other problems; give"):
        write_data(tmp_path / "data", str(tmp_path / "3?"))


def test_what_reads_the_weights_is_missed_before_they_are_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(downloads, "_downloaded", lambda folder: pytest.fail("it downloads"))
    with pytest.raises(UserError, match=r"^gguf is not installed, .*: pip install -r /.*/language/requirements\.txt$"):
        downloads.write_model(tmp_path / "weights")
