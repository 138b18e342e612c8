"""Word problems for a small language model: short stories of a few events, some of them beside the point.

    Mia has 7 shells. Mia finds 5 more shells. Leo wins 3 shells. How many shells does Mia have now?

A family is one kind of story: its wordings and the operations that solve it. Some families are taught and trained on;
the others are held out whole. The answer is settled at varied places: events beside the point follow it, and what one
event adds another takes away, so that an early exit is right now and then.
"""

import random
import zlib
from collections.abc import Mapping
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
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday"]
LARGEST = 40  # no answer is larger: the model's mistakes are in the thinking, not in hard sums
BESIDE = 0.25  # share of events that are beside the point


@dataclass(frozen=True)
class Family:
    """The wordings of one kind of story.

    In them, {n} is the number at the start, {k} an event's, {things} what is counted, {a} the person it is about, {b}
    another in each event, {c} a third, {day} a day of the week.
    """

    opening: str
    question: str
    gains: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    last: str = ""  # told last, and taken away: what the question compares with
    start: tuple[int, int] = (3, 15)
    events: tuple[int, int] = (2, 4)
    each: tuple[int, int] | None = None  # the opening says {n} packs of {each}


TAUGHT = {
    "keep": Family(
        "{a} has {n} {things}.",
        "How many {things} does {a} have now?",
        gains=(
            "{a} finds {k} more {things}.",
            "{a} buys {k} more {things}.",
            "{a} wins {k} more {things}.",
            "{a} gets {k} {things} from {c}.",
        ),
        losses=("{a} loses {k} {things}.", "{a} sells {k} {things}.", "{a} gives {k} {things} to {c}."),
        beside=(
            "{b} finds {k} {things}.",
            "{b} loses {k} {things}.",
            "{a} gets {k} {things} from {c} and gives them back.",
        ),
    ),
    "money": Family(
        "{a} goes to the market with {n} dollars.",
        "How many dollars does {a} have left?",
        gains=(
            "{a} earns {k} dollars by singing.",
            "{a} earns {k} dollars by helping.",
            "{a} finds {k} dollars on the street.",
        ),
        losses=(
            "{a} spends {k} dollars on bread.",
            "{a} pays {k} dollars for a book.",
            "{a} buys flowers for {k} dollars.",
        ),
        beside=("{b} pays {k} dollars for a hat.", "{b} earns {k} dollars.", "{a} waits for {k} minutes."),
        start=(5, 20),
    ),
    "packs": Family(
        "{a} buys {n} bags with {each} {things} each.",
        "How many {things} does {a} have now?",
        gains=("{a} finds {k} more {things}.", "{a} gets {k} {things} from {c}."),
        losses=("{a} loses {k} {things}.", "{a} eats {k} {things}.", "{a} breaks {k} {things}."),
        beside=("{b} buys {k} bags too.", "{b} has {k} {things}."),
        start=(2, 5),
        events=(1, 3),
        each=(2, 6),
    ),
    "together": Family(
        "{a} brings {n} {things} to the party.",
        "How many {things} are at the party?",
        gains=("{b} brings {k} {things}.", "{b} comes with {k} {things}."),
        beside=("{b} brings {k} drinks.", "{b} sings {k} songs."),
        start=(2, 12),
    ),
    "hotel": Family(
        "There are {n} guests in the hotel.",
        "How many guests are in the hotel now?",
        gains=("{k} more guests arrive.", "A group of {k} guests comes in."),
        losses=("{k} guests leave.", "{k} guests go home."),
        beside=("The cook makes {k} cakes.", "{b} cleans {k} rooms.", "{k} birds sit on the roof."),
    ),
    "garden": Family(
        "There are {n} flowers in the garden.",
        "How many flowers are in the garden in the end?",
        gains=("{a} plants {k} more flowers.", "In the next week {k} new flowers come up."),
        losses=("{a} picks {k} flowers.", "A goat eats {k} flowers.", "In the next storm {k} flowers die."),
        beside=("{b} paints {k} benches.", "{b} plants {k} trees.", "The storm lasts for {k} hours."),
    ),
    "game": Family(
        "{a} starts the game with {n} points.",
        "How many points does {a} have at the end of the game?",
        gains=("{a} wins {k} points in the next round.", "{a} gets {k} points for a good throw."),
        losses=("{a} loses {k} points in the next round.", "{a} misses and loses {k} points."),
        beside=("{b} wins {k} points.", "The players rest for {k} minutes."),
    ),
    "bakery": Family(
        "A baker makes {n} rolls in the morning.",
        "How many rolls are left?",
        losses=("A customer buys {k} rolls.", "On the way {k} rolls fall down.", "{b} takes {k} rolls."),
        beside=("A customer buys {k} cakes.", "{b} asks for {k} cups of tea."),
        start=(18, 38),
    ),
}
HELD_OUT = {
    # the operations of those taught, in other words
    "bus": Family(
        "A bus leaves the station with {n} passengers.",
        "How many passengers are on the bus now?",
        gains=("At the next stop {k} people get on.",),
        losses=("At the next stop {k} people get off.",),
        beside=("The bus passes {k} cars.",),
    ),
    "pages": Family(
        "{a} has a book of {n} pages.",
        "How many pages are still to be read?",
        losses=("On {day} {a} reads {k} pages.",),
        beside=("On {day} {a} sleeps for {k} hours.",),
        start=(20, 38),
    ),
    # another operation: the difference of two people's things
    "compare": Family(
        "{a} has {n} {things}.",
        "How many more {things} does {a} have than {c}?",
        gains=("{a} finds {k} more {things}.",),
        last="{c} has {k} {things}.",
        start=(10, 18),
        events=(1, 2),
    ),
}


