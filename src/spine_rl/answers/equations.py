"""Which side of an equation is the answer: `x = 3`, `m + n = 113`, `\\angle ABC = 30`, `5\\tan 40 = 4`; or neither."""

import re

from spine_rl.answers.brackets import split

EQUALS = re.compile(r"\s*(?:(?<![<>!\\])=|\\approx(?![A-Za-z]))\s*")
_WRAPPED = r"\\(?:overline|overrightarrow|vec|hat|bar|tilde|mathbf|mathcal|mathrm|text|widehat|dot)\s*\{[^{}]*\}"
_ONE_NAME = rf"\|?(?:{_WRAPPED}|\\?[A-Za-z]+)['′]*(?:_(?:\{{[\w,]*\}}|\w+))?(?:\^\{{-1\}})?(?:\([\w,\s]*\))?\|?"
_NAME = re.compile(rf"{_ONE_NAME}(?:\s*:\s*{_ONE_NAME})*|\\frac\{{d\w*\}}\{{d\w+\}}")
_NAMES = re.compile(r"\(\s*(?:[A-Za-z]|\\[a-z]+)(?:_\{?\w+\}?)?\s*(?:,\s*(?:[A-Za-z]|\\[a-z]+)(?:_\{?\w+\}?)?\s*)+\)")
_SEGMENT_RATIO = re.compile(r"\\frac\{[A-Z]{2}\}\{[A-Z]{2}\}")
_ARGUMENTS = re.compile(r"\([^()]*\)|_(?:\{[^{}]*\}|\w)")
_NO_LETTERS = re.compile(
    r"\\(?:boxed|frac|binom|sqrt|cdot|times|pi|div|left|right|sin|cos|tan|cot|sec|csc|log|ln|exp|arcsin|arccos|arctan"
    r"|infty|approx)(?![a-z])"
    r"|(?<![A-Za-z\\])(?:pi|sqrt|sin|cos|tan|log|ln|exp|e|i|hundred|thousand|[mbtr]{1,2}illion)(?![a-z])|[万亿]"
)
_SEVERAL = re.compile(r"[,;]\s|\b(?:and|or)\b")
_IS_EXACT = re.compile(r"\\(?:frac|sqrt|pi)|\d\s*/\s*\d|[a-z(^]")
_ROUNDED = re.compile(r"(?<=[\w)}!])\s*\\approx(?![A-Za-z])\s*-?\d*\.\d+\s*$")
_COMPUTED = re.compile(r"\s*\\(?:lim|sum|int|prod)(?![a-z])")
_COORDINATE = re.compile(r"(?<![\\A-Za-z])[xyz](?![A-Za-z])|(?<![A-Za-z\\])[xyz]{2,3}(?![A-Za-z])")


def named_value(text: str) -> str | None:
    """What an equation says that something is, where a number was asked for: 7 of `x + y = 7`; None of no equation."""
    sides = split(text, EQUALS)
    if any(map(_SEVERAL.search, sides[1:-1])):
        return None  # x = 5 or x = -5
    return sides[-1] if len(sides) > 1 and (len(sides) > 2 or _is_numeric(sides[-1])) else find_solution(sides)


def drop_rounded(text: str) -> str:
    """An exact value without the decimal that rounds it: `\\frac{2}{3} \\approx 0.667`, but not `x \\approx 0.667`."""
    rounded = _ROUNDED.search(text)
    exact = split(text[: rounded.start()], EQUALS)[-1] if rounded else ""
    return text[: rounded.start()] if rounded and _IS_EXACT.search(exact) and _is_numeric(exact) else text


def find_solution(sides: list[str]) -> str | None:
    """The side of an equation that is the answer: it is named, or computed, or ends a chain; None where none is."""
    if len(sides) == 1:
        return None
    left, right = sides[0], sides[-1]
    if len(sides) > 2 or is_name(left) or (_is_numeric(right) and (_names_quantity(left) or _is_numeric(left))):
        return right
    return left if is_name(right) and _is_numeric(left) else None


def _is_numeric(side: str) -> bool:
    """Whether it has a value by itself: no letter stands in it that is no constant and no function."""
    return not re.search(r"[A-Za-z\\]|[^\x00-\x7f]", _NO_LETTERS.sub(" ", side).replace("\\{", "").replace("\\}", ""))


def _names_quantity(side: str) -> bool:
    """Whether letters are said to make a number: `m + n`, `\\angle ABC`, `\\cos A`, `P(A|B)`; not a curve, `x + y`."""
    if _COMPUTED.match(side):
        return True
    bare = _ARGUMENTS.sub("", side)
    return bool(re.search("[A-Za-z]", bare)) and not re.search(r"\d", bare) and not _COORDINATE.search(side)


def is_name(side: str) -> bool:
    side = side.strip()
    if _NAME.fullmatch(side) or _NAMES.fullmatch(side) or _SEGMENT_RATIO.fullmatch(side):
        return True
    words = re.fullmatch(r"[A-Za-z][A-Za-z\s']*", side)
    return words is not None
