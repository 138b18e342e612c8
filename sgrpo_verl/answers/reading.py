r"""Finds a response's final answer, as text. If it cannot be read as one whole answer, there is none.

In this order: the last ``\boxed{…}``; what follows the last ``####``; what is said to be the answer ("The answer is
…", "Answer: …"); and of a text that says none, its last formula or the number that it ends on. A piece is never taken
for the whole: of "The answer is 3/4" the answer is 3/4, and neither 3 nor 4.
"""

import re

from sgrpo_verl.answers.notation import balanced, tidy

LONGEST_PROSE = 10_000  # characters searched from the end
_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_UNBRACED = re.compile(r"\\(?:[dt]?frac|sqrt)\s*(?:\{[^{}]*\}|\d)\s*(?:\{[^{}]*\}|\d)?|\\[A-Za-z]+|-?[\d.,/]*\d|\S")
_SAID = re.compile(
    r"\banswers?\b[*_\s]*(?:[^.:=\n$\\]{0,60}?\s(?:is|are|was|equals|of)\b|:|=)(?:\s+(?:is|are)\b)?[\s*_:]*"
    r"(?:(?:just|simply|then|thus|therefore|exactly|equal to)\s+)*",
    re.IGNORECASE,
)
# One dollar sign also opens an amount: a formula's are close to what is inside, and no digit follows the second.
_FORMULA = re.compile(
    r"\$\$(.+?)\$\$|\$(?!\s)([^$]+?)(?<!\s)\$(?!\d)|\\\((.+?)\\\)|\\\[(.+?)\\\]"
    r"|\\begin\{(?:align|aligned|equation|gather)\*?\}(.+?)\\end\{(?:align|aligned|equation|gather)\*?\}",
    re.DOTALL,
)
_SENTENCE_END = re.compile(r"\n|(?<=[^\s\d])[.!?](?=\s|$)|(?<=\d)[.!?](?=\s|$)")
# A run of mathematics in plain text: numbers, operators, brackets, single letters that are multiplied or raised.
_ATOM = r"(?:\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?|\.\d+|\bpi\b|\bsqrt\b|π|√|∞|[½¼¾⅐-⅞]|%|°|[⁰¹²³⁴-⁹]+)"
_RUN = re.compile(rf"(?:[-−+±$€£(\[{{|] *)*{_ATOM}(?: *(?:[-−+*/^×·÷:=<>(),;|!\[\]{{}}]|{_ATOM}))*")
_RESULT = re.compile(r"(?:=|>>|\bequals)\s*(?=[-−$€£(]*\s*[\d.])")
_CONNECTED = re.compile(r"\b(?:or|and|to|out of|times|plus|minus|over|more|less|not|between)\b", re.IGNORECASE)
# After a run: a letter that multiplies it. Up to four letters are a unit, such as cm or m2.
_GOES_ON = re.compile(r"[A-Za-z](?![A-Za-z])|[A-Za-z]{5,}|\s*[A-Za-z]\s*[-−+=^]|\\")
_PART_OF_A_WORD = re.compile(r"[A-Za-z\\^_/]$")


def final_answer(text: str) -> str | None:
    r"""The answer that a response ends with; None if there is none.

    Args:
        text: a response, or what follows its thought.
    """
    if boxes := list(_BOX.finditer(text)):
        return _boxed(text[boxes[-1].end() :])
    if "####" in text:
        return text.rsplit("####", 1)[1].strip().split("\n")[0].strip() or None
    prose = text[-LONGEST_PROSE:].strip()
    if said := list(_SAID.finditer(prose)):
        return _statement(prose[said[-1].end() :])
    return _last_formula_or_number(prose)


def _boxed(rest: str) -> str | None:
    r"""What a box holds; ``\boxed5`` and ``\boxed \frac12`` hold what comes next, as TeX has it."""
    if rest.startswith("{"):
        return (balanced(rest) or "").strip() or None
    found = _UNBRACED.match(rest)
    return found[0] if found else None


def _statement(rest: str) -> str | None:
    """What a text says right after "the answer is": to the end of the sentence, less what is only said about it."""
    rest = rest.lstrip(" \n*_:")
    if formula := _FORMULA.match(rest):
        inner = next(group for group in formula.groups() if group is not None)
        after = _first_sentence(rest[formula.end() :])
        if not _FORMULA.search(after) and not re.search(r"\d", after):
            return _right_side(inner)
        return _first_sentence(rest)
    sentence = _first_sentence(rest)
    run = _RUN.match(sentence)
    if run is None:
        return sentence or None
    return _whole(sentence, run)


def _whole(sentence: str, run: "re.Match[str]") -> str | None:
    """A run of mathematics if the rest of its sentence is no part of the answer (a unit, say), else the sentence."""
    found = _without_what_is_open(run[0])
    rest = sentence[run.start() + len(found) :]
    if _GOES_ON.match(rest) or re.search(r"\d", rest) or _CONNECTED.match(rest.lstrip(" *")):
        return sentence
    return _right_side(found.strip(" ,;:"))


def _without_what_is_open(run: str) -> str:
    """A run without the bracket at its end that words follow, as in "5 (five)"."""
    return run.rstrip(" ").rstrip("([{|").rstrip(" ")


