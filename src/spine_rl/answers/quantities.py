"""Numbers that are one answer: "3 hours and 25 minutes", "2 apples and 3 pears", "9:40 pm", "3-1", "5 km", "5 May"."""

import math
import re
from collections.abc import Iterable
from fractions import Fraction

from spine_rl.answers.dates import date_key
from spine_rl.answers.numbers import number_key
from spine_rl.answers.typography import strip_typography

# Per kind: the unit of its key, and how many of these are in each unit.
_KINDS: tuple[tuple[str, dict[str, int]], ...] = (
    (" s", {"week": 604_800, "day": 86_400, "hour": 3600, "hr": 3600, "h": 3600, "minute": 60, "min": 60}),
    (" s", {"second": 1, "sec": 1, "s": 1}),
    (" months", {"year": 12, "month": 1}),
    (" in", {"mile": 63_360, "yard": 36, "feet": 12, "foot": 12, "ft": 12, "inche": 1, "inch": 1, "in": 1}),
    (" oz", {"pound": 16, "lb": 16, "ounce": 1, "oz": 1}),
    (" mm", {"kilometer": 10**6, "kilometre": 10**6, "km": 10**6, "meter": 1000, "metre": 1000, "m": 1000}),
    (" mm", {"centimeter": 10, "centimetre": 10, "cm": 10, "millimeter": 1, "millimetre": 1, "mm": 1}),
    (" g", {"kilogram": 1000, "kg": 1000, "gram": 1, "g": 1}),
    ("/100", {"dollar": 100, "cent": 1}),
)
_UNITS = {unit: (kind, size) for kind, units in _KINDS for unit, size in units.items()}
_SMALLEST = {kind: min(size for other, size in _UNITS.values() if other == kind) for kind, _ in _UNITS.values()}
_LARGER = [unit for unit, (kind, size) in _UNITS.items() if size > _SMALLEST[kind]]  # without "in": 8 in 3 years


def _amount(units: Iterable[str]) -> str:
    return rf"\d{{1,9}}(?:\.\d{{1,9}})?\s?(?:{'|'.join(sorted(units, key=len, reverse=True))})s?\b"


COMPOUND = (
    rf"{_amount(_LARGER)}(?:\s?,?\s?(?:and\s)?\s?{_amount(_LARGER)}){{0,3}}\s?,?\s?(?:and\s)?\s?{_amount(_UNITS)}"
)
CLOCK = r"\d{1,2}(?::\d\d)?\s?[apAP](?:\.\s?[mM]\.|[mM]\b)"

