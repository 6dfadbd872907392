"""The structure of a mathematical answer: lists, sets, tuples, intervals, unions, matrices, equations, relations, ±.

A structure's key is made of its parts' keys, in an order of its own where the order has no meaning:

- `3, 5` = `5, 3` = `\\{3, 5\\}` = `x = 3 or x = 5`: a set; of one element, the element;
- `(3, 5)` is a tuple and an open interval alike, and equals `3 < x < 5` and `(x, y) = (3, 5)`;
- `x > 2 and x < 3` is `2 < x < 3`, and `x < 2 or x > 3` a union;
- `x = 3` is `3`, `y = 2x + 1` is `2x + 1`; an equation that is not solved is compared up to a factor;
- `1 \\pm \\sqrt 2` is the set of its two values.

Atoms are left to the caller.
"""

import re
from collections.abc import Callable
from fractions import Fraction

Key = str | None
MAX_DEPTH = 8

_CONNECTOR = re.compile(
    r"\s*(?:[,;]\s*(?:and\b|or\b)?|\band\b|\bor\b|(?<=[\d)}])(?:and|or)(?=[A-Z(\\])"
    r"|\\(?:land|lor|wedge|vee)(?![a-z])|和|或|且)\s*"
)
_OPEN, _CLOSE = "([{", ")]}"
_MATRIX = re.compile(
    r"[(\[]?\s*\\begin\{([pbvBV]?matrix|array)\}(?:\{[^{}]*\})?((?:(?!\\begin|\\end).)*)\\end\{\1\}\s*[)\]]?"
)
_PLUS_MINUS = re.compile(r"\\(pm|mp)(?![A-Za-z])")
_MEMBERSHIP = re.compile(r"^\s*[A-Za-z](?:_\{?\w+\}?)?\s*\\in(?![A-Za-z])\s*")
_UNION = re.compile(r"\s*\\cup(?![A-Za-z])\s*")
_BOTH = re.compile(r"(?<![A-Za-z\\])and\b|\\(?:land|wedge)(?![a-z])|且")
_RELATION = re.compile(r"\s*(\\(?:leq?slant|geq?slant|leq?|geq?|lt|gt)(?![A-Za-z])|<=|>=|<|>)\s*")
_ONE_NAME = r"\|?\\?[A-Za-z]+['′]*(?:_(?:\{[\w,]*\}|\w+))?(?:\([\w,\s]*\))?\|?"
_NAME = re.compile(rf"{_ONE_NAME}(?:\s*:\s*{_ONE_NAME})?")
_NAMES = re.compile(r"\(\s*[A-Za-z](?:_\{?\w+\}?)?\s*(?:,\s*[A-Za-z](?:_\{?\w+\}?)?\s*)+\)")
_SEGMENT_RATIO = re.compile(r"\\frac\{[A-Z]{2}\}\{[A-Z]{2}\}")
_NUMERIC = re.compile(
    r"(?:[\d\s+\-*/^().{}万亿]|hundred|thousand|[mbtr]{1,2}illion|\\(?:frac|binom|sqrt|cdot|times|pi|div)(?![a-z]))*"
)
_VARIABLE = re.compile(r"\\?[A-Za-z]+(?:_\{?\w+\}?)?(?:\([a-z]\))?")


def structure_key(text: str, atom: Callable[[str], Key], equation: Callable[[str], Key], depth: int = 0) -> Key:
    """The key of an answer.

    Args:
        text: The answer, its typography stripped.
        atom: Keys an expression without structure.
        equation: Keys `left=right`.
        depth: Of nesting so far.

    Returns:
        The key, or None where a part has none.
    """

    def key(part: str) -> Key:
        return structure_key(part.strip(), atom, equation, depth + 1)

    if depth > MAX_DEPTH:
        return atom(text)
    if not _MARKS.search(text):
        return atom(text)
    if "\\begin" in text:
        matrix = _MATRIX.fullmatch(text)
        return _matrix_key(matrix.group(2), key) if matrix else atom(text)
    parts = [part for part in _split(text, _SEMICOLON) if part]
    if len(parts) == 1:
        parts = [part for part in _split(text, _CONNECTOR) if part]
    if len(parts) > 1:
        return _both_key(text, parts, key) or _list_key(parts, key)
    if _PLUS_MINUS.search(text):
        return _set_key([key(_choose_sign(text, upper)) for upper in (True, False)])
    if (membership := _MEMBERSHIP.match(text)) is not None:
        return key(text[membership.end() :])
    if len(sides := _split(text, _EQUALS)) > 1:
        return key(sides[-1]) if _is_solved(sides) else equation(text)
    if len(parts := _split(text, _UNION)) > 1:
        keys = sorted({part_key or "" for part_key in map(key, parts)})
        return None if "" in keys else "∪".join(keys)
    if (relation := _relation_key(text, key)) is not None:
        return relation
    return _bracket_key(text, key) or atom(text)


