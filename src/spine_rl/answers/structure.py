"""The structure of a mathematical answer: lists, sets, tuples, intervals, unions, matrices, equations, relations, ±.

A structure's key is made of its parts' keys, in an order of its own where the order has no meaning:

- `3, 5` = `5, 3` = `\\{3, 5\\}` = `x = 3 or x = 5`: a set; of one element, the element;
- `(3, 5)` is a tuple and an open interval alike, and equals `3 < x < 5` and `(x, y) = (3, 5)`;
- `x > 2 and x < 3` is `2 < x < 3`, and `x < 2 or x > 3` a union;
- `x = 3` is `3`, `m + n = 3` too, and `y = 2x + 1` is `2x + 1`; an equation that is not solved (x, y and z on one
  side, not alone) is compared up to a factor;
- `3:2` is its value, and `2:4:6` is `1:2:3`;
- `1 \\pm \\sqrt 2` is the set of its two values.

Atoms are left to the caller.
"""

import math
import re
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

from spine_rl.answers.brackets import CLOSE, OPEN, is_enclosed, split
from spine_rl.answers.equations import EQUALS, drop_rounded, find_solution, is_name

Key = str | None
MAX_DEPTH = 8
MAX_NUMBER = 60  # characters of a number's key that is reckoned with
_HUGE = re.compile(r"e[+-]?\d{3}")

_CONNECTOR = re.compile(
    r"\s*(?:[,;]\s*(?:and\b|or\b)?|\band\b|\bor\b|(?<=[\d)}])(?:and|or)(?=[A-Z(\\])"
    r"|\\(?:land|lor|wedge|vee)(?![a-z])|\\\\|和|或|且)\s*"
)
_MATRIX = re.compile(
    r"[(\[]?\s*\\begin\{([pbB]?(?:small)?matrix\*?|array)\}(?:\{[^{}]*\}|\[\w\])?((?:(?!\\begin|\\end).)*)"
    r"\\end\{\1\}\s*[)\]]?"
)
_PLUS_MINUS = re.compile(r"\\(pm|mp)(?![A-Za-z])")
_MEMBERSHIP = re.compile(r"^\s*[A-Za-z](?:_\{?\w+\}?)?\s*\\in(?![A-Za-z])\s*")
_SYSTEM = re.compile(r"\\begin\{(cases|aligned|gathered|align\*?)\}((?:(?!\\begin|\\end|&(?!=)).)*)\\end\{\1\}")
_BUILDER = re.compile(
    r"\\?\{\s*[A-Za-z](?:\s*\\in\s*\\mathbb\s*\{?R\}?)?\s*(?:\\(?:mid|vert)(?![A-Za-z])|[:|])\s*(.+?)\s*\\?\}"
)
_ROW_END = re.compile(r"\\\\(?:\[[^\]]*\])?|\\cr(?![a-z])")
_ALL_BUT = re.compile(
    r"(?:[A-Za-z]\s*\\in\s*)?(?:\\mathbb\s*\{?R\}?|[Aa]ll real(?: number)?s)\s*"
    r"(?:-|\\(?:setminus|backslash|smallsetminus)(?![a-z])|except(?: for)?|other than)()\s*(.+)"
)
_UNEQUAL = re.compile(r"([A-Za-z])\s*\\ne(?![A-Za-z])\s*(.+)")
_UNION = re.compile(r"\s*\\(?:big)?cup(?![A-Za-z])\s*|(?<=[)\]])\s*U\s*(?=[(\[])")
_BOTH = re.compile(r"(?<![A-Za-z\\])and\b|\\(?:land|wedge)(?![a-z])|且")
_RELATION = re.compile(r"\s*(\\(?:leq?slant|geq?slant|leq?|geq?|lt|gt)(?![A-Za-z])|<=|>=|<|>)\s*")
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
    if "{" in text and (builder := _BUILDER.fullmatch(text)):  # \{x | x > 2\}
        return key(builder.group(1))
    if "\\begin" in text:
        if (system := _SYSTEM.fullmatch(text)) and (rows := _ROW_END.split(system.group(2).replace("&=", "="))):
            return key(", ".join(row.strip(" ,;") for row in rows if row.strip()))
        name, equals, _ = text[: text.rindex("\\begin")].rpartition("=")
        if equals and ("\\begin" in name or is_name(name)):  # A = a matrix, worked out of others or not
            return key(text[len(name) + 1 :])
        matrix = _MATRIX.fullmatch(text)
        rows = [row.split("&") for row in _ROW_END.split(matrix.group(2)) if row.strip()] if matrix else []
        return _matrix_key(rows, key) if matrix else _bracket_key(text, key) or atom(text)
    parts = [part for part in split(text, _SEMICOLON) if part]
    if len(parts) == 1:
        parts = [part for part in split(text, _CONNECTOR) if part]
    if (all_but := _all_but_key(parts, key)) is not None:
        return all_but
    if len(parts) > 1 and _LOGIC.search(text) and not all(map(_STATEMENT.search, parts)):
        return atom(text)  # p \\land q is not p \\lor q
    if len(parts) > 1:
        return _both_key(text, parts, key) or _list_key(parts, key)
    if _PLUS_MINUS.search(text):
        return _set_key([key(_choose_sign(text, upper)) for upper in (True, False)])
    if (membership := _MEMBERSHIP.match(text)) is not None:
        return key(text[membership.end() :])
    if len(sides := split(text := drop_rounded(text), EQUALS)) > 1:
        return equation(text) if (side := find_solution(sides)) is None else key(side)
    if len(parts := split(text, _UNION)) > 1:
        keys = sorted({part_key or "" for part_key in map(key, parts)})
        return None if "" in keys else "∪".join(keys)
    if (relation := _relation_key(text, key)) is not None:
        return relation
    if ":" in text and (ratio := _ratio_key(text, key)) is not None:
        return ratio
    return _bracket_key(text, key) or atom(text)


