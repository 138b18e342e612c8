"""The language recipe's stories and lessons."""

import random
import re

import pytest

from recipes.language.lessons import CHECK, response, thought_pass
from recipes.language.stories import HELD_OUT, LARGEST, TAUGHT, draw, draw_stories
from sgrpo_verl.correctness import compute_score
from sgrpo_verl.settings.config import EXIT_PROMPT, THINK_END

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


def test_no_test_problem_is_a_training_problem():
    train = {story.question for story in draw_stories(TAUGHT, 500, 1, test=False)}
    test = {story.question for story in draw_stories(TAUGHT, 100, 2, test=True)}
    assert len(train) == 500
    assert len(test) == 100
    assert not train & test
    assert {story.family for story in draw_stories(TAUGHT, 300, 3, test=False)} == set(TAUGHT)
