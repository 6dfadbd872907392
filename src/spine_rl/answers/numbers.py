"""Numerals to exact fractions: `0.5`, `1/2`, `\\frac12`, `1\\frac{1}{2}`, `0.\\overline{3}`, `2.5e3`, `5 million`."""

import re
from fractions import Fraction

MAX_DIGITS = 200  # longer numerals are compared as text
MIN_ROUNDED_DECIMALS, MAX_ROUNDED_DENOMINATOR = 4, 12  # `0.3333` is 1/3, `0.33` is not
ROUNDED_DIGITS = 12  # significant digits of what is no simple fraction

_PLAIN = re.compile(r"[+-]?\d{1,15}")
_DECIMAL = re.compile(r"([+-]?)(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?")
_RATIO = re.compile(r"([+-]?)\(?([+-]?\d+)\)?/\(?([+-]?\d+)\)?")
_FRACTION = re.compile(r"([+-]?)\\frac(?:\{([+-]?\d+)\}|(\d))(?:\{([+-]?\d+)\}|(\d))")
_MIXED = re.compile(r"([+-]?)(\d+)(?:\s*\\frac(?:\{(\d+)\}|\s?(\d))(?:\{(\d+)\}|\s?(\d))|\s+(\d+)\s?/\s?(\d+))")
_SEPARATE = re.compile(r"[\d.]\s+[\d.]")
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SCALES |= {"万": 10**4, "亿": 10**8}
_SCALED = re.compile(rf"(.*\d)\s?({'|'.join(_SCALES)})s?", re.IGNORECASE)
_REPEATING = re.compile(r"([+-]?)(\d*)\.(\d*)(?:\\(?:overline|bar|dot)\{?(\d+)\}?|\((\d+)\))")


def number_key(text: str) -> str | None:
    """The key of a numeral, an exact fraction such as `3/2`; None if it is not one.

    A decimal of four or more places that rounding makes of a fraction with a small denominator is that fraction.
    A decimal of more than `ROUNDED_DIGITS` digits stands for the number it was rounded from: the simple fraction that
    is as near as its digits can tell, else its first digits, as for irrational numbers.
    """
    if _PLAIN.fullmatch(text):
        return str(int(text))
    if len(text) > MAX_DIGITS:
        return None
    if mixed := _MIXED.fullmatch(text):
        sign, whole, *digits = mixed.groups()
        part = _divide("", *filter(None, digits))
        return None if part is None else str((int(whole) + part) * (-1 if sign == "-" else 1))
    if not text[-1:].isdigit() and (scaled := _SCALED.fullmatch(text)):  # 5 million
        amount = number_key(scaled.group(1))
        return None if amount is None else str(Fraction(amount) * _SCALES[scaled.group(2).lower()])
    if _SEPARATE.search(text):
        return None
    text = text.replace(" ", "")
    if _DECIMAL.fullmatch(text):
        return _decimal_key(text)
    if match := _RATIO.fullmatch(text) or _FRACTION.fullmatch(text):
        sign, *digits = match.groups()
        value = _divide(sign, *filter(None, digits))
        return None if value is None else str(value)
    if match := _REPEATING.fullmatch(text):
        sign, whole, fixed, period, bracketed = match.groups()
        if period or whole == "0" or not fixed:  # 2.5(3) is a product
            return str(_repeating(sign, whole, fixed, period or bracketed))
    return None


def _decimal_key(text: str) -> str:
    value = Fraction(text)
    mantissa = text.lower().partition("e")[0]
    digits = len(mantissa.replace(".", "").strip("+-0"))
    decimals = len(mantissa.partition(".")[2])
    if decimals >= MIN_ROUNDED_DECIMALS and digits <= ROUNDED_DIGITS and mantissa == text.lower():
        near = value.limit_denominator(MAX_ROUNDED_DENOMINATOR)
        if 10**decimals % near.denominator and abs(near - value) * 2 * 10**decimals <= 1:
            return str(near)  # 0.3333 is a rounded 1/3
    if digits > ROUNDED_DIGITS and value.denominator != 1:
        near = value.limit_denominator(10_000)
        if abs(near - value) > abs(value) / 10**ROUNDED_DIGITS:
            return f"{float(value):.{ROUNDED_DIGITS}g}"
        value = near
    return str(value)


def _divide(sign: str, numerator: str, denominator: str) -> Fraction | None:
    if int(denominator) == 0:
        return None
    value = Fraction(int(numerator), int(denominator))
    return -value if sign == "-" else value


def _repeating(sign: str, whole: str, fixed: str, period: str) -> Fraction:
    scale = 10 ** len(fixed)
    value = Fraction(int(whole + fixed or "0"), scale) + Fraction(int(period), scale * (10 ** len(period) - 1))
    return -value if sign == "-" else value
