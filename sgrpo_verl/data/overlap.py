"""Finds training problems that also occur in a test set: as the same text, inside one another, or reworded."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import takewhile

NGRAM = 8  # words
SHARE = 0.5  # of a test problem's n-grams that a training problem holds: then it is the same problem, reworded
SHORTEST_INSIDE = 3  # words, and SHORTEST_CHARACTERS: of a training problem that is looked for inside a test prompt
SHORTEST_CHARACTERS = 8
SHORTEST_AROUND = 5  # words: of a test problem that is looked for inside a training problem
FRAMED = 10  # prompts of a file from which on what they all begin and end with is an instruction
_SPACING = re.compile(r"\\(?:left|right|displaystyle|[!,;: ])|[$~]")
# Scripts without spaces between words, where a character counts as a word: Thai, Lao, Tibetan, Burmese, Khmer, Japanese
# syllables, Chinese.
_UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")
Words = tuple[str, ...]


def words(text: str) -> Words:
    """Words and signs of a problem, without what only changes its looks: case, spaces, dollar signs, LaTeX spacing."""
    text = _SPACING.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    return tuple(_WORD.findall(text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")))


def normalized(text: str) -> str:
    return " ".join(words(text))


def ngrams(tokens: Words, size: int = NGRAM) -> set[Words]:
    """Distinct sequences of ``size`` words; a shorter text has none."""
    return {tokens[start : start + size] for start in range(len(tokens) - size + 1)}


class TestSets:
    """The problems that training must not see, by the name of their test set."""

    __test__ = False  # not a test for pytest to collect

    def __init__(self, problems: dict[str, Iterable[str]]):
        self.sets: list[str] = []  # each problem's
        self.texts: dict[Words, int] = {}  # a problem's words, and its number
        self.prompts: list[Words] = []
        self.beginnings: dict[Words, list[tuple[int, int]]] = defaultdict(list)  # first words: where they stand
        self.sizes: list[int] = []
        self.holders: dict[Words, list[int]] = defaultdict(list)
        for name, texts in problems.items():
            self._add(name, [words(text) for text in texts])
        self.short = {len(text) for text in self.texts if SHORTEST_AROUND <= len(text) < NGRAM}

    def _add(self, name: str, prompts: Sequence[Words]) -> None:
        for prompt, problem in zip(prompts, _without_instruction(prompts), strict=True):
            number = len(self.sets)
            self.sets.append(name)
            self.prompts.append(prompt)
            self.texts.setdefault(prompt, number)
            self.texts.setdefault(problem, number)
            for start in range(len(prompt) - SHORTEST_INSIDE + 1):
                self.beginnings[prompt[start : start + SHORTEST_INSIDE]].append((number, start))
            grams = ngrams(problem)
            for gram in grams:
                self.holders[gram].append(number)
            self.sizes.append(len(grams))

    def find(self, text: str) -> tuple[str, str] | None:
        """The test set that a training problem is in, and how it was found; None if it is in none.

        "text": a test problem has the same words. "inside": one of the two stands whole within the other. "ngram": it
        holds enough of a test problem's n-grams.
        """
        problem = words(text)
        if (number := self.texts.get(problem)) is not None:
            return self.sets[number], "text"
        if (number := self._around(problem)) is not None or (number := self._inside(problem)) is not None:
            return self.sets[number], "inside"
        shared = Counter(number for gram in ngrams(problem) for number in self.holders.get(gram, ()))
        number = next((number for number, count in shared.items() if count >= SHARE * self.sizes[number]), None)
        return None if number is None else (self.sets[number], "ngram")

    def _around(self, problem: Words) -> int | None:
        """The test prompt that this problem stands in: with verl's instruction around it, or before its choices."""
        if len(problem) < SHORTEST_INSIDE or len("".join(problem)) < SHORTEST_CHARACTERS:
            return None
        places = self.beginnings.get(problem[:SHORTEST_INSIDE], ())
        length = len(problem)
        return next((number for number, at in places if self.prompts[number][at : at + length] == problem), None)

    def _inside(self, problem: Words) -> int | None:
        """The test problem, too short for n-grams, that stands in this problem."""
        parts = (part for size in self.short for part in ngrams(problem, size))
        return next((self.texts[part] for part in parts if part in self.texts), None)


def _without_instruction(prompts: Sequence[Words]) -> Sequence[Words]:
    """The prompts of a test set without what all of them begin and end with; as they are where they are too few."""
    if len(prompts) < FRAMED:
        return prompts
    start = _common(prompts)
    end = _common([prompt[start:][::-1] for prompt in prompts])
    return [prompt[start : len(prompt) - end] for prompt in prompts]


def _common(texts: Sequence[Words]) -> int:
    """With how many words all of them begin."""
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*texts, strict=False)))
