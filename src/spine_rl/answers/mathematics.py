"""One canonical key per mathematical answer: equal keys, same value.

A number is its exact fraction, so `0.5`, `1/2` and `\\frac12` are one answer; a structure is made of its parts' keys;
other mathematics is keyed by its value, in a process of its own; what is left is compared as text.
"""

import re
from fractions import Fraction
from functools import lru_cache

from spine_rl.answers.equations import named_value
from spine_rl.answers.latex import FUNCTIONS, hide_log_base, to_latex
from spine_rl.answers.number_words import read_number_words
from spine_rl.answers.numbers import number_key
from spine_rl.answers.quantities import drop_percentage, quantity_key, read_span, split_multiple
from spine_rl.answers.structure import structure_key
from spine_rl.answers.symbolic import SymbolicTimeoutError, compute_equation_key, compute_symbolic_key
from spine_rl.answers.typography import strip_typography
from spine_rl.answers.units import strip_letter_unit, strip_units

MAX_EXPRESSION = 300  # characters; longer answers are compared as text

_INTEGER = re.compile(r"-?[1-9][0-9]{0,14}|0")
_MATHEMATICS = re.compile(
    r"[\d^+*/|!]|\)\s*\(|\\[a-zA-Z]|[a-zA-Z]\s*-|^-?pi$"
    rf"|(?<![A-Za-z])(?:sqrt|{FUNCTIONS})\s?(?:\(|[a-zA-Z](?![a-zA-Z]))"
)
_PRODUCT = re.compile(r"[b-df-hj-np-tv-z]{2,3}|a[bcd]{1,2}")  # letters that make no word: xy is yx
_DECIMAL_COMMA = re.compile(r"^([-+]?\d+),(\d{1,2}|\d{4,})$")  # 3,5 where one number was asked for
_COMMAND = re.compile(rf"\\(?:begin|end)\{{[a-zA-Z]+\}}|\\[A-Za-z]+|(?<![A-Za-z])(?:sqrt|pi|{FUNCTIONS})(?![a-z])")
_WORD = re.compile(r"[A-Za-z]{4,}|\b(?:by|in|of|to|is)\b|[^\W\d_a-zA-Z]")
_MISREAD = re.compile(r"\d\s+\d|\d\.\d+\.\d|\d[eE][+-]?\d|!!")  # 1e400 is not 400e, 5!! not (5!)!
_NAMED = {"\\infty": "oo", "+\\infty": "oo", "-\\infty": "-oo", "infinity": "oo", "-infinity": "-oo"}
_NAMED |= {"inf": "oo", "+inf": "oo", "-inf": "-oo", "oo": "oo", "-oo": "-oo"}
_NAMED |= {"i": "0+1i"}  # as the value of \sqrt{-1} is written
_NAMED |= dict.fromkeys(("\\emptyset", "\\varnothing"), "{}")
_NAMED |= dict.fromkeys(
    ("\\mathbb{R}", "\\mathbbR", "\\Bbb{R}", "\\BbbR", "\\R", "allrealnumbers", "allreals"), "(-oo;oo)"
)
_BASE = re.compile(
    r"\(?(\d[\dA-Fa-f]*(?:\.[\dA-Fa-f]+)?)\)?(?:_|\s\(?(?:in )?base[ -])\s?\{?\s*(\d+|[a-z]{3,})\s*\}?\)?"
)
_BASE_NAMES = {"two": "2", "three": "3", "five": "5", "eight": "8", "ten": "10", "twelve": "12", "sixteen": "16"}
_AROUND_COMMAND = re.compile(r"\s*(\\[A-Za-z]+)(?:\s+(?![A-Za-z]))?")
_LONG_WORD = re.compile(r"(?<![\\A-Za-z])[^\W\d_]{3,}")
_ARTICLE = re.compile(r"^\s*(?:an?|the)\s(?=[a-z]{3})", re.IGNORECASE)  # an ellipse
_SHORT_WORDS = {"no", "up", "on", "in", "it", "go", "or", "ok", "is", "we", "he", "so", "at", "by", "to", "if"}


def math_key(answer: str) -> str | None:
    """The key of any mathematics, or of a short answer in words; None where its value cannot be had in time."""
    if _INTEGER.fullmatch(answer):
        return answer
    try:
        return _math_key(answer)
    except SymbolicTimeoutError:
        return None