_COMPOUND = re.compile(COMPOUND)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s?([a-z]+)")
_CLOCK = re.compile(r"(\d{1,2})(?::(\d\d))?\s?([apAP])\.?\s?[mM]\.?")
_HOURS = re.compile(r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?")
_FEET = re.compile(r"(\d{1,3})\s?['’′]\s?(\d{1,2})\s?(?:[\"”″]|['’′]{2})")  # 5'6"
_ARC = re.compile(  # 5° 30'
    r"(\d{1,3})\s?(?:°|\^\s?\{?\s?\\circ\s?\}?)\s?(\d{1,2})\s?['’′](?:\s?(\d{1,2})\s?(?:[\"”″]|['’′]{2}))?"
)
_THINGS = re.compile(
    r"(\d{1,9}(?:\.\d{1,9})?)\s?((?!hundred|thousand|(?:m|b|tr)illion)[a-z]{2,20}(?:\s[a-z]{2,20}){0,2})"
)
_AND = re.compile(r"\s?[,;]\s?(?:and\s)?|\s?\band\s")
_WRAPPER = re.compile(r"\\(?:text(?:rm|bf)?|mbox|mathrm)\s*\{([^{}]*)\}")
_SPACING = re.compile(r"\\[,;:! ]|\\?\$|\*\*|~|\\[()]")


# A metric prefix is a factor; cm and the units without one are left out, for who says so was asked for them.
_PREFIXES = {"k": Fraction(1000), "M": Fraction(10**6), "G": Fraction(10**9), "T": Fraction(10**12)}
_PREFIXES |= {"m": Fraction(1, 1000), "n": Fraction(1, 10**9), "μ": Fraction(1, 10**6), "µ": Fraction(1, 10**6)}
_UNIT = r"(?P<prefix>[kMGTmnμµ])(?:[gLlsVAWJNFmΩ]|Hz|Pa|eV|[Bb]|mol)"
_MULTIPLE = re.compile(
    rf"(?P<amount>.*[\d}})])(?:(?:\s|~|\\[,;: ]|\\(?:text|mathrm|mbox)\s?\{{)+{_UNIT}"
    r"|(?=k[mg]|m[gmLl])(?P<short>[km])[mgLl])\s*\}?[\s.$]*"
)
_PERCENTAGE = re.compile(
    r"(?P<value>.{1,60}?)[\s$]*,?\s*(?:\bor\b|\((?:or\b|=)?)\s*\$?(?P<percent>\d+(?:\.\d+)?)\s?\\?%\s*\)?[\s$.]*"
)
_SEVERAL = re.compile(r"[,;](?!\d{3})|[<>]|\\(?:pm|le|ge|text)|[A-Za-z]{2}\s")
_SPAN = re.compile(r"\d{1,4}(?:[-–]\d{1,4}){1,3}|\d{1,4}\s?–\s?\d{1,4}|\d{1,4}/\d{1,2}/\d{2,4}")


def split_multiple(answer: str) -> tuple[str, Fraction] | None:
    """The amount, and the factor of its metric prefix, of `5 km` and `3\\text{ mg}`; None for anything else."""
    if answer[-1:].isdigit() or not (match := _MULTIPLE.fullmatch(answer)):
        return None
    amount = match["amount"].rpartition("=")[2].strip()
    return None if _SEVERAL.search(amount) else (amount, _PREFIXES[match["prefix"] or match["short"]])


def drop_percentage(answer: str) -> str:
    """A number without the percentage that says it again, exactly or rounded: `3/4 (75%)`, `2/3, or 66.7%`."""
    said = _PERCENTAGE.fullmatch(answer) if "%" in answer and len(answer) < 100 else None
    value = number_key(strip_typography(said["value"])) if said else None
    if said is None or value is None:
        return answer
    rounding = Fraction(1, 2 * 10 ** len(said["percent"].partition(".")[2]))
    return said["value"] if abs(100 * Fraction(value) - Fraction(said["percent"])) <= rounding else answer


def read_span(text: str) -> str | None:
    """The key of a score, a range of years or a date, which are no differences and no fractions; None for others."""
    if not _SPAN.fullmatch(text):
        return None
    mark = "/" if "/" in text else "-"
    return mark.join(str(int(part)) for part in re.split(r"\s?[-–/]\s?", text))


def quantity_key(answer: str) -> str | None:
    """The key of a compound amount, of amounts of several things, of a time of day or a date; None for anything else.

    `7:32` without am and pm is left to be a ratio, in lowest terms; `9:05` and `6:30`, which are none, are times.
    """
    text = " ".join(_SPACING.sub(" ", _WRAPPER.sub(r" \1 ", answer)).split()).strip(" .,;")
    if clock := _CLOCK.fullmatch(text):
        hour, minute, half = clock.groups()
        return f"{int(hour)}:{minute or '00'} {half.lower()}m"
    if hours := _HOURS.fullmatch(text):
        return _time_key(*hours.groups())
    if arc := _ARC.fullmatch(text):
        return str(sum(Fraction(int(part or 0), 60**power) for power, part in enumerate(arc.groups())))
    text = _FEET.sub(r"\1 ft \2 in", text)
    return (_compound_key(text) if _COMPOUND.fullmatch(text) else _things_key(text.lower())) or date_key(text)


def _time_key(hour: str, minute: str, second: str | None) -> str | None:
    if second is None and minute[0] != "0" and math.gcd(int(hour), int(minute)) == 1:
        return None
    return ":".join([str(int(hour)), minute, *filter(None, [second])])


def _compound_key(text: str) -> str | None:
    """The amounts together, in the smallest unit of their kind; None where they are not of one kind."""
    parts = [(Fraction(number), _UNITS[_singular(unit)]) for number, unit in _PART.findall(text)]
    kinds, sizes = {kind for _, (kind, _) in parts}, [size for _, (_, size) in parts]
    if len(kinds) != 1 or sizes != sorted(set(sizes), reverse=True):
        return None
    total = sum((number * size for number, (_, size) in parts), Fraction(0))
    kind = kinds.pop()
    return str(total / 100) if kind == "/100" else f"{total}{kind}"


def _things_key(text: str) -> str | None:
    """`2 apples and 3 pears`, which is not 3 apples and 2 pears; None where all are of one kind, or one has none."""
    parts = [_THINGS.fullmatch(part) for part in _AND.split(text)]
    amounts = {part[2].removesuffix("s"): Fraction(part[1]) for part in parts if part}
    if len(parts) < 2 or len(amounts) < len(parts):
        return None
    return ", ".join(f"{amounts[thing]} {thing}" for thing in sorted(amounts))


def _singular(unit: str) -> str:
    return unit if unit in _UNITS else unit.removesuffix("s")