_EQUALS = re.compile(r"\s*(?<![<>!\\])=\s*")
_MARKS = re.compile(r"[,;=<>()\[\]]|\\(?:\{|begin|pm|mp|in|cup|le|ge|lt|gt)|and|or|和|或|且")


def _split(text: str, separator: re.Pattern[str]) -> list[str]:
    """Splits at separators that stand outside all brackets; a half-open interval's brackets match too."""
    found = list(separator.finditer(text))
    if not found:
        return [text]
    depths, depth = [], 0
    for character in text:
        depth += (character in _OPEN) - (character in _CLOSE)
        depths.append(depth)
    parts, start = [], 0
    for match in found:
        at = match.start()
        if match.end() > start and (depths[at - 1] if at else 0) == 0:
            parts.append(text[start:at].strip())
            start = match.end()
    return [*parts, text[start:].strip()]


def _list_key(parts: list[str], key: Callable[[str], Key]) -> Key:
    sides = [_split(part, _EQUALS) for part in parts]
    names = [side[0].replace(" ", "") if len(side) == 2 and _is_name(side[0]) else "" for side in sides]
    roots = {name.partition("_")[0] for name in names}  # x_1 = 1, x_2 = 2 are values of one unknown
    if all(names) and len(roots) == len(parts):  # x = 1, y = 2: a point, its coordinates in the names' order
        keys = [key(side[1]) for _, side in sorted(zip(names, sides, strict=True))]
        return None if None in keys else f"({';'.join(filter(None, keys))})"
    keys = [key(part) for part in parts]
    if all(map(_RELATION.search, parts)) and all(part and part[0] in "([" for part in keys):
        return "∪".join(sorted(filter(None, keys)))  # x < 2 or x > 3
    return _set_key(keys)


def _both_key(text: str, parts: list[str], key: Callable[[str], Key]) -> Key:
    """`x > 2 and x < 3` as the interval between; None for anything else, and where nothing is between (2 and 1)."""
    if len(parts) != 2 or not _BOTH.search(text) or not all(map(_RELATION.search, parts)):
        return None
    variables = {next(filter(_VARIABLE.fullmatch, _split(part, _RELATION)), part) for part in parts}
    if len(variables) != 1:
        return None
    keys = [_relation_key(part, key) or "" for part in parts]
    low, high = (next((k for k in keys if fits(k)), None) for fits in (_is_above, _is_below))
    if low is None or high is None or _is_less(high[5:-1], low[1:-4]):
        return None
    return f"{low[:-4]};{high[5:]}"


def _is_above(key: str) -> bool:
    return key.endswith(";oo)") and not key.startswith("(-oo;")


def _is_below(key: str) -> bool:
    return key.startswith("(-oo;") and not key.endswith(";oo)")


def _is_less(first: str, second: str) -> bool:
    """Whether one number's key is below another's; False where it cannot be told."""
    try:
        return Fraction(first) <= Fraction(second)
    except ValueError:
        return False


def _set_key(keys: list[Key]) -> Key:
    elements: set[str] = set()
    for part in keys:
        if part is None:
            return None
        elements |= set(_elements(part))
    ordered = sorted(elements)
    return ordered[0] if len(ordered) == 1 else "{" + ";".join(ordered) + "}"


def _elements(key: str) -> list[str]:
    """A set within a list is spread: 1 ± 2, 5 has three elements."""
    if not (key.startswith("{") and key.endswith("}")):
        return [key]
    return _split(key[1:-1], _SEMICOLON)


_SEMICOLON = re.compile(";")


