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


def _keep(rng: random.Random) -> Story:
    """Somebody gains and loses things."""
    person, other, third = rng.sample(PEOPLE, 3)
    things, start = rng.choice(THINGS), rng.randint(3, 15)
    told, steps = [f"{person} has {start} {things}."], []
    value = start
    for _ in range(rng.randint(2, 4)):
        amount, kind = rng.randint(1, 9), rng.random()
        if kind < 0.25:
            told.append(f"{other} {rng.choice(('finds', 'buys', 'loses'))} {amount} {things}.")
            steps.append(Step(f"{other} does not matter."))
        elif kind < 0.35:  # borrowed and given back: what comes between is right early by luck
            told.append(f"{person} gets {amount} {things} from {third} and gives them back.")
            steps.append(Step(f"The {amount} are given back."))
        elif kind < 0.7 or value - amount < 1:
            told.append(f"{person} {rng.choice(('finds', 'buys', 'wins', 'gets'))} {amount} more {things}.")
            steps.append(Step(f"{person} gets {amount}: {{sum}}.", "+", amount))
            value += amount
        else:
            deed = rng.choice(("loses {} {}", "sells {} {}", "gives {} {} to " + third))
            told.append(f"{person} {deed.format(amount, things)}.")
            steps.append(Step(f"{person} gives {amount}: {{sum}}.", "-", amount))
            value -= amount
    told.append(f"How many {things} does {person} have now?")
    opening = f"{person} has {start}."
    return Story("keep", " ".join(told), start, opening, tuple(steps), f"So {person} has {{answer}} {things}.")


def _money(rng: random.Random) -> Story:
    """Somebody earns and spends dollars; what others pay, and when, is beside the point."""
    person, other = rng.sample(PEOPLE, 2)
    start, value = (number := rng.randint(5, 20)), number
    told, steps = [f"{person} goes to the market with {start} dollars."], []
    for _ in range(rng.randint(2, 4)):
        amount, kind = rng.randint(1, 9), rng.random()
        if kind < 0.25:
            told.append(f"{other} pays {amount} dollars for a {rng.choice(('hat', 'lamp', 'toy'))}.")
            steps.append(Step(f"{other} does not matter."))
        elif kind < 0.65 and value - amount >= 1:
            told.append(f"{person} spends {amount} dollars on {rng.choice(('bread', 'fruit', 'a book', 'flowers'))}.")
            steps.append(Step(f"{person} pays {amount}: {{sum}}.", "-", amount))
            value -= amount
        else:
            told.append(f"{person} earns {amount} dollars by {rng.choice(('singing', 'helping', 'selling tea'))}.")
            steps.append(Step(f"{person} earns {amount}: {{sum}}.", "+", amount))
            value += amount
    told.append(f"How many dollars does {person} have left?")
    end = f"So {person} has {{answer}} dollars left."
    return Story("money", " ".join(told), start, f"{person} has {start}.", tuple(steps), end)


def _packs(rng: random.Random) -> Story:
    """Packs of the same size, then a change or two."""
    person, other = rng.sample(PEOPLE, 2)
    things = rng.choice(THINGS)
    packs, size = rng.randint(2, 5), rng.randint(2, 6)
    told = [f"{person} buys {packs} bags with {size} {things} each."]
    steps = [Step("Together: {sum}.", "*", size)]
    value = packs * size
    for _ in range(rng.randint(1, 3)):
        amount, kind = rng.randint(1, 9), rng.random()
        if kind < 0.3:
            told.append(f"{other} buys {amount} bags too.")
            steps.append(Step(f"{other} does not matter."))
        elif kind < 0.65 or value - amount < 1:
            told.append(f"{person} finds {amount} more {things}.")
            steps.append(Step(f"{person} gets {amount}: {{sum}}.", "+", amount))
            value += amount
        else:
            told.append(f"{person} loses {amount} {things}.")
            steps.append(Step(f"{person} gives {amount}: {{sum}}.", "-", amount))
            value -= amount
    told.append(f"How many {things} does {person} have now?")
    end = f"So {person} has {{answer}} {things}."
    return Story("packs", " ".join(told), packs, f"{person} has {packs} bags.", tuple(steps), end)


