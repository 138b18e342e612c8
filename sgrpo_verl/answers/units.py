r"""Separates a value from its unit. A unit is a word of a list, or a plain plural noun after a whole number (5 apples).

Never one: a number word (5 dozen), a conjunction (5 or more), a comparison (5 at most). Degrees of an angle inside a
function are no unit either: \sin 30^\circ is a number.
"""

import re

from sgrpo_verl.answers.words import NUMBERS, PARTS, SCALES

# For each unit, how it is spelled.
_SAME = {
    "%": "% percent pct",
    "degree": "degree deg degrees",
    "dollar": "$ us$ usd dollar buck",
    "cent": "cent ¢",
    "euro": "€ eur euro",
    "pound": "£ gbp pound lb",
    "yen": "¥ jpy yen",
    "rupee": "₹ rupee rs inr",
    "second": "s sec second",
    "minute": "min minute",
    "hour": "h hr hour",
    "day": "day",
    "week": "week wk",
    "month": "month",
    "year": "year yr",
    "millisecond": "ms millisecond",
    "meter": "m meter metre",
    "millimeter": "mm millimeter millimetre",
    "centimeter": "cm centimeter centimetre",
    "decimeter": "dm decimeter decimetre",
    "kilometer": "km kilometer kilometre",
    "inch": "in inch inche",
    "foot": "ft foot feet",
    "yard": "yd yard",
    "mile": "mi mile",
    "gram": "g gram",
    "milligram": "mg milligram",
    "kilogram": "kg kilogram kilo",
    "ton": "ton tonne",
    "ounce": "oz ounce",
    "liter": "l L liter litre",
    "milliliter": "ml mL milliliter millilitre",
    "centiliter": "cl cL",
    "gallon": "gal gallon",
    "quart": "quart qt",
    "pint": "pint",
    "cup": "cup",
    "newton": "N newton",
    "joule": "J joule",
    "kilojoule": "kJ",
    "calorie": "cal calorie",
    "watt": "W watt",
    "kilowatt": "kW",
    "kilowatt hour": "kWh",
    "volt": "V volt",
    "ampere": "A ampere amp",
    "ohm": "ohm",
    "kelvin": "K kelvin",
    "mole": "mol mole",
    "pascal": "Pa pascal",
    "kilopascal": "kPa",
    "hertz": "Hz hertz",
    "kilohertz": "kHz",
    "electronvolt": "eV",
    "radian": "rad radian",
    "mile / hour": "mph",
    "kilometer / hour": "kmh kph kmph",
    "meter / second": "mps",
    "bit": "bit",
    "kilobit": "kb kilobit",
    "megabit": "Mb megabit",
    "gigabit": "Gb gigabit",
    "byte": "B byte",
    "kilobyte": "kB KB kilobyte",
    "megabyte": "MB megabyte",
    "gigabyte": "GB gigabyte",
    "hectare": "ha hectare",
    "acre": "acre",
    "unit": "unit",
    "point": "pts point",
    "piece": "pcs piece",
    "kilocalorie": "kcal",
    "foot2": "sqft",
    "am": "am a.m",
    "pm": "pm p.m",
}
_UNITS = {spelling: unit for unit, spellings in _SAME.items() for spelling in spellings.split()}
# Words that say a number, words that hedge or compare, and words that say what kind of number it is: never a unit.
_MORE_NUMBERS = "score pair couple gross bn mn lakh crore googol myriad twice thrice double triple halves"
_HEDGES = (
    "and or not nor but maybe perhaps possibly probably plus minus times more less fewer greater larger "
    "smaller higher lower least most about around approximately roughly almost nearly up to between than over "
    "under above below otherwise else unless except if when where mod modulo is was this thus always sometimes "
    "divided squared cubed factorial choose percentage"
)
_KINDS = (
    "wrong right correct incorrect true false valid invalid possible impossible undefined unknown indeterminate "
    "missing finite infinite infinity divergent negative positive imaginary complex real rational irrational prime "
    "composite repeating recurring binary octal decimal hexadecimal exact approx"
)
_NUMBERS = [*SCALES, *_MORE_NUMBERS.split(), *NUMBERS, *PARTS]
_PLURALS = [re.sub(r"y$", "ie", one) + ("es" if one.endswith(("x", "s")) else "s") for one in _NUMBERS]
NUMBER_WORDS = frozenset((*_NUMBERS, *_PLURALS))
NO_UNITS = NUMBER_WORDS | {*_HEDGES.split()}
_NO_NOUNS = NO_UNITS | {*_KINDS.split()}
_IRREGULAR = {
    **{"people": "person", "children": "child", "men": "man", "women": "woman", "mice": "mouse", "geese": "goose"},
    **{"teeth": "tooth", "oxen": "ox", "dice": "die", "fish": "fish", "sheep": "sheep", "deer": "deer"},
    **{"cattle": "cattle", "cacti": "cactus", "leaves": "leaf", "loaves": "loaf", "knives": "knife"},
}
_POWERS = {"square": "2", "sq": "2", "cubic": "3", "cu": "3"}
_SCALES_OF_DEGREES = {"celsius": "C", "centigrade": "C", "fahrenheit": "F", "c": "C", "f": "F"}
_WORD = r"(?!(?:per|square|cubic|sq|cu)\b)[A-Za-z¢₹][A-Za-z.]*"  # one reading for each text, or time is exponential
_SQUARE = r"(?:(?:square|cubic|sq|cu)\.? )?"
_POWER = r"(?: ?\^ ?\{?-?\d\}?)?"
_UNIT = rf"{_SQUARE}{_WORD}{_POWER}"
_TRAILING = re.compile(
    r"^(?P<value>.*(?:[\d})\]!]|\\pi|(?<![\\A-Za-z])[a-z](?= [A-Za-z]{2})))"
    r"(?P<unit> ?\\?%| ?\^ ?\{? ?\\circ ?\}?(?: ?[CF](?![A-Za-z]))?| ?[$€£¥¢₹]"
    rf"| ?(?:per )?{_UNIT}(?:(?: ?(?:/|\\cdot|\*) ?| per | )(?:{_UNIT}))*)$",
    re.DOTALL,
)
_CURRENCY = re.compile(r"^(?P<sign>[-+]?) ?(?P<currency>[$€£¥₹]|(?:US\$|USD|EUR|GBP|INR|Rs)\.?)(?= ?[-+]?[\d.])")
_NAME = re.compile(r"(?<![\\A-Za-z])[A-Za-z]")
_FUNCTION = re.compile(r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)")


