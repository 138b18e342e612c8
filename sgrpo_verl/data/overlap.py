"""Finds training problems that also occur in a test set, as the same text or with much of its wording."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

NGRAM = 8  # words
SHARE = 0.5  # of a test problem's n-grams that a training problem holds: then it is the same problem, reworded
_SPACING = re.compile(r"\\(?:left|right|displaystyle|[!,;: ])|[$~]")
_WORD = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> list[str]:
    """Words and signs of a problem, without what only changes its looks: case, spaces, dollar signs, LaTeX spacing."""
    text = _SPACING.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    return _WORD.findall(text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac"))


def normalized(text: str) -> str:
    return " ".join(words(text))


def ngrams(text: str) -> set[tuple[str, ...]]:
    """Distinct sequences of NGRAM words. A shorter text has none; only its normalized text can identify it."""
    tokens = words(text)
    return {tuple(tokens[start : start + NGRAM]) for start in range(len(tokens) - NGRAM + 1)}


class TestSets:
    """The problems that training must not see."""

    __test__ = False  # not a test for pytest to collect

    def __init__(self, problems: Iterable[str]):
        self.texts: set[str] = set()
        self.sizes: list[int] = []
        self.holders: dict[tuple[str, ...], list[int]] = {}
        for problem in problems:
            self.texts.add(normalized(problem))
            grams = ngrams(problem)
            for gram in grams:
                self.holders.setdefault(gram, []).append(len(self.sizes))
            self.sizes.append(len(grams))

    def find(self, problem: str) -> str | None:
        """ "text" if a test problem has the same normalized text, "ngram" if enough of its n-grams, else None."""
        if normalized(problem) in self.texts:
            return "text"
        shared = Counter(number for gram in ngrams(problem) for number in self.holders.get(gram, ()))
        return "ngram" if any(count >= SHARE * self.sizes[number] for number, count in shared.items()) else None