def _first_sentence(text: str) -> str:
    end = _SENTENCE_END.search(text)
    return (text[: end.start()] if end else text).strip().strip("*").strip()


def _right_side(formula: str) -> str:
    """Of a chain of equations, the last side: a working that ends on its result. An inequality stays whole."""
    if re.search(r"[<>≤≥]|\\(?:le|ge|lt|gt|leq|geq)(?![A-Za-z])", formula):
        return formula.strip()
    formula = re.sub(r"\\(?:begin|end)\{(?:align|aligned|equation|gather)\*?\}|(?<!\\)&", "", formula)
    return re.split(r"(?<![\\<>!])=|\\approx|≈", formula)[-1].strip(" .,;\n")


def _last_formula_or_number(prose: str) -> str | None:
    """What a text that names no answer ends on: its last formula, its last result, or its last number."""
    formulas = list(_FORMULA.finditer(prose))
    if formulas and not re.search(r"\d", prose[formulas[-1].end() :]):
        last = formulas[-1]
        if len(formulas) > 1 and re.fullmatch(r"\s*,?\s*(?:or|and)\s*", prose[formulas[-2].end() : last.start()]):
            return f"{_inside(formulas[-2])}, {_inside(last)}"
        return _inside(last)
    if results := list(_RESULT.finditer(prose)):
        return _last_result(prose[results[-1].end() :])
    runs = list(_RUN.finditer(prose))
    if not runs:
        return prose.split("\n")[-1].strip() or None
    return None if _PART_OF_A_WORD.search(prose[: runs[-1].start()]) else _alone(runs[-1], prose)


def _last_result(rest: str) -> str | None:
    """What follows the last equals sign of a text; nothing if later sentences come to other numbers only."""
    run = _RUN.match(rest)
    result = _alone(run, rest) if run else None
    if run is None or result is None:
        return None
    end = _SENTENCE_END.search(rest, run.end())
    later = _RUN.finditer(rest, end.end() if end else len(rest))
    numbers = [_bare(one[0]) for one in later if not _PART_OF_A_WORD.search(rest[: one.start()])]
    return result if not numbers or _bare(result) in numbers else None


def _bare(number: str) -> str:
    return tidy(number.strip(" ,;:")).lstrip("$€£ ")


def _alone(run: "re.Match[str]", text: str) -> str | None:
    """A run of mathematics in plain text, unless a letter goes on with it: 2x is not 2."""
    whole = _without_what_is_open(run[0])
    found = whole.strip(" ,;:").rstrip("!")  # in prose, said with emphasis
    if found.endswith(("=", "/")):  # "100 = x" and "5/hour" go on with something else
        return _right_side(found.rstrip("=/ "))
    return None if _GOES_ON.match(text[run.start() + len(whole) :]) else _right_side(found)


def _inside(formula: "re.Match[str]") -> str:
    return _right_side(next(group for group in formula.groups() if group is not None))


def final_choice(text: str, choices: "list[str]") -> str | None:
    r"""The letter that a response to a multiple-choice question ends with; None if there is none.

    The last box if it starts with a letter of its own ("B", "(B)", "\text{B) 3 m}") or holds the text of one choice;
    without a box, the letter after the last "answer is" or "answer:"; else a last line that is nothing but a letter.

    Args:
        text: a response, or what follows its thought.
        choices: letters ("A", "B", …), or the texts of the choices, whose letters follow their order.
    """
    letters, texts = letters_of(choices)
    letter = rf"(?:\\(?:text|mathrm|mathbf|textbf)\{{)?[\s(*\[]*([{''.join(letters)}])(?![A-Za-z0-9'])"
    if boxes := list(_BOX.finditer(text)):
        content = _boxed(text[boxes[-1].end() :]) or ""
        if found := re.match(letter, content, re.IGNORECASE):
            return found[1].upper()
        return _choice_with_text(content, texts)
    prose = text[-LONGEST_PROSE:]
    if said := re.findall(rf"(?i:answer\s*(?:is|:))[\s:*]*{letter}", prose):
        return said[-1]
    alone = re.fullmatch(rf"{letter}[\s).*\]]*", prose.strip().split("\n")[-1].strip(), re.IGNORECASE)
    return alone[1].upper() if alone else None


def letters_of(choices: "list[str]") -> "tuple[list[str], dict[str, str]]":
    """The letters of a multiple choice, and the text of each where texts are given."""
    if all(len(choice) == 1 and choice.isalpha() for choice in choices):
        return [choice.upper() for choice in choices], {}
    letters = [chr(ord("A") + number) for number in range(len(choices))]
    return letters, dict(zip(letters, choices, strict=True))


def _choice_with_text(content: str, texts: "dict[str, str]") -> str | None:
    fitting = [letter for letter, text in texts.items() if tidy(text).casefold() == tidy(content).casefold()]
    return fitting[0] if len(fitting) == 1 else None


def stated_answer(truth: str) -> str:
    """A ground truth as an answer: of one that is a sentence, or holds a box or ``####``, what it states."""
    if _BOX.search(truth) or "####" in truth or _SAID.search(truth):
        return final_answer(truth) or truth
    return truth
