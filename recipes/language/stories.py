"""Word problems for a small language model: short stories of a few events, some of them beside the point.

    Mia has 7 shells. Mia finds 5 more shells. Leo wins 3 shells. How many shells does Mia have now?

A family is one kind of story: its wordings and the operations that solve it. Some families are taught and trained on;
the others are held out whole. The answer is settled at varied places: events beside the point follow it, and what one
event adds another takes away, so that an early exit is right now and then.
"""

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PEOPLE = [
    "Anna",
    "Ben",
    "Carla",
    "David",
    "Emma",
    "Felix",
    "Grace",
    "Hugo",
    "Iris",
    "Jack",
    "Kate",
    "Leo",
    "Mia",
    "Noah",
    "Olga",
    "Paul",
]
THINGS = [
    "apples",
    "marbles",
    "books",
    "stickers",
    "coins",
    "pencils",
    "cookies",
    "shells",
    "stamps",
    "balloons",
    "cards",
    "eggs",
]
LARGEST = 40  # no total in a story is larger: the model's mistakes are in the thinking, not in hard sums


@dataclass(frozen=True)
class Step:
    """A line of a thought: a running number and what happens to it. A step without an operation only says something.

    ``text`` holds ``{sum}`` where the sum stands: "Mia finds 5: {sum}." becomes "Mia finds 5: 7 + 5 = 12."
    """

    text: str
    operation: str = ""  # "+", "-" or "*"
    operand: int = 0


@dataclass(frozen=True)
class Story:
    """A word problem. ``start`` is the running number before the steps, ``end`` the thought's last line."""

    family: str
    question: str
    start: int
    opening: str
    steps: tuple[Step, ...]
    end: str  # holds {answer}

    @property
    def answer(self) -> int:
        value = self.start
        for step in self.steps:
            value = applied(value, step)
        return value


def applied(value: int, step: Step) -> int:
    """The running number after a step."""
    match step.operation:
        case "+":
            return value + step.operand
        case "-":
            return value - step.operand
        case "*":
            return value * step.operand
    return value


class _Telling:
    """A story while it is told: what has been said, how a thought goes over it, and the running number."""

    def __init__(self, first: str, start: int):
        self.told = [first]
        self.steps: list[Step] = []
        self.start = self.value = start

    def beside(self, told: str, said: str) -> None:
        """An event that does not change the number, and what the thought says of it."""
        self.told.append(told)
        self.steps.append(Step(said))

    def event(self, told: str, said: str, operation: str, operand: int) -> None:
        """An event that does; ``said`` is the thought's line up to its sum."""
        self.told.append(told)
        self.step(f"{said}: {{sum}}.", operation, operand)

    def step(self, text: str, operation: str, operand: int) -> None:
        self.steps.append(Step(text, operation, operand))
        self.value = applied(self.value, self.steps[-1])

    def story(self, family: str, question: str, opening: str, end: str) -> Story:
        return Story(family, " ".join([*self.told, question]), self.start, opening, tuple(self.steps), end)


def _keep(rng: random.Random) -> Story:
    """Somebody gains and loses things."""
    person, other, third = rng.sample(PEOPLE, 3)
    things, start = rng.choice(THINGS), rng.randint(3, 15)
    telling = _Telling(f"{person} has {start} {things}.", start)
    for _ in range(rng.randint(2, 4)):
        amount, kind = rng.randint(1, 9), rng.random()
        if kind < 0.25:
            deed = rng.choice(("finds", "buys", "loses"))
            telling.beside(f"{other} {deed} {amount} {things}.", f"{other} does not matter.")
        elif kind < 0.35:  # borrowed and given back: what comes between is right early by luck
            told = f"{person} gets {amount} {things} from {third} and gives them back."
            telling.beside(told, f"The {amount} are given back.")
        elif kind < 0.7 or telling.value - amount < 1:
            deed = rng.choice(("finds", "buys", "wins", "gets"))
            telling.event(f"{person} {deed} {amount} more {things}.", f"{person} gets {amount}", "+", amount)
        else:
            deed = rng.choice(("loses {} {}", "sells {} {}", "gives {} {} to " + third)).format(amount, things)
            telling.event(f"{person} {deed}.", f"{person} gives {amount}", "-", amount)
    question = f"How many {things} does {person} have now?"
    return telling.story("keep", question, f"{person} has {start}.", f"So {person} has {{answer}} {things}.")


def _money(rng: random.Random) -> Story:
    """Somebody earns and spends dollars; what others pay, and when, is beside the point."""
    person, other = rng.sample(PEOPLE, 2)
    start = rng.randint(5, 20)
    telling = _Telling(f"{person} goes to the market with {start} dollars.", start)
    for _ in range(rng.randint(2, 4)):
        amount, kind = rng.randint(1, 9), rng.random()
        if kind < 0.25:
            thing = rng.choice(("hat", "lamp", "toy"))
            telling.beside(f"{other} pays {amount} dollars for a {thing}.", f"{other} does not matter.")
        elif kind < 0.65 and telling.value - amount >= 1:
            thing = rng.choice(("bread", "fruit", "a book", "flowers"))
            telling.event(f"{person} spends {amount} dollars on {thing}.", f"{person} pays {amount}", "-", amount)
        else:
            work = rng.choice(("singing", "helping", "selling tea"))
            telling.event(f"{person} earns {amount} dollars by {work}.", f"{person} earns {amount}", "+", amount)
    question = f"How many dollars does {person} have left?"
    return telling.story("money", question, f"{person} has {start}.", f"So {person} has {{answer}} dollars left.")


