"""The value in a phrase: a formula, an expression in plain text, or a number; so `math` and `number` are read."""

import re
from collections.abc import Sequence

from spine_rl.answers.dates import DATE, date_key
from spine_rl.answers.number_words import CHINESE, ENGLISH, read_number_words
from spine_rl.answers.places import NO_ANSWER, Place
from spine_rl.answers.quantities import CLOCK, COMPOUND, quantity_key
from spine_rl.answers.refusals import is_refusal
from spine_rl.answers.typography import strip_typography, write_out_fractions
from spine_rl.answers.units import strip_letter_unit

_MATH = re.compile(r"\$\$(.+?)\$\$|(?<!\\)\$(.+?)(?<!\\)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]")
_LISTING = re.compile(r"(?:[\s,;.]|\band\b|\bor\b|和|或)*")
_BEFORE_VALUE = re.compile(
    r"(?:\b(?:is|are|be|equals?|makes?|at|(?<!out\s)of)\b|[=≈]|(?<!\d):|:(?!\d)|为|是"
    r"|\b(?:so|thus|hence|therefore)\b,?(?=\s[-−$€£\\]{0,3}\d[\d.,]*(?:\s[a-z]+)?[.!]?$))\s*(?=\S)"  # ", so 24."
)
_PROSE = re.compile(
    r"(?<![\\A-Za-z{])(?!(?:and|or|pi|sqrt|sin|cos|tan|log|ln|exp|infinity|infty|percent|frac|text"
    r"|hundred|thousand|[mb]illion|trillion)\b)"
    r"(?:(?:(?![×÷])[A-Za-zÀ-ɏ\u1e00-\u1eff]){2,}|a(?=\s[a-z]{2}))|(?![和或万亿])[\u3040-\u9fff\uac00-\ud7af]|(?:(?!\d)[\u0400-\u1dff]){2,}|[\u0370-\u03ff\u1f00-\u1fff]{4,}"
)
# 240\,000; with plain spaces 5 000 000, 240 000 and, at the end, 1 128 apples; not "Of the 500 300 are red".
_GROUPED = (
    r"(?:(?=\d{1,3}(?:\{,\}|,?\\|[\u00a0\u202f\u2009]|\s0|\s\d{3}\s\d{3}(?!\d)))"
    r"|(?<!\b[Oo]f\s)(?<!\b[Ii]n\s)(?<!\b[Tt]he\s)(?<!\b[Ff]rom\s)(?=[\d ]{5,7}(?:\.\d+)?(?:\s[A-Za-z]+)?[.!]?\Z))"
    r"[1-9]\d{0,2}(?:(?:\{,\}|,\\!|\\[,;:]|\s)\d{3})+(?!\d)(?:\.\d+)?"
)
_DIGITS = rf"(?:{_GROUPED}|\d[\d,]*\.?\d*|\.\d+)"
_SCALE = r"(?:\s?[万亿]|\s(?:hundred|thousand|[mb]illion|trillion)\b)"
_POWER = r"(?:\s?(?:[x×*]|\\times)\s?10)?\^\{?-?\d{1,9}\}?"
_EXPONENT = r"(?:e[-+]?|E[-+]|(?<=\.\d)E|(?<=\.\d\d)E)\d{1,3}\b"  # not of room 12E5
_WHOLES = r"(?:\d{1,3}\s(?=\d{1,3}\s?/\s?\d))?"  # of 3 1/2
_NUMERAL = rf"(?:\\?[$€£¥]\s?)?{_WHOLES}{_DIGITS}(?:{_POWER}|{_EXPONENT}|(?::\d+)+|\s?/\s?\d+)?{_SCALE}?\s?(?:\\?%)?"
_OUT_OF = re.compile(rf"[-+−]?\s?{_NUMERAL}(?=\s?(?:(?:[a-z]+\s){{0,2}}out\s)?of\s(?:the\s)?\d[\d,.]*[^\d]*$)")
_STARTS_WITH_NUMERAL = re.compile(rf"[-+−]?\s?{_NUMERAL}")
_SIDE = r"\d{1,9}(?:\.\d{1,9})?(?:\s?(?:feet|ft|inches|in|cm|mm|m|meters|metres|units))?"
_THINGS = r"\d{1,9} [a-z]{2,20},? and \d{1,9} [a-z]{2,20}(?=\s?(?:[.,;]|$))"
_COORDINATES = r"[(\[](?=[^()\[\]]{1,80}[)\]])(?:[-+−\d./∞^{}\s]|\\[a-z]+|,(?!\d{3}\b)){3,80}[)\]]"
_BASED = r"\d[\dA-Fa-f]{0,60} \(?(?:in )?base[ -]\w{1,7}\)?"
_ALL_BUT = r"all real(?: number)?s except (?:for )?-?\d[\d./]*(?:(?:, and|,| and) -?\d[\d./]*){0,3}"
# Several numbers that are one answer, and days: 3 hours and 25 minutes, 9:40 pm, 3 by 5, 3 apples and 5 pears, May 5.
_WHOLE = rf"{COMPOUND}|{CLOCK}|{DATE}|{_ALL_BUT}|{_BASED}|{_SIDE}(?: by {_SIDE}){{1,2}}|{_THINGS}"
_STARTS_WITH_WHOLE = re.compile(_WHOLE)
_LAST_NUMERAL = re.compile(
    rf"(?<![A-Za-z0-9_.])(?:{_WHOLE}|{_COORDINATES}|(?P<score>\d+(?:[-–]\d+)+)|[-+−]?{_NUMERAL})"
)
_ASIDE = re.compile(r"(?<=\s)(?:\([^()]{1,200}\)|\[[^\[\]]{1,200}\])")
_TEXT = re.compile(r"\\(?:text|mbox|mathrm)\{([^{}]*)\}")
_WRAPPED = re.compile(_TEXT.pattern + r"(?:\s?\^\s?\{?[23]\}?)?")  # \text{ cm}^2
# Remarks behind an answer, which may hold numbers of their own: "12, which is 3 times 4", "12 because 3 boxes hold 4".
# What a remark only says in other words ("2 hours, which is 120 minutes") is read.
_WHY = re.compile(
    r"[\s,;]\s?(?:because|since)\s(?!.*\b(?:so|thus|hence|therefore)\b)|,?\sor\s(?:about|approximately|roughly)\s",
    re.IGNORECASE,
)
_REMARK = re.compile(
    rf"{_WHY.pattern}|[,;]\s(?:which|where|as|not)\s(?!(?:is|equals|makes|gives)\s(?:\$[^$]+\$|{_NUMERAL})[\sA-Za-z]*$)",
    re.IGNORECASE,
)
_ROUNDED = re.compile(r"((?:[√π]|\d/)[\d√π()/·+-]{0,20})\s?≈\s?\d*\.\d+")  # 2√3 ≈ 3.46
_WORKING = re.compile(r"(?<=\d)\s+\(=?(?=[^()]*[+×*/÷=-])(?:[\d\s.,+×*/÷=-]|\\times|\\cdot)+\)$")  # 12 (3 × 4)
_TRAILING = re.compile(r"(?:[\s,;:(/]|\band|\bor)+$")
# What may stand under a stroke and is no unit of a rate: 3/ab, not 3/hr and 3/day.
_SYMBOLS = (
    r"(?:pi|sqrt|sin|cos|tan|log|ln|exp|ab[a-z]|xyz|(?!lbs|hrs|yrs|pkg|pts)[b-df-hj-np-tv-xz]{3}"
    r"|(?!hr|cm|mm|km|kg|mg|m[lL]|ft|in|yd|mi|lb|oz|mo|wk|yr|pc|pt|qt)[A-Za-z]{1,2})(?![A-Za-z])"
)
_DENOMINATOR = re.compile(rf"/\s?{_SYMBOLS}")
_PART_BEFORE = re.compile(r"(?:[√^*/×·π]|\\[a-z]{1,9}\{?|\{|(?:[\d)}]|(?<=\bto\s)[a-z])\s?[-+−])\s{0,2}$")
_PART_AFTER = re.compile(
    rf"\s?(?:[√^*×·π!]|/(?!\s?(?!{_SYMBOLS})[A-Za-z])|\\(?![$)\]])|[-+−]\s?\d)|[xyznk](?![A-Za-z])|\}}"
)
_NUMBER_WORDS = re.compile(rf"(?<![\w-])(?:(?:minus|negative)\s)?{ENGLISH}(?![\w-])|{CHINESE}(?![a-z])", re.IGNORECASE)
_MINUS = re.compile(r"(?<![\d)}]\s)(?:\b(?:minus|negative|moins)\s|负)(?=\d)", re.IGNORECASE)  # not of a difference
_BOX_ASIDE = re.compile(r"^(.*\d.*?)(?:\s|\\[,;:! ])*\(\s*\\text\{\s*[a-z]{2,}[^()]*\)$")
_BOX_LEAD = re.compile(r"^\\text\w*\s?\{[^{}]{0,80}(?:\b(?:is|are|equals)|[:=：])\s*\}(?:\s|\\[,;:! ])*(?=\S)")
_BEFORE_WORDS = re.compile(r"^(?:about|exactly|approximately|only|just|the number|就?是|一共|共|\s)+", re.IGNORECASE)
_ARROW = re.compile(r"(?:(?:[=-]{1,2}>|[→⇒⟹⟶➜➡∴•▶👉]\ufe0f?)\s*)+")  # => 12
_BOLD = re.compile(r"\*\*|(?<!_)__(?!_)")
MAX_LEADS = 50  # words or signs before a value that are looked at, from the end
MAX_WORDS = 100  # characters of an answer in words that is not boxed


