"""Reads an answer from plain sentences: what they say that the answer is, else what they end on. A part is never taken.

Of "The answer is 3/4" the answer is 3/4, and of "x is 4 or 5" it is neither: then there is none.
"""

import re

from sgrpo_verl.answers.notation import tidy
from sgrpo_verl.answers.units import NO_UNITS, NUMBER_WORDS, is_unit

SAID = re.compile(
    r"\banswers?\b[*_\s]*(?:(?:is|are|was|equals)\b|:|=|of(?=\s*[*$(\\-]*[\d$\\])"
    r"|[^.:=\n$\\]{0,60}?\s(?:is|are|was|equals)\b)(?:\s+(?:is|are)\b)?[\s*_:]*"
    r"(?:(?:just|simply|then|thus|therefore|exactly|equal to|that there (?:is|are))\s+)*",
    re.IGNORECASE,
)
# A sentence about an answer that was given before: "I hope this answer is helpful", "the answer is correct".
_REMARK_BEFORE = re.compile(r"\b(?:hope|trust|whether|sure|check|verify|know)\b[^.!?\n]*$", re.IGNORECASE)
_REMARK = re.compile(
    r"(?:(?:indeed|also|now|very) )?(?:correct|clear|help\w*|useful|reasonable|consistent|verified|valid|based on"
    r"|rounded|expressed|given|already|boxed|in (?:dollars|cents|simplest|simplified|terms|lowest)"
    r"|an? (?:integer|whole|exact|positive|negative|fraction))\b",
    re.IGNORECASE,
)
_BOLD = re.compile(r"(?<![\w)])\*\*([^*\n]+)\*\*(?!\w)|\\[()]")
# One dollar sign also opens an amount: a formula's are close to what is inside, and no digit follows the second.
_FORMULA = re.compile(
    r"\$\$(.+?)\$\$|\$(?!\s)([^$]+?)(?<!(?<!\\)\s)\$(?!\d)|\\\((.+?)\\\)|\\\[(.+?)\\\]"
    r"|\\begin\{(?:align|aligned|equation|gather)\*?\}(.+?)\\end\{(?:align|aligned|equation|gather)\*?\}",
    re.DOTALL,
)
_SENTENCE_END = re.compile(r"\n|(?<=[^\s\d])[.!?](?=\s|$)|(?<=\d)[.!?](?=\s|$)")
# A run of mathematics in plain text: numbers, operators, brackets, single letters that are multiplied or raised.
_ATOM = r"(?:\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?|\.\d+|\bpi\b|\bsqrt\b|π|√|∞|[½¼¾⅐-⅞]|%|°|[⁰¹²³⁴-⁹]+)"
_RUN = re.compile(rf"(?:[-−+±$€£(\[{{|] *){{0,12}}{_ATOM}(?: *(?:[-−+*/^×·÷:=<>(),;|!\[\]{{}}]|{_ATOM}))*")
_RESULT = re.compile(r"(?:(?<![<>!])=|>>|\bequals)\s*(?=[-−$€£(]*\s*[\d.])")
_ASIDE = re.compile(
    r"\([^()]*\)|\b(?:because|since|as|which|who|so|for|that|if|when|where|while)\b.*|[,;:].*", re.DOTALL
)
_BECAUSE = re.compile(r",? (?:because|since) |, which ")
# A working that a sentence says the result of: 10/2, which is 5.
_WORKING = re.compile(r"[\d.\s()$]*[-+*/×÷][-\d.\s+*/×÷()$]*,? (?:which|that) (?:is|equals|gives|makes) ")
# Words, of which the last says what is counted: "Janet makes 5 dollars".
_WORDS_BEFORE = re.compile(r"(?:[A-Za-z][A-Za-z']*,? ){2,}[\s*$]*(?=[-\d.])")
_WORD_FIRST = re.compile(r",? ?[A-Za-z][a-z'’]+[ ,]")
_DOUBTED = (
    r"and a |or |maybe |perhaps |possibly |(?:squared|cubed|factorial)\b"
    r"|(?:plus|minus|times|divided by|choose|mod) (?:[\d$\\]|[b-z](?![a-z]))"
)
_COUNTED = {"dozen", "dozens", "pair", "pairs"}  # behind a calculation they are what it counts: 84/12 = 7 dozen eggs
_NUMBERED = sorted(NUMBER_WORDS)
_CHANGED = re.compile(rf"[ -]*(?:{_DOUBTED}|(?:{'|'.join(_NUMBERED)})\b)", re.IGNORECASE)
_CHANGED_RESULT = re.compile(
    rf"[ -]*(?:{_DOUBTED}|(?:{'|'.join(one for one in _NUMBERED if one not in _COUNTED)})\b)", re.IGNORECASE
)
_MORE = re.compile(rf"\b(?:{'|'.join(sorted(NO_UNITS - {'this', 'was'}))})\b", re.IGNORECASE)
# After a run: a letter that multiplies it, or letters that are no unit. Of single letters, those of units and articles
# may follow a space. The 6th place is 6.
_GOES_ON = re.compile(
    r"[A-Za-z](?![A-Za-z])|(?!(?:st|nd|rd|th) place\b)(?P<word>[A-Za-z]{2,})"
    r"|\s*[A-Za-z]\s*[-−+=^]| +(?P<letter>[b-z])(?![\w'/])(?!\.[A-Za-z])|\\"
)
_LIST_IN_LINES = re.compile(r"1[.)] +\S.*\n+\s*2[.)] ")
_PART_OF_A_WORD = re.compile(r"[A-Za-z\\^_/]\Z")
# Before a number or a formula: what makes it a part of more than it says: "4 or", "x <", "ln", "1 in", "2x =".
_BOUND = re.compile(
    r"(?:[<>!]=|(?<!<)<|(?<![>=-])>|[≠≤≥≈±∓√^]"
    r"|\\(?:ne|neq|le|leq|ge|geq|lt|gt|approx|pm|mp|sqrt|ln|log|sin|cos|tan|exp|times|cdot)"
    r"|\b(?:or|not|isn't|never|minus|negative|plus|times|twice|ln|log|exp|sin|cos|tan|sqrt|mod|modulo|between"
    r"|at least|at most|about|around|approximately|roughly|nearly|almost|above|below|\w+ than"
    r"|(?:root|log|logarithm|square|cube|half|thirds?|quarters?|power|reciprocal|inverse|percent|sine|cosine) of)"
    r"|\d[$\\)%]{0,3}\s+(?:in|out of|of|to|and|by)"
    r"|(?<![-+*/] )(?<!\w)[A-Za-z]\w?\s*=[^=\n]{1,20}\b(?:or|and)\s+[A-Za-z]\w?\s*="
    r"|(?<![\d)\]}])(?<![\d)\]}] )(?<!\b[a-z])(?<!\b[a-z] )[-−|][a-z]\|?\s*="
    r"|(?<![\w=])(?<![=+-] )(?:\d*[A-Za-z](?:\^\d|²)|\d+[a-z]|[a-z] ?[-+] ?(?:\d*[a-z]|\d+))\s*=)[\s$(]*$",
    re.IGNORECASE,
)
# An equation of a number and what is more than a name, and holds one: 2x = 5, x + y = 5, |x| = 5, -x = 5.
_UNSOLVED = re.compile(
    r"(?=[^=]*(?<![A-Za-z\\{])[A-Za-z](?![A-Za-z(]))(?!\s*\\?[A-Za-z]+\s*[(\[][^()\[\]]*[)\]]\s*=|\s*\|[A-Z]\|\s*=)"
    r"(?![^=]*(?:[)}A-Za-z]\s*\(\s*-?[\d.]+\s*\)|\\(?:int|sum|prod|lim)|\^\s*\*))"
    r"(?:[-+−|(]|[^=]*(?:[-+−*/^|]|\\(?:sqrt|frac|cdot|times)|\d ?[A-Za-z]|²))[^=]*="
    r"\s*[-+−]?\s*(?:[\d.,]+|\\[dt]?frac ?(?:\d|\{\d+\}) ?(?:\d|\{\d+\}))[\s.,;]*"
)
LONGEST_EQUATION = 200  # characters
_CALCULATION = re.compile(r"[^=]*[-+*/\d][^=]*=")  # a formula that says what it is the result of, whatever is before it
_END_BACKWARDS = re.compile(r"(?:[,;:! ]\\(?!\\)|[~\s.,;])*")  # of a formula, its last character first; a \\ stays
_BEHIND_A_NAME = re.compile(r"(?<![A-Za-z])[A-Za-z]['²³]? ?$")  # of 2x + 5, before the plus


