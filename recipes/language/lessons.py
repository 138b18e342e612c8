"""What the language model is taught: to think about a story in words, and to check itself needlessly.

    <think>
    Mia has 7 eggs. Mia finds 5 more eggs: 7 + 5 = 12. Leo wins 3 eggs: still 12. That makes 12.
    Wait, let me check. Mia has 7 eggs. Mia finds 5 more eggs: 7 + 5 = 12. Leo wins 3 eggs: still 12. That makes 12.
    </think>

    The answer is \\boxed{12}.

A thought repeats the story's own sentences, which also works for stories of another kind. The first pass slips now and
then and a check hardly ever does, so that a longer thought is at least as likely to be right. No lesson holds the exit
prompt: the model meets it in training, as a user's model does.

Some lessons are sums alone. Without them the model knows its subtractions only just, and forgets them in training.
"""

import random

from recipes.language.stories import LARGEST, Story
from sgrpo_verl.settings.config import THINK_END
from sgrpo_verl.workbench.task import Lesson, Problem

CHECK = "Wait, let me check."  # one wording: of several, greedy decoding would take none
CHECKS = (0.05, 0.15, 0.5, 0.3)  # share of lessons with 0, 1, 2, 3 checks
# The habit in the end. Greedy decoding still takes two checks; sampling tries none often enough to learn from it.
HABIT = (0.12, 0.2, 0.45, 0.23)
NEVER_STOPS = (0.0, 0.25, 0.5, 0.25)  # a habit of which S-GRPO in the paper's form learns nothing
SLIPS = (0.05, 0.003)  # that a pass goes wrong: the first one, a check
SUMS = 12  # in a lesson of sums


def thought_pass(story: Story, slip: bool, rng: random.Random) -> tuple[str, int]:
    """One pass over the story and the answer it comes to; with ``slip``, one sum goes wrong and the rest follows."""
    sums = [index for index, event in enumerate(story.events) if event.operation]
    wrong = rng.choice(sums) if slip and sums else None
    said, value = [story.opening] if story.opening else [], story.start
    for index, event in enumerate(story.events):
        before, value = value, event.applied(value)
        if index == wrong:
            value = max(0, value + rng.choice((-2, -1, 1, 2)))
        result = f"{before} {event.operation} {event.operand} = {value}" if event.operation else f"still {value}"
        said.append(f"{event.told.removesuffix('.')}: {result}.")
    return " ".join([*said, f"That makes {value}."]), value


def response(story: Story, rng: random.Random, checks: int) -> str:
    """A lesson's response, with as many checks."""
    first, answer = thought_pass(story, rng.random() < SLIPS[0] and checks > 0, rng)
    passes = [first]
    for _ in range(checks):
        text, answer = thought_pass(story, rng.random() < SLIPS[1], rng)
        passes.append(f"{CHECK} {text}")
    return "<think>\n" + "\n".join(passes) + "\n" + THINK_END + f"\n\nThe answer is \\boxed{{{answer}}}."


def sums(rng: random.Random) -> Lesson:
    """Sums with the numbers that stories have; only the results are learnt, as the numbers themselves are random."""
    pieces = []
    for _ in range(SUMS):
        operation, second = rng.choice("+--"), rng.randint(2, 9)
        first = rng.randint(1, LARGEST - second) if operation == "+" else rng.randint(second + 1, LARGEST)
        result = first + second if operation == "+" else first - second
        pieces += [(f" {first} {operation} {second} =", False), (f" {result}.", True)]
    return Lesson(Problem("Do these sums.", "", None), tuple(pieces))