def number_type_key(answer: str) -> str | None:
    """The key where a number was asked for: units stay out whatever their size, and a name before it (`m + n = 5`).

    None where there is no number in it.
    """
    if _INTEGER.fullmatch(answer):
        return answer
    text = _DECIMAL_COMMA.sub(r"\1.\2", strip_letter_unit(strip_typography(answer)))
    key = number_key(text) if quantity_key(answer) is None else None
    if key is None:
        key = math_key(named_value(text) or text if "=" in text else answer)
    return key if key and any(map(str.isdigit, key)) else None


def find_math_rule(answer: str) -> str:
    """In words, which rule makes an answer's key."""
    try:
        return _find_key(answer)[0]
    except SymbolicTimeoutError:
        return "its value cannot be had in time"


def _math_key(answer: str) -> str | None:
    """Of any mathematics.

    Raises:
        SymbolicTimeoutError: Its value cannot be had in time.
    """
    return _find_key(answer)[1]


@lru_cache(maxsize=20_000)
def _find_key(answer: str) -> tuple[str, str | None]:
    """The rule that makes the key, and the key."""
    if (multiple := split_multiple(answer)) is not None:
        return "an amount in a multiple of a unit", _scaled_key(*multiple)
    text = strip_typography(answer := drop_percentage(answer))
    if (key := number_key(text)) is not None:
        return "a number, as an exact fraction", key
    if (key := quantity_key(answer)) is not None:
        return "an amount of several units, or a time of day", key
    if (key := read_span(text)) is not None:
        return "a score, a span or a date", key
    if (number := read_number_words(text)) is not None:
        return "a number in words", str(number)
    if len(text) > MAX_EXPRESSION:
        return "too long to be worked out: text", _words_key(text)
    key = structure_key(text, _atom_key, _equation_key)
    return ("text" if key == _words_key(text) else "mathematics, by its parts and their values"), key


def _scaled_key(amount: str, factor: Fraction) -> str | None:
    """Of an amount in a unit that is a multiple: 5 km is 5000."""
    if plain := number_key(strip_typography(amount)):
        return str(Fraction(plain) * factor)
    return _math_key(f"({amount}) \\cdot ({factor})")


def _atom_key(text: str) -> str | None:
    """Of an expression without structure: a number, a value, or words.

    Raises:
        SymbolicTimeoutError: Its value cannot be had in time.
    """
    text = strip_units(text.strip())
    key = number_key(text) or _named_key(text.replace(" ", "")) or read_span(text)
    if key is not None:
        return key
    if based := _BASE.fullmatch(text):
        base = _BASE_NAMES.get(based.group(2), based.group(2))
        if base == "10" and (key := number_key(based.group(1))) is not None:
            return key
        return f"{based.group(1).lower()}_{base}"
    if _is_expression(text):
        return compute_symbolic_key(to_latex(text)) or _words_key(text)
    return _words_key(text)


def _named_key(text: str) -> str | None:
    return _NAMED.get(text) or _NAMED.get(text.casefold() if len(text) > 4 else "")


def _equation_key(text: str) -> str | None:
    """Of an equation that is not solved for anything, compared up to a factor.

    Raises:
        SymbolicTimeoutError: Its value cannot be had in time.
    """
    left, _, right = text.partition("=")
    key = compute_equation_key(to_latex(f"({left})-({right})")) if _is_expression(text) else None
    return key or _words_key(text)


def _is_expression(text: str) -> bool:
    """Whether mathematics may stand here, not words."""
    if not text.isascii() or _MISREAD.search(hide_log_base(text)):
        return False
    if _PRODUCT.fullmatch(text):
        return True
    return bool(_MATHEMATICS.search(text)) and not _WORD.search(_COMMAND.sub(" ", text))


def _words_key(text: str) -> str | None:
    """Text without its typography. Words are compared without case, but not letters and pairs of them: R, Aa, AB."""
    text = _ARTICLE.sub("", re.sub(r"\\(?![A-Za-z])|[{}\"]", "", text))
    if "\\" in text:
        text = _AROUND_COMMAND.sub(r"\1", text)  # A \cap B as A\cap B
    spaced = re.search(r"[A-Za-z]{2,}\s+[A-Za-z]|\d\s+\d", text)
    text = (" " if spaced else "").join(text.split()).strip(" .,;")
    if text.casefold() in _SHORT_WORDS or (spaced and _LONG_WORD.search(text) and "\\" not in text):
        return text.casefold()
    return _LONG_WORD.sub(lambda word: word.group().casefold(), text) or None