def _is_solved(sides: list[str]) -> bool:
    """Whether an equation's last side is the answer: it names it, computes it, or is a chain."""
    return len(sides) > 2 or _is_name(sides[0]) or all(map(_NUMERIC.fullmatch, sides))


def _is_name(side: str) -> bool:
    side = side.strip()
    if _NAME.fullmatch(side) or _NAMES.fullmatch(side) or _SEGMENT_RATIO.fullmatch(side):
        return True
    words = re.fullmatch(r"[A-Za-z][A-Za-z\s']*", side)
    return words is not None


def _relation_key(text: str, key: Callable[[str], Key]) -> Key:
    """`a < x <= b` and `x > a` as intervals; None where it is no relation that bounds one variable."""
    found = list(_RELATION.finditer(text))
    sides = _split(text, _RELATION)
    if len(sides) != len(found) + 1 or len(found) not in (1, 2):
        return None
    signs = [_sign(match.group(1)) for match in found]
    if len(found) == 2 and signs[0][0] == signs[1][0] and _VARIABLE.fullmatch(sides[1]):
        low, high = (0, 1) if signs[0][0] == "<" else (1, 0)
        ends = (sides[0], sides[2]) if low == 0 else (sides[2], sides[0])
        return _interval_key(key(ends[0]), key(ends[1]), "[" if signs[low][1] else "(", "]" if signs[high][1] else ")")
    if len(found) == 1 and sides[0].startswith("-") and _VARIABLE.fullmatch(sides[0][1:]):  # -x > -1
        signs, sides = [("<" if signs[0][0] == ">" else ">", signs[0][1])], [sides[0][1:], f"-({sides[1]})"]
    if len(found) == 1 and _VARIABLE.fullmatch(sides[0]) != _VARIABLE.fullmatch(sides[1]):
        (direction, closed), bound = signs[0], sides[1]
        if not _VARIABLE.fullmatch(sides[0]):
            direction, bound = "><"[direction == ">"], sides[0]
        if direction == ">":
            return _interval_key(key(bound), "oo", "[" if closed else "(", ")")
        return _interval_key("-oo", key(bound), "(", "]" if closed else ")")
    return None


def _sign(relation: str) -> tuple[str, bool]:
    """Direction and whether equality is allowed."""
    direction = "<" if relation.startswith(("<", "\\l")) else ">"
    return direction, relation not in ("<", ">", "\\lt", "\\gt")


def _interval_key(low: Key, high: Key, opening: str, closing: str) -> Key:
    return None if low is None or high is None else f"{opening}{low};{high}{closing}"


def _bracket_key(text: str, key: Callable[[str], Key]) -> Key:
    """A tuple, an interval, a set, or one expression in parentheses; None where no bracket encloses the whole."""
    if text.startswith("\\{") and text.endswith("\\}"):
        inner, opening, closing = text[2:-2], "{", "}"
    elif text[:1] in _OPEN and text[-1:] in _CLOSE and len(text) > 1:
        inner, opening, closing = text[1:-1], text[0], text[-1]
    else:
        return None
    if not _is_enclosed(inner):
        return None
    if opening == "{":
        return key(inner) if inner.strip() else "{}"
    parts = _split(inner, _COMMA)
    if len(parts) == 1:
        return key(inner) if opening == "(" and closing == ")" else None
    keys = [key(part) for part in parts]
    return None if None in keys else f"{opening}{';'.join(filter(None, keys))}{closing}"


_COMMA = re.compile(r"\s*[,;]\s*")


def _is_enclosed(inner: str) -> bool:
    depth = 0
    for character in inner:
        depth += (character in _OPEN) - (character in _CLOSE)
        if depth < 0:
            return False
    return depth == 0


def _matrix_key(body: str, key: Callable[[str], Key]) -> Key:
    rows = [row.split("&") for row in re.split(r"\\\\(?:\[[^\]]*\])?", body) if row.strip()]
    keys = [[key(cell) for cell in row] for row in rows]
    if not keys or any(cell is None for row in keys for cell in row):
        return None
    return "[" + "|".join(";".join(filter(None, row)) for row in keys) + "]"


def _choose_sign(text: str, upper: bool) -> str:
    return _PLUS_MINUS.sub(lambda match: "+" if (match.group(1) == "pm") == upper else "-", text)