def _packs(rng: random.Random) -> Story:
    """Packs of the same size, then a change or two."""
    person, other = rng.sample(PEOPLE, 2)
    things = rng.choice(THINGS)
    packs, size = rng.randint(2, 5), rng.randint(2, 6)
    telling = _Telling(f"{person} buys {packs} bags with {size} {things} each.", packs)
    telling.step("Together: {sum}.", "*", size)
    for _ in range(rng.randint(1, 3)):
        amount, kind = rng.randint(1, 9), rng.random()
        if kind < 0.3:
            telling.beside(f"{other} buys {amount} bags too.", f"{other} does not matter.")
        elif kind < 0.65 or telling.value - amount < 1:
            telling.event(f"{person} finds {amount} more {things}.", f"{person} gets {amount}", "+", amount)
        else:
            telling.event(f"{person} loses {amount} {things}.", f"{person} gives {amount}", "-", amount)
    question = f"How many {things} does {person} have now?"
    return telling.story("packs", question, f"{person} has {packs} bags.", f"So {person} has {{answer}} {things}.")


def _together(rng: random.Random) -> Story:
    """What several people bring, added up; others only look on."""
    first, *others = rng.sample(PEOPLE, 5)
    things, start = rng.choice(THINGS), rng.randint(2, 12)
    telling = _Telling(f"{first} brings {start} {things} to the party.", start)
    for other in others[: rng.randint(2, 4)]:
        amount, kind = rng.randint(2, 9), rng.random()
        if kind < 0.25:
            telling.beside(f"{other} brings {amount} drinks.", "Drinks do not matter.")
        else:
            telling.event(f"{other} brings {amount} {things}.", f"{other} brings {amount}", "+", amount)
    question = f"How many {things} are at the party?"
    return telling.story("together", question, f"{first} brings {start}.", f"So there are {{answer}} {things}.")


def _bus(rng: random.Random) -> Story:
    """Held out: the operations of ``keep`` in other words."""
    start = rng.randint(4, 15)
    telling = _Telling(f"A bus leaves the station with {start} passengers.", start)
    for _ in range(rng.randint(2, 4)):
        amount, kind = rng.randint(1, 9), rng.random()
        if kind < 0.25:
            telling.beside(f"{amount} cars pass by.", "Cars do not matter.")
        elif kind < 0.65 or telling.value - amount < 1:
            telling.event(f"At the next stop {amount} people get on.", f"{amount} get on", "+", amount)
        else:
            telling.event(f"At the next stop {amount} people get off.", f"{amount} get off", "-", amount)
    question = "How many passengers are on the bus now?"
    return telling.story("bus", question, f"The bus has {start}.", "So there are {answer} passengers.")


def _pages(rng: random.Random) -> Story:
    """Held out: what is left of a book, in other words and with days between."""
    person = rng.choice(PEOPLE)
    start = rng.randint(20, 38)
    telling = _Telling(f"{person} reads a book of {start} pages.", start)
    for day in ("Monday", "Tuesday", "Wednesday", "Thursday")[: rng.randint(2, 4)]:
        amount = rng.randint(2, 9)
        if rng.random() < 0.25 or telling.value - amount < 1:
            telling.beside(f"On {day} {person} rests for {amount} hours.", f"{day} does not matter.")
        else:
            telling.event(f"On {day} {person} reads {amount} pages.", day, "-", amount)
    question = "How many pages are still to be read?"
    return telling.story("pages", question, f"There are {start}.", "So {answer} pages are left.")


def _compare(rng: random.Random) -> Story:
    """Held out: another operation, the difference of two people's things."""
    person, other = rng.sample(PEOPLE, 2)
    things = rng.choice(THINGS)
    start = rng.randint(10, 18)
    telling = _Telling(f"{person} has {start} {things}.", start)
    for _ in range(rng.randint(1, 2)):
        amount = rng.randint(1, 9)
        telling.event(f"{person} finds {amount} more {things}.", f"{person} gets {amount}", "+", amount)
    fewer = rng.randint(2, 9)
    telling.event(f"{other} has {fewer} {things}.", f"{other} has {fewer}", "-", fewer)
    question = f"How many more {things} does {person} have than {other}?"
    return telling.story("compare", question, f"{person} has {start}.", f"So {person} has {{answer}} more.")


Family = Callable[[random.Random], Story]
TAUGHT: dict[str, Family] = {"keep": _keep, "money": _money, "packs": _packs, "together": _together}
HELD_OUT: dict[str, Family] = {"bus": _bus, "pages": _pages, "compare": _compare}


def draw(families: Sequence[Family], rng: random.Random, test: bool) -> Story:
    """A story of any of these families. One story in eight, always the same ones, is a test problem."""
    while True:
        story = rng.choice(families)(rng)
        if is_test(story.question) == test and 0 < story.answer <= LARGEST:
            return story


def is_test(question: str) -> bool:
    return zlib.crc32(question.encode()) % 8 == 5


def draw_stories(families: Sequence[Family], count: int, seed: int, test: bool) -> list[Story]:
    """``count`` different stories."""
    rng = random.Random(seed)
    stories: dict[str, Story] = {}
    while len(stories) < count:
        story = draw(families, rng, test)
        stories[story.question] = story
    return list(stories.values())