def read_math(place: Place, _: Sequence[str] = ()) -> str | None:
    """Mathematics, or a short answer in words where something marks it."""
    if place.kind in ("first", "whole"):
        return None
    if is_refusal(place.text, after_value=place.kind == "final"):
        return NO_ANSWER
    return read_value(place)


def read_number(place: Place, _: Sequence[str] = ()) -> str | None:
    """As `read_math`, where a number must stand; one in words counts, and part of an expression does not."""
    answer = read_math(place)
    if answer == NO_ANSWER:
        return answer
    if answer is None or not re.search(r"\d", answer):
        return None if place.kind in ("first", "whole") else _number_in_words(place)
    if date_key(answer):
        return re.findall(r"\d+", answer)[-1]  # the day, or the year
    if quantity_key(answer):
        return answer
    plain = strip_typography(answer)
    if _PROSE.search(strip_letter_unit(plain)):
        first = _OUT_OF.match(plain.rpartition("=")[2].lstrip())  # 5 out of 6
        return first.group() if first else _last_numeral(plain) or answer
    return answer


def read_value(place: Place) -> str | None:
    """What a place says, whether it declines or not."""
    place = Place(place.kind, _write_out(place.text))
    if place.kind == "boxed" or (place.kind == "tagged" and not _PROSE.search(_TEXT.sub("", place.text))):
        return _BOX_ASIDE.sub(r"\1", _BOX_LEAD.sub("", place.text.strip()))
    if "\\boxed" in place.text:
        return None  # an unfinished box
    phrase = _BOLD.sub("", place.text).strip(" \t`\"'“”*_✓✔✅")
    phrase = _ARROW.sub("", phrase, count=1) if _ARROW.match(phrase) else phrase
    phrase = _drop_remark(phrase, _WHY if place.kind == "final" else _REMARK)
    phrase = _drop_asides(phrase) if "(" in phrase or "[" in phrase else phrase
    answer = _read_formulas(phrase) or _read_expression(phrase)
    if answer:
        return answer
    numeral = _last_numeral(_WRAPPED.sub(r" \1 ", phrase))
    if numeral or place.kind == "final":
        return numeral
    return phrase.rstrip(".,;") if len(phrase) <= MAX_WORDS else None