@dataclass(frozen=True)
class Event:
    """A sentence of a story, and what it does to the running number: "+", "-", "*", or nothing."""

    told: str
    operation: str = ""
    operand: int = 0

    def applied(self, value: int) -> int:
        """The running number after it."""
        match self.operation:
            case "+":
                return value + self.operand
            case "-":
                return value - self.operand
            case "*":
                return value * self.operand
        return value


@dataclass(frozen=True)
class Story:
    """A word problem: ``opening`` says the number at the start, unless the first event does."""

    family: str
    opening: str
    start: int
    events: tuple[Event, ...]
    asked: str

    @property
    def question(self) -> str:
        return " ".join([*filter(None, [self.opening]), *(event.told for event in self.events), self.asked])

    @property
    def answer(self) -> int:
        value = self.start
        for event in self.events:
            value = event.applied(value)
        return value


def tell(name: str, family: Family, rng: random.Random, large: float = 0.0) -> Story:
    """A story of this family; its answer may be anything.

    An event's number is from 2 to 9, or from 12 to 19 with the probability ``large``.
    """
    a, c, *others = rng.sample(PEOPLE, 7)
    start = rng.randint(*family.start)
    size = rng.randint(*(family.each or (1, 1)))
    words = {"a": a, "c": c, "n": start, "each": size, "things": rng.choice(THINGS)}
    opening, events, value = family.opening.format(**words), [], start
    if family.each:
        events.append(Event(opening, "*", size))
        opening, value = "", start * size
    for b, day in list(zip(others, DAYS, strict=False))[: rng.randint(*family.events)]:
        amount = _amount(rng, large)
        choices = [("+", family.gains)] if family.gains else []
        choices += [("-", family.losses)] if family.losses and value > amount else []
        operation, wordings = rng.choice(choices) if choices else ("", family.beside)
        if family.beside and rng.random() < BESIDE:
            operation, wordings = "", family.beside
        told = rng.choice(wordings).format(**words, b=b, day=day, k=amount)
        events.append(Event(told, operation, amount))
        value = events[-1].applied(value)
    if family.last:
        amount = _amount(rng, large)
        events.append(Event(family.last.format(**words, k=amount), "-", amount))
    return Story(name, opening, start, tuple(events), family.question.format(**words))


def _amount(rng: random.Random, large: float) -> int:
    amount = rng.randint(2, 9)
    # Without large ones nothing more is drawn: the lessons of a seed stay what they are.
    return amount + 10 if large and rng.random() < large else amount


def draw(families: Mapping[str, Family], rng: random.Random, test: bool, large: float = 0.0) -> Story:
    """A story of any of these families. One story in eight, always the same ones, is a test problem."""
    names = sorted(families)
    while True:
        name = rng.choice(names)
        story = tell(name, families[name], rng, large)
        if is_test(story.question) == test and 0 < story.answer <= LARGEST:
            return story


def is_test(question: str) -> bool:
    return zlib.crc32(question.encode()) % 8 == 5


def draw_stories(families: Mapping[str, Family], count: int, seed: int, test: bool, large: float = 0.0) -> list[Story]:
    """``count`` different stories."""
    rng = random.Random(seed)
    stories: dict[str, Story] = {}
    while len(stories) < count:
        story = draw(families, rng, test, large)
        stories[story.question] = story
    return list(stories.values())
