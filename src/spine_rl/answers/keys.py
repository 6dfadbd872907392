"""One canonical key per answer: equal keys, same answer.

Numbers become exact fractions, so `0.5`, `1/2` and `\\frac12` are one answer; other mathematics is keyed by its value,
in a process of its own; what is left is compared as text with its typography removed.
"""

import re
from fractions import Fraction

from spine_rl.answers.extract import extract_answer
from spine_rl.answers.symbolic import SymbolicTimeoutError, compute_symbolic_key

MAX_DIGITS = 200  # longer numerals are compared as text
MAX_EXPRESSION = 300  # characters; longer ones too

_TYPOGRAPHY = re.compile(
    r"\\(?:left|right|displaystyle|,|!|;|:|quad|qquad)(?![A-Za-z])|(?<!\\)\\\s|[$\s~]|\\[()\[\]]|\\(?:text|mathrm|mathbf|textbf)(?=\{)"
)
_THOUSANDS = re.compile(r"(?<=\d)(?:,|\{,\})(?=\d{3}(?!\d))")
_UNIT = re.compile(r"(?:\\%|%|\\?°|\^\{?\\circ\}?|\\degree)$")
_CURRENCY = re.compile(r"^(?:\\\$|[€£¥])")
_VARIABLE = re.compile(r"^[A-Za-z]=(?=.)")
_FRACTION = re.compile(r"^([+-]?)\\frac(?:\{(\d+)\}|(\d))(?:\{(\d+)\}|(\d))$")
_RATIO = re.compile(r"^([+-]?\d+)/(\d+)$")
_DECIMAL = re.compile(r"^[+-]?(?:\d+\.?\d*|\.\d+)$")
_MATHEMATICS = re.compile(r"[\d^=+*/<>]|\\[a-zA-Z]")
_MIXED = re.compile(r"^([+-]?)(\d+)\\frac(?:\{(\d+)\}|(\d))(?:\{(\d+)\}|(\d))$")


def response_key(text: str, answer_type: str = "math") -> str | None:
    """Extracts a response's answer and brings it to its key; None where it has none."""
    answer = extract_answer(text, answer_type)
    return None if answer is None else canonical_key(answer, answer_type)


def gold_key(answer: str, answer_type: str = "math") -> str | None:
    """The key of a gold answer, which may stand alone or end a worked solution (GSM8K's `#### 18`)."""
    return response_key(answer, answer_type) or canonical_key(answer, answer_type)


def canonical_key(answer: str, answer_type: str = "math") -> str | None:
    """The key of an answer's text (what `extract_answer` found); None where nothing is left of it."""
    if answer_type == "choice":
        letter = answer.strip().strip("().").upper()
        return letter or None
    text = _strip_typography(answer)
    value = _parse_number(text)
    if value is not None:
        return str(value)
    if _is_expression(text):
        try:
            return compute_symbolic_key(text) or text
        except SymbolicTimeoutError:
            return None
    return text or None


def _strip_typography(answer: str) -> str:
    """Drops what carries no meaning: spacing, math delimiters, text wrappers, units of percent and degree."""
    text = answer.strip().replace("−", "-")
    text = _CURRENCY.sub("", text)
    text = re.sub(r"\\[dt]frac", r"\\frac", text)
    text = _TYPOGRAPHY.sub("", text)
    text = _UNIT.sub("", text)
    text = _VARIABLE.sub("", text)
    if text.startswith("{") and text.endswith("}") and text.count("{") == 1:
        text = text[1:-1]
    text = _THOUSANDS.sub("", text).removesuffix(".")
    return text.lower() if text.isalpha() else text


def _is_expression(text: str) -> bool:
    """Whether mathematics may stand here, not words."""
    return text.isascii() and len(text) <= MAX_EXPRESSION and bool(_MATHEMATICS.search(text))


def _parse_number(text: str) -> Fraction | None:
    if len(text) > MAX_DIGITS or not text.isascii():
        return None
    if _DECIMAL.match(text):
        return Fraction(text)
    if match := _RATIO.match(text):
        return _fraction("+", *match.groups())
    if match := _FRACTION.match(text):
        sign, *digits = match.groups()
        return _fraction(sign, *filter(None, digits))
    if match := _MIXED.match(text):
        sign, whole, *digits = match.groups()
        part = _fraction("+", *filter(None, digits))
        return None if part is None else (-1 if sign == "-" else 1) * (int(whole) + part)
    return None


def _fraction(sign: str, numerator: str, denominator: str) -> Fraction | None:
    if int(denominator) == 0:
        return None
    value = Fraction(int(numerator), int(denominator))
    return -value if sign == "-" else value