def _together(rng: random.Random) -> Story:
    """What several people bring, added up; others only look on."""
    first, *others = rng.sample(PEOPLE, 5)
    things, start = rng.choice(THINGS), rng.randint(2, 12)
    told, steps = [f"{first} brings {start} {things} to the party."], []
    for other in others[: rng.randint(2, 4)]:
        amount, kind = rng.randint(2, 9), rng.random()
        if kind < 0.25:
            told.append(f"{other} brings {amount} drinks.")
            steps.append(Step("Drinks do not matter."))
        else:
            told.append(f"{other} brings {amount} {things}.")
            steps.append(Step(f"{other} brings {amount}: {{sum}}.", "+", amount))
    told.append(f"How many {things} are at the party?")
    end = f"So there are {{answer}} {things}."
    return Story("together", " ".join(told), start, f"{first} brings {start}.", tuple(steps), end)


def _bus(rng: random.Random) -> Story:
    """Held out: the operations of ``keep`` in other words."""
    start, value = (number := rng.randint(4, 15)), number
    told, steps = [f"A bus leaves the station with {start} passengers."], []
    for _ in range(rng.randint(2, 4)):
        amount, kind = rng.randint(1, 9), rng.random()
        if kind < 0.25:
            told.append(f"{amount} cars pass by.")
            steps.append(Step("Cars do not matter."))
        elif kind < 0.65 or value - amount < 1:
            told.append(f"At the next stop {amount} people get on.")
            steps.append(Step(f"{amount} get on: {{sum}}.", "+", amount))
            value += amount
        else:
            told.append(f"At the next stop {amount} people get off.")
            steps.append(Step(f"{amount} get off: {{sum}}.", "-", amount))
            value -= amount
    told.append("How many passengers are on the bus now?")
    end = "So there are {answer} passengers."
    return Story("bus", " ".join(told), start, f"The bus has {start}.", tuple(steps), end)


def _pages(rng: random.Random) -> Story:
    """Held out: what is left of a book, in other words and with days between."""
    person = rng.choice(PEOPLE)
    start, value = (number := rng.randint(20, 38)), number
    told, steps = [f"{person} reads a book of {start} pages."], []
    for day in ("Monday", "Tuesday", "Wednesday", "Thursday")[: rng.randint(2, 4)]:
        amount = rng.randint(2, 9)
        if rng.random() < 0.25 or value - amount < 1:
            told.append(f"On {day} {person} rests for {amount} hours.")
            steps.append(Step(f"{day} does not matter."))
        else:
            told.append(f"On {day} {person} reads {amount} pages.")
            steps.append(Step(f"{day}: {{sum}}.", "-", amount))
            value -= amount
    told.append("How many pages are still to be read?")
    return Story("pages", " ".join(told), start, f"There are {start}.", tuple(steps), "So {answer} pages are left.")


def _compare(rng: random.Random) -> Story:
    """Held out: another operation, the difference of two people's things."""
    person, other = rng.sample(PEOPLE, 2)
    things = rng.choice(THINGS)
    start, value = (number := rng.randint(10, 18)), number
    told, steps = [f"{person} has {start} {things}."], []
    for _ in range(rng.randint(1, 2)):
        amount = rng.randint(1, 9)
        told.append(f"{person} finds {amount} more {things}.")
        steps.append(Step(f"{person} gets {amount}: {{sum}}.", "+", amount))
        value += amount
    fewer = rng.randint(2, 9)
    told.append(f"{other} has {fewer} {things}.")
    steps.append(Step(f"{other} has {fewer}: {{sum}}.", "-", fewer))
    told.append(f"How many more {things} does {person} have than {other}?")
    end = f"So {person} has {{answer}} more."
    return Story("compare", " ".join(told), start, f"{person} has {start}.", tuple(steps), end)


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