_LOGIC = re.compile(r"\\(?:land|lor|wedge|vee)(?![a-z])")
_STATEMENT = re.compile(r"[=<>]|\\(?:l|g)(?:eq?(?:slant)?|t)(?![A-Za-z])|\\(?:in|ne)(?![a-z])")
_MARKS = re.compile(
    r"^\{(?=.*(?:[\d^*/+-]|\\[a-z]))|[,;:=<>()\[\]]|\\(?:\\|\{|begin|pm|mp|in|cup|le|ge|lt|gt|ne|approx)|except|and|or|和|或|且"
)


def _list_key(parts: list[str], key: Callable[[str], Key]) -> Key:
    sides = [split(part, EQUALS) for part in parts]
    names = [side[0].replace(" ", "") if len(side) == 2 and is_name(side[0]) else "" for side in sides]
    roots = {name.partition("_")[0] for name in names}  # x_1 = 1, x_2 = 2 are values of one unknown
    if all(names) and len(roots) == len(parts):  # x = 1, y = 2: a point, its coordinates in the names' order
        keys = [key(side[1]) for _, side in sorted(zip(names, sides, strict=True))]
        return None if None in keys else f"({';'.join(filter(None, keys))})"
    keys = [_nest(part, key(part)) for part in parts]
    if all(map(_RELATION.search, parts)) and all(part and part[0] in "([" for part in keys):
        return "∪".join(sorted(filter(None, keys)))  # x < 2 or x > 3
    return _set_key(keys)


def _nest(part: str, key: Key) -> Key:
    """A set within a list is one element of it: `\\{1, \\{2, 3\\}\\}` has two."""
    is_set = part.endswith("}") and (part.startswith("\\{") or (part[:1] == "{" and "," in part))
    return f"set({key})" if key == "{}" or (key is not None and is_set) else key


def _all_but_key(parts: list[str], key: Callable[[str], Key]) -> Key:
    """All real numbers but some, as intervals: `\\mathbb{R} \\setminus \\{1\\}`; `x \\ne 1` and `x \\ne 2`."""
    first = (_ALL_BUT.fullmatch(parts[0]) or _UNEQUAL.fullmatch(parts[0])) if parts else None
    if first is None:
        return None
    left_out = [first[2]]
    for part in parts[1:]:  # x \ne 1, x \ne 2; x \ne 1, 2
        other = _UNEQUAL.fullmatch(part)
        if (other and other[1] != first[1]) or (other is None and _STATEMENT.search(part)):
            return None
        left_out.append(other[2] if other else part)
    keys = [key(part) for part in left_out]
    try:
        values = {_to_fraction(value): value for each in keys for value in _elements(each or "")}
    except ValueError:
        return None
    ends = ["-oo", *(values[value] for value in sorted(values)), "oo"]
    return "∪".join(sorted(f"({low};{high})" for low, high in pairwise(ends)))


def _both_key(text: str, parts: list[str], key: Callable[[str], Key]) -> Key:
    """`x > 2 and x < 3` as the interval between; None for anything else, and where nothing is between (2 and 1)."""
    if len(parts) != 2 or not _BOTH.search(text) or not all(map(_RELATION.search, parts)):
        return None
    variables = {next(filter(_VARIABLE.fullmatch, split(part, _RELATION)), part) for part in parts}
    if len(variables) != 1:
        return None
    keys = [_relation_key(part, key) or "" for part in parts]
    low, high = (next((k for k in keys if fits(k)), None) for fits in (_is_above, _is_below))
    if low is None or high is None or _is_at_most(high[5:-1], low[1:-4]):
        return None
    return f"{low[:-4]};{high[5:]}"