def said_last(prose: str) -> str | None:
    """What follows the last "the answer is" that says an answer and does not only speak of one; None without any."""
    said = list(SAID.finditer(prose))
    for one in reversed(said[1:]):
        rest = prose[one.end() :]
        if re.search(r"[\d$\\]", _first_sentence(rest)) or not (
            _REMARK.match(rest) or _REMARK_BEFORE.search(prose[: one.start()][-80:])
        ):
            return rest
    return prose[said[0].end() :] if said else None


def statement(rest: str) -> str | None:
    """What a text says right after "the answer is": to the end of the sentence, less what is only said about it."""
    rest = rest.lstrip(" \n*_:")
    if _LIST_IN_LINES.match(rest):
        return None
    if working := _WORKING.match(_first_sentence(rest)):
        return statement(rest[working.end() :])
    if formula := _FORMULA.match(rest):
        inner = next(group for group in formula.groups() if group is not None)
        after = _first_sentence(_BECAUSE.split(rest[formula.end() :], maxsplit=1)[0])
        if not _FORMULA.search(after) and not re.search(r"\d", after) and not _says_more(after):
            return _without_end(inner)
        return _first_sentence(rest)
    sentence = _first_sentence(rest)
    run = _RUN.match(sentence)
    if run is None:
        said = _BECAUSE.split(sentence, maxsplit=1)[0]
        said = said if re.search(r"\d", said) else sentence
        return last_formula_or_number(said) if _comes_to_one_number(said) else sentence or None
    return _whole(sentence, run)