def _write_out(text: str) -> str:
    """`negative 5` as -5, and `2½` as 2 1/2."""
    if not text.isascii():
        text = write_out_fractions(text)
    return _MINUS.sub("-", text)


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


def _read_expression(phrase: str) -> str | None:
    """An expression in plain text: what stands after "is" or "=", or at the start, up to the first word of prose."""
    if "≈" in phrase:
        phrase = _ROUNDED.sub(r"\1", phrase)
    for lead in reversed(list(_BEFORE_VALUE.finditer(phrase))[-MAX_LEADS:]):
        if _PROSE.search(phrase[: lead.start()].rpartition("=")[2]):  # "the total = 3", but not "x = 3"
            phrase = phrase[lead.end() :]
            break
    phrase = phrase.strip()
    if whole := _STARTS_WITH_WHOLE.match(phrase):
        return whole.group()
    prose = _PROSE.search(_DENOMINATOR.sub(_hide, _TEXT.sub(_hide, phrase)))
    value = _TRAILING.sub("", phrase[: prose.start()] if prose else phrase).lstrip(" ,;:").rstrip(" .,;。")
    if value.count("}") > value.count("{"):
        value = value.rstrip('}" ')  # of JSON around it
    starts = _STARTS_WITH_NUMERAL.match(value)
    if prose is None and re.search(r"\d|\\[a-z]", value):
        return value
    return value if starts else None


