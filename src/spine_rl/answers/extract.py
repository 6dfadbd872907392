"""Finds the answer in a response. Model output is hostile input: plain scans over a bounded text, nothing evaluated."""

import re
from collections.abc import Callable, Sequence

from spine_rl.answers.choices import read_choice
from spine_rl.answers.places import MAX_ANSWER, Place, find_places
from spine_rl.answers.quantities import CLOCK, COMPOUND, quantity_key
from spine_rl.answers.words import read_text, read_yes_no

_MATH = re.compile(r"\$\$(.+?)\$\$|(?<!\\)\$(.+?)(?<!\\)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]")
_LISTING = re.compile(r"(?:[\s,;.]|\band\b|\bor\b|和|或)*")
_BEFORE_VALUE = re.compile(r"(?:\b(?:is|are|be|equals?|makes?|at|of)\b|[=≈]|(?<!\d):|:(?!\d)|为|是)\s*(?=\S)")
_PROSE = re.compile(
    r"(?<![\\A-Za-z{])(?!(?:and|or|pi|sqrt|sin|cos|tan|log|ln|exp|infinity|infty|percent|frac|text"
    r"|hundred|thousand|[mb]illion|trillion)\b)"
    r"(?:[A-Za-z]{2,}|a(?=\s[a-z]{2}))|(?![和或万亿])[\u4e00-\u9fff]"
)
_DIGITS = r"(?:\d[\d,]*\.?\d*|\.\d+)"
_SCALE = r"(?:\s?[万亿]|\s(?:hundred|thousand|[mb]illion|trillion)\b)"
_POWER = r"(?:\s?(?:[x×*]|\\times)\s?10)?\^\{?-?\d{1,9}\}?"
_NUMERAL = rf"(?:\\?[$€£¥]\s?)?{_DIGITS}(?:{_POWER}|(?::\d+)+|\s?/\s?\d+)?{_SCALE}?\s?(?:\\?%)?"
_STARTS_WITH_NUMERAL = re.compile(rf"[-+−]?\s?{_NUMERAL}")
_SIDE = r"\d{1,9}(?:\.\d{1,9})?(?:\s?(?:feet|ft|inches|in|cm|mm|m|meters|metres|units))?"
_THINGS = r"\d{1,9} [a-z]{2,20},? and \d{1,9} [a-z]{2,20}(?=\s?(?:[.,;]|$))"
_COORDINATES = r"[(\[](?=[^()\[\]]{1,80}[)\]])(?:[-+−\d./∞^{}\s]|\\[a-z]+|,(?!\d{3}\b)){3,80}[)\]]"
# Several numbers that are one answer: 3 hours and 25 minutes, 9:40 pm, 3 by 5, 3 apples and 5 pears.
_WHOLE = rf"{COMPOUND}|{CLOCK}|{_SIDE}(?: by {_SIDE}){{1,2}}|{_THINGS}"
_STARTS_WITH_WHOLE = re.compile(_WHOLE)
_LAST_NUMERAL = re.compile(
    rf"(?<![A-Za-z0-9_.])(?:{_WHOLE}|{_COORDINATES}|(?P<score>\d+(?:[-–]\d+)+)|[-+−]?{_NUMERAL})"
)
_ASIDE = re.compile(r"(?<=\s)\([^()]{1,200}\)")
_TEXT = re.compile(r"\\(?:text|mbox|mathrm)\{[^{}]*\}")
_TRAILING = re.compile(r"(?:[\s,;:(]|\band|\bor)+$")
MAX_WORDS = 100  # characters of an answer in words that is not boxed


def extract_answer(
    text: str, answer_type: str = "math", options: Sequence[str] = (), *, complete: bool = True
) -> str | None:
    """The answer's own text in a response, or None where there is none; see `spine_rl.answers.places` for where.

    Args:
        text: A response.
        answer_type: `math`: any mathematics, or a short answer in words; `number`; `choice`: a letter A-J; `yes_no`:
            yes, no or maybe; `text`: a short answer in words.
        options: Of a choice, their texts in the order of their letters, so that an option's text is found too.
        complete: False where the response was cut off by the length limit; its final line is then no answer.
    """
    read = _READERS[answer_type]
    for place in find_places(text, complete=complete):
        answer = read(place, options)
        if answer and len(answer) <= MAX_ANSWER:
            return answer
    return None