def without_unit(text: str) -> tuple[str, str]:
    """A tidy answer's value, and its unit in a form of its own; the unit is empty where there is none."""
    if currency := _CURRENCY.match(text):
        return _amount(
            currency["sign"] + text[currency.end() :].strip(), _UNITS[currency["currency"].lower().rstrip(".")]
        )
    found = _TRAILING.match(text)
    if not found:
        return text, ""
    value, written = found["value"].strip(), re.sub(r" ?\^ ?", "^", found["unit"].strip())
    if _FUNCTION.search(value) and re.search(r"circ|deg", written):
        return text, ""  # the sine of so many degrees
    if "circ" in written:
        degrees = re.sub(r"[\s{}^]|\\circ", "", written)
        return value, f"degree{degrees}"
    if not re.search(r"[\d})\]]$", value) and re.match(r"[A-Za-z](?![A-Za-z])", written):
        return text, ""  # 9\pi h is a product
    if len(written) == 1 and written.isalpha() and (found["unit"][0] != " " or _NAME.search(value)):
        return text, ""  # 5m and x + 3 m: as likely a name
    units: list[str] = []
    power = ""
    for part in filter(None, re.split(r" ?(/|\\cdot|\*) ?| ", written)):
        if part.rstrip(".") in _POWERS and not power:
            power = _POWERS[part.rstrip(".")]
            continue
        if units[-1:] == ["degree"] and part.lower() in _SCALES_OF_DEGREES:
            units[-1] += _SCALES_OF_DEGREES[part.lower()]
            continue
        counted = not units or units[-1] == "/"
        unit = "/" if part in ("/", "per") else "*" if part in ("*", "\\cdot") else _unit_of(part)
        unit = unit or (_noun("1" if units else value, part) if counted and found["unit"][0] == " " else None)
        if unit is None:
            return text, ""
        units.append(unit + power)
        power = ""
    return (text, "") if power else (value, " ".join(units))


def _amount(number: str, currency: str) -> tuple[str, str]:
    """An amount of money, also by the day or the piece: $18 per day, $18/day."""
    value, unit = without_unit(re.sub(r" ?/ ?(?=[A-Za-z]{3})", " per ", number))
    if unit.startswith("/") or unit == currency:
        return value, f"{currency} {unit}" if unit.startswith("/") else currency
    return number, currency


def is_unit(word: str) -> bool:
    """Whether a word is the name of a unit."""
    return _unit_of(word) is not None


def _unit_of(word: str) -> str | None:
    """``cm^2`` as ``centimeter2``; None if it is no unit."""
    name, _, power = re.sub(r"[\s{}]", "", word).partition("^")
    for spelling in (name, name.rstrip("."), name.casefold() if len(name) > 1 else name):
        for one in (spelling, spelling.removesuffix("s") if len(spelling) > 2 else spelling):
            if one in _UNITS:
                return _UNITS[one] + power
    return None


def _noun(value: str, word: str) -> str | None:
    """What is counted, in the singular: of "5 apples" and "1 apple". None if the word cannot be that."""
    word = word.casefold()
    if not re.fullmatch(r"[-+]?\d+", value) or not word.isalpha() or len(word) < 3:
        return None
    if word in _NO_NOUNS:
        return None
    if word in _IRREGULAR or word.endswith("men"):  # firemen
        return _IRREGULAR.get(word, f"{word[:-2]}an")
    return word.removesuffix("s") if word.endswith("s") or value == "1" else None