def _hide(match: re.Match[str]) -> str:
    return "0" * len(match.group())


def _drop_remark(phrase: str, pattern: re.Pattern[str]) -> str:
    """Without a remark behind a value; a phrase that has none before it is left as it is."""
    remark = pattern.search(phrase)
    before = phrase[: remark.start()] if remark else ""
    return before if re.search(r"\d", before) or _NUMBER_WORDS.match(before) else phrase


def _drop_asides(phrase: str) -> str:
    """Without what stands in parentheses in words, unless nothing is left: `12 (since 3*4 = 12)` is 12."""
    phrase = _WORKING.sub("", phrase)
    shorter = _ASIDE.sub(
        lambda aside: (
            ""
            if (_PROSE.search(aside.group()) and "base" not in aside.group()) or aside.group()[1:].lstrip()[0] in "≈~"
            else aside.group()
        ),
        phrase,
    )
    return shorter if re.search(r"\d", shorter) else phrase


def _last_numeral(phrase: str) -> str | None:
    """The last number, or the last numbers that are one answer, or the expression that it is part of; None for a score
    or a span of years (`3-2`)."""
    numerals = list(_LAST_NUMERAL.finditer(phrase))
    if not numerals or numerals[-1]["score"]:
        return None
    last = numerals[-1]
    if not (_PART_BEFORE.search(phrase, 0, last.start()) or _PART_AFTER.match(phrase, last.end())):
        return last.group().strip(" ,")
    start = max((word.end() for word in _PROSE.finditer(phrase, 0, last.start())), default=0)
    end = _PROSE.search(_DENOMINATOR.sub(_hide, phrase), last.end())
    return phrase[start : end.start() if end else None].rpartition("=")[2].strip(" .,;:$。")


def _number_in_words(place: Place) -> str | None:
    """The number that a phrase spells first, or the only one that a line spells."""
    phrase = _WRAPPED.sub(r"\1", _BOLD.sub("", place.text)).strip(" \t`\"'“”*_.")
    if read_number_words(phrase) is not None:
        return phrase
    if place.kind != "final":
        found = _NUMBER_WORDS.match(_BEFORE_WORDS.sub("", phrase))
        return found.group() if found else None
    spelled = [words for words in _NUMBER_WORDS.findall(phrase) if words.lower() not in ("one", "a", "一")]
    return spelled[0] if len(spelled) == 1 and not is_refusal(phrase) else None