def _read_math(place: Place, _: Sequence[str] = ()) -> str | None:
    if place.kind == "boxed" or (place.kind == "tagged" and not _PROSE.search(_TEXT.sub("", place.text))):
        return place.text.strip()
    if "\\boxed" in place.text:
        return None  # an unfinished box
    phrase = place.text.replace("**", "").strip(" \t`\"'“”*_✓✔✅")
    phrase = _drop_asides(phrase) if "(" in phrase else phrase
    answer = _read_formulas(phrase) or _read_value(phrase)
    if answer:
        return answer
    numeral = _last_numeral(phrase)
    if numeral or place.kind == "final":
        return numeral
    return phrase.rstrip(".,;") if len(phrase) <= MAX_WORDS else None


def _read_formulas(phrase: str) -> str | None:
    """The last formula between math delimiters, and those listed with it, unless a value in plain text follows."""
    formulas = list(_MATH.finditer(phrase))
    if not formulas or phrase.replace("\\$", "").count("$") % 2:  # an odd one is a currency sign
        return None
    if re.search(r"\d", phrase[formulas[-1].end() :]):
        return None
    kept = [formulas[-1]]
    for formula in reversed(formulas[:-1]):
        if not _LISTING.fullmatch(phrase[formula.end() : kept[0].start()]):
            break
        kept.insert(0, formula)
    return ", ".join(next(filter(None, formula.groups())) for formula in kept)


def _read_value(phrase: str) -> str | None:
    """An expression in plain text: what stands after "is" or "=", or at the start, up to the first word of prose."""
    for lead in reversed(list(_BEFORE_VALUE.finditer(phrase))):
        if _PROSE.search(phrase[: lead.start()].rpartition("=")[2]):  # "the total = 3", but not "x = 3"
            phrase = phrase[lead.end() :]
            break
    phrase = phrase.strip()
    if whole := _STARTS_WITH_WHOLE.match(phrase):
        return whole.group()
    prose = _PROSE.search(phrase)
    value = _TRAILING.sub("", phrase[: prose.start()] if prose else phrase).lstrip(" ,;:").rstrip(" .,;。")
    if value.count("}") > value.count("{"):
        value = value.rstrip('}" ')  # of JSON around it
    starts = _STARTS_WITH_NUMERAL.match(value)
    if prose is None and re.search(r"\d|\\[a-z]", value):
        return value
    return value if starts else None


def _drop_asides(phrase: str) -> str:
    """Without what stands in parentheses in words, unless nothing is left: `12 (since 3*4 = 12)` is 12."""
    shorter = _ASIDE.sub(lambda aside: "" if _PROSE.search(aside.group()) else aside.group(), phrase)
    return shorter if re.search(r"\d", shorter) else phrase


def _last_numeral(phrase: str) -> str | None:
    """The last number, or the last numbers that are one answer; None for a score or a span of years (`3-2`)."""
    numerals = list(_LAST_NUMERAL.finditer(phrase))
    return numerals[-1].group().strip(" ,") if numerals and not numerals[-1]["score"] else None


def _read_number(place: Place, _: Sequence[str] = ()) -> str | None:
    answer = _read_math(place)
    if answer is None or not re.search(r"\d", answer):
        return None
    if quantity_key(answer):
        return answer
    if _PROSE.search(_TEXT.sub("", answer)):
        return _last_numeral(answer) or answer
    return answer


_READERS: dict[str, Callable[[Place, Sequence[str]], str | None]] = {
    "math": _read_math,
    "number": _read_number,
    "choice": read_choice,
    "yes_no": lambda place, _: read_yes_no(place),
    "text": lambda place, _: read_text(place),
}
ANSWER_TYPES = tuple(_READERS)