def _is_above(key: str) -> bool:
    return key.endswith(";oo)") and not key.startswith("(-oo;")


def _is_below(key: str) -> bool:
    return key.startswith("(-oo;") and not key.endswith(";oo)")


def _is_at_most(first: str, second: str) -> bool:
    """Whether one number's key is that of a smaller number than another's, or the same; False where it is no number."""
    try:
        return _to_fraction(first) <= _to_fraction(second)
    except ValueError:
        return False


def _to_fraction(key: Key) -> Fraction:
    """The number that a key says.

    Raises:
        ValueError: It says none, or one of so many digits that sums of such take long: `2.8e+43429`.
    """
    if key is None or len(key) > MAX_NUMBER or _HUGE.search(key):
        raise ValueError(key)
    return Fraction(key)


def _set_key(keys: list[Key]) -> Key:
    elements: set[str] = set()
    for part in keys:
        if part is None:
            return None
        elements |= set(_elements(part))
    ordered = sorted(elements)
    return ordered[0] if len(ordered) == 1 else "{" + ";".join(ordered) + "}"


def _elements(key: str) -> list[str]:
    """Several values within a list are spread: 1 ± 2, 5 has three elements."""
    if not (key.startswith("{") and key.endswith("}")):
        return [key]
    return split(key[1:-1], _SEMICOLON)


_SEMICOLON = re.compile(";")


def _relation_key(text: str, key: Callable[[str], Key]) -> Key:
    """`a < x <= b` and `x > a` as intervals; None where it is no relation that bounds one variable."""
    found = list(_RELATION.finditer(text))
    sides = split(text, _RELATION)
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


def _ratio_key(text: str, key: Callable[[str], Key]) -> Key:
    """A ratio of two as its value; of more, in lowest terms (`1:2:3`), or with 1 first."""
    parts = split(text, _COLON)
    if len(parts) < 2 or not all(parts) or any(map(_WORDS.search, parts)):
        return None
    if len(parts) == 2:
        return key(f"({parts[0]})/({parts[1]})")
    keys = [key(part) for part in parts]
    try:
        values = [_to_fraction(part) for part in keys]
    except ValueError:
        keys = [key(f"({part})/({parts[0]})") for part in parts]
        return None if None in keys else ":".join(filter(None, keys))
    scale = math.lcm(*(value.denominator for value in values))
    whole = [int(value * scale) for value in values]
    divisor = math.gcd(*whole) or 1
    return ":".join(str(value // divisor) for value in whole)


def _bracket_key(text: str, key: Callable[[str], Key]) -> Key:
    """A tuple, an interval, a set, or one expression in parentheses; None where no bracket encloses the whole."""
    if text.startswith("\\{") and text.endswith("\\}"):
        inner, opening, closing = text[2:-2], "{", "}"
    elif text[:1] in OPEN and text[-1:] in CLOSE and len(text) > 1:
        inner, opening, closing = text[1:-1], text[0], text[-1]
    else:
        return None
    if not is_enclosed(inner):
        return None
    if opening == "{":
        return _nest(inner, key(inner)) if inner.strip() else "{}"
    parts = split(inner, _COMMA)
    rows = [split(part[1:-1], _COMMA) for part in parts if opening + part[:1] + part[-1:] + closing == "[[]]"]
    if len(rows) == len(parts) > 1 and len(set(map(len, rows))) == 1:
        return _matrix_key(rows, key)  # [[1, 2], [3, 4]]
    if len(parts) == 1:
        inner = inner.replace("-", " - ") if _DIFFERENCE.fullmatch(inner) else inner  # (3-1) is no score
        return key(inner) if opening == "(" and closing == ")" else None
    keys = [key(part) for part in parts]
    return None if None in keys else f"{opening}{';'.join(filter(None, keys))}{closing}"


_COLON = re.compile(r"\s*:\s*")
_WORDS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]*[a-z]{2,}|\\(?:to|(?:long)?rightarrow|mapsto)(?![a-z])|[^\x00-\x7f]")
_DIFFERENCE = re.compile(r"\d+(?:-\d+)+")
_COMMA = re.compile(r"\s*[,;]\s*")


def _matrix_key(rows: list[list[str]], key: Callable[[str], Key]) -> Key:
    keys = [[key(cell) for cell in row] for row in rows]
    if not keys or any(cell is None for row in keys for cell in row):
        return None
    return "[" + "|".join(";".join(filter(None, row)) for row in keys) + "]"


def _choose_sign(text: str, upper: bool) -> str:
    return _PLUS_MINUS.sub(lambda match: "+" if (match.group(1) == "pm") == upper else "-", text)