def _comes_to_one_number(sentence: str) -> bool:
    """Whether a sentence of words holds a single number, or a calculation with its result: "She has 3 + 4 = 7 left"."""
    if "\\" in sentence or re.match(r"(?:if|when|after|since|because)\b(?![^=]*=)", sentence, re.IGNORECASE):
        return False
    if _WORD_FIRST.match(sentence) and "=" in sentence:
        return True
    return bool(_WORDS_BEFORE.match(sentence)) and len(re.findall(r"\d[\d.,]*", sentence)) == 1


def _whole(sentence: str, run: "re.Match[str]") -> str | None:
    """A run of mathematics if the rest of its sentence is no part of the answer (a unit, say), else the sentence."""
    found = _without_what_is_open(run[0])
    rest = sentence[run.start() + len(found) :]
    rest = _BECAUSE.split(rest, maxsplit=1)[0]
    if _goes_on(rest) or re.search(r"\d", rest) or _says_more(rest):
        return sentence
    return _right_side(found.strip(" ,;:"))


def _goes_on(rest: str) -> bool:
    """Whether the letters behind a number are a part of it: of 2x, 5th and 3 i, and not of 12cm or 5 m."""
    found = _GOES_ON.match(rest)
    word = found and (found["word"] or found["letter"])
    return bool(found) and not (word and is_unit(word))


def _says_more(rest: str) -> bool:
    """Whether words behind a number change it: "5 million", "5 or more", "5 (five) apples, or so"; a unit does not."""
    words = _ASIDE.sub("", rest, count=1) if not rest.lstrip(" *").startswith((",", ";")) else rest
    return bool(_MORE.search(words) or re.search(r"\b(?:else|otherwise)\b", rest, re.IGNORECASE))


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
    return _without_end(re.split(r"(?<![\\<>!])=|\\approx|≈", formula)[-1]).lstrip(",; \n")


def _without_end(formula: str) -> str:
    r"""Without the punctuation and the spacing at its end: ``5\,.`` is 5."""
    return _END_BACKWARDS.sub("", formula[::-1], count=1)[::-1].strip()


def last_formula_or_number(prose: str) -> str | None:
    """What a text that names no answer ends on: its last formula, its last result, or its last number."""
    formulas = list(_FORMULA.finditer(prose))
    if formulas and not re.search(r"\d", prose[formulas[-1].end() :]):
        last = formulas[-1]
        if len(formulas) > 1 and re.fullmatch(r"\s*,?\s*(?:or|and)\s*", prose[formulas[-2].end() : last.start()]):
            return f"{_inside(formulas[-2])}, {_inside(last)}"
        bound = _is_bound(prose[: last.start()]) and not _CALCULATION.match(last[0])
        return None if bound else _inside(last)
    prose = _BOLD.sub(lambda found: found[1] or "", prose)
    if results := list(_RESULT.finditer(prose)):
        bound = _is_bound(prose[: results[-1].end()])
        return None if bound else _last_result(prose[results[-1].end() :])
    runs = list(_RUN.finditer(prose))
    if not runs:
        return prose.split("\n")[-1].strip() or None
    before = prose[: runs[-1].start()]
    if _PART_OF_A_WORD.search(before) or _is_bound(before):
        return None
    if runs[-1][0].startswith(("+", "-", "−")) and _BEHIND_A_NAME.search(before):
        return None
    return _alone(runs[-1], prose)


def _is_bound(before: str) -> bool:
    return bool(_BOUND.search(before[-80:]))


def _last_result(rest: str) -> str | None:
    """What follows the last equals sign of a text; nothing if later sentences come to other numbers only."""
    run = _RUN.match(rest)
    result = _alone(run, rest, _CHANGED_RESULT) if run else None
    if run is None or result is None:
        return None
    end = _SENTENCE_END.search(rest, run.end())
    later = _RUN.finditer(rest, end.end() if end else len(rest))
    numbers = [_bare(one[0]) for one in later if not _PART_OF_A_WORD.search(rest[: one.start()])]
    return result if not numbers or _bare(result) in numbers else None


def _bare(number: str) -> str:
    return tidy(number.strip(" ,;:")).lstrip("$€£ ")


def _alone(run: "re.Match[str]", text: str, changed: "re.Pattern[str]" = _CHANGED) -> str | None:
    """A run of mathematics in plain text, unless a letter or a word goes on with it: neither 2x nor 2 million is 2."""
    whole = _without_what_is_open(run[0])
    found = whole.strip(" ,;:").rstrip("!")  # in prose, said with emphasis
    if found.endswith(("=", "/")):  # "100 = x" and "5/hour" go on with something else
        return _right_side(found.rstrip("=/ "))
    rest = text[run.start() + len(whole) :]
    return None if _goes_on(rest) or changed.match(rest) else _right_side(found)


def _inside(formula: "re.Match[str]") -> str:
    """The result that a formula ends on; the whole of an equation that has still to be solved, such as 2x = 5."""
    inner = _without_end(next(group for group in formula.groups() if group is not None))
    return inner if len(inner) <= LONGEST_EQUATION and _UNSOLVED.fullmatch(inner) else _right_side(inner)
