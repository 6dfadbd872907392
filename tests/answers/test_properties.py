"""Over a grammar of expressions, lists, ratios and intervals: two answers have one key if, and only if, one value.

A reference that shares no code with the package gives the values: mpmath, at points of its own.
"""

import re

import mpmath
from hypothesis import given, settings
from hypothesis import strategies as st

from spine_rl.answers import canonical_key

VARIABLES = ("x", "y", "R", "r", "n", "E")
POINTS = [
    {name: mpmath.mpf(start) + mpmath.mpf(index) * step for index, name in enumerate(VARIABLES)}
    for start, step in ((1.37, 0.731), (-3.19, 1.173), (71.7, 13.31), (0.113, 0.219))
]


# ---- expressions: (operator, operands); rendered in several ways, evaluated in one

integers = st.integers(0, 12).map(lambda value: ("number", value))
decimals = st.sampled_from(["0.5", "1.25", "0.2"]).map(lambda text: ("decimal", text))
names = st.sampled_from(VARIABLES).map(lambda name: ("name", name))


def grow(children):
    return st.one_of(
        st.tuples(st.sampled_from(["+", "-", "*", "/"]), children, children),
        st.tuples(st.just("^"), children, st.integers(2, 3).map(lambda value: ("number", value))),
        st.tuples(st.sampled_from(["sqrt", "abs", "negative", "sin", "ln"]), children),
    )


expressions = st.recursive(st.one_of(integers, decimals, names), grow, max_leaves=5)
numeric = st.recursive(st.one_of(integers, decimals), grow, max_leaves=4)


def evaluate(tree, point):
    operator, *operands = tree
    if operator == "number":
        return mpmath.mpf(operands[0])
    if operator == "decimal":
        return mpmath.mpf(operands[0])
    if operator == "name":
        return point[operands[0]]
    values = [evaluate(operand, point) for operand in operands]
    match operator:
        case "+":
            return values[0] + values[1]
        case "-":
            return values[0] - values[1]
        case "*":
            return values[0] * values[1]
        case "/":
            return values[0] / values[1]
        case "^":
            return values[0] ** values[1]
        case "sqrt":
            return mpmath.sqrt(values[0])
        case "abs":
            return abs(values[0])
        case "negative":
            return -values[0]
        case "sin":
            return mpmath.sin(values[0])
        case _:
            return mpmath.log(values[0])


def find_values(tree):
    """Values at the points, to 11 digits; None where one of them is none, or too large or small to tell."""
    found = []
    for point in POINTS:
        try:
            value = mpmath.mpc(evaluate(tree, point))
        except (ZeroDivisionError, ValueError, OverflowError):
            return None
        if not (mpmath.isfinite(value.real) and mpmath.isfinite(value.imag)) or abs(value) > 1e12:
            return None
        if value != 0 and abs(value) < 1e-9:
            return None  # rounding errors of what cancels
        found.append((mpmath.nstr(value.real, 11), mpmath.nstr(value.imag, 11)))
    return tuple(found)


def render(tree, style):
    """A tree as text, in one of the ways to write the same: "latex", "plain" or "joined" (factors side by side)."""
    operator, *operands = tree
    if operator in ("number", "decimal", "name"):
        return str(operands[0])
    parts = [render(operand, style) for operand in operands]
    wrapped = [
        part if operand[0] in ("number", "decimal", "name") else f"({part})"
        for part, operand in zip(parts, operands, strict=True)
    ]
    match operator:
        case "+" | "-":
            return f"{wrapped[0]} {operator} {wrapped[1]}"
        case "*" if style == "joined":
            return f"({parts[0]})({parts[1]})"
        case "*":
            return f"{wrapped[0]} {'*' if style == 'plain' else chr(92) + 'cdot'} {wrapped[1]}"
        case "/" if style == "plain":
            return f"({parts[0]})/({parts[1]})"
        case "/":
            return rf"\frac{{{parts[0]}}}{{{parts[1]}}}"
        case "^":
            return f"({parts[0]})^{parts[1]}" if style == "plain" else f"({parts[0]})^{{{parts[1]}}}"
        case "sqrt" if style == "plain":
            return rf"\sqrt{{{parts[0]}}}"
        case "sqrt":
            return rf"\sqrt{{{parts[0]}}}"
        case "abs":
            return f"|{parts[0]}|" if "|" not in parts[0] else rf"\left|{parts[0]}\right|"
        case "negative":
            return f"-({parts[0]})"
        case _:
            return rf"\{operator}({parts[0]})"


def mutate(tree):
    """Trees that look alike and may differ: operands changed over, another letter's case, a number one more."""
    yield tree
    operator, *operands = tree
    if operator == "name":
        yield ("name", {"R": "r", "r": "R", "x": "y"}.get(operands[0], "x"))
    elif operator == "number":
        yield ("number", operands[0] + 1)
    elif operator in "+-*/":
        yield (operator, operands[1], operands[0])
        yield ({"+": "*", "*": "+", "-": "/", "/": "-"}[operator], *operands)
    for index, operand in enumerate(operands):
        if isinstance(operand, tuple):
            for other in list(mutate(operand))[1:3]:
                yield (operator, *operands[:index], other, *operands[index + 1 :])


def check_classes(answers):
    """Pairs of (value, key): equal keys if and only if equal values."""
    by_key: dict = {}
    by_value: dict = {}
    for text, value, key in answers:
        if value is None or key is None:
            continue
        assert by_key.setdefault(key, (value, text))[0] == value, f"{by_key[key][1]} and {text} share {key}"
        assert by_value.setdefault(value, (key, text))[0] == key, f"{by_value[value][1]} and {text}: {value}"


@settings(deadline=None, max_examples=60)
@given(st.one_of(expressions, numeric))
def test_expressions_have_one_key_if_and_only_if_they_have_one_value(tree):
    check_classes(
        (text, find_values(each), canonical_key(text))
        for each in mutate(tree)
        for text in {render(each, style) for style in ("latex", "plain", "joined")}
    )


atoms = st.one_of(
    st.integers(-30, 30).map(lambda value: (str(value), str(mpmath.mpf(value)))),
    st.tuples(st.integers(-9, 9), st.integers(2, 9)).map(
        lambda pair: (rf"\frac{{{pair[0]}}}{{{pair[1]}}}", str(mpmath.mpf(pair[0]) / pair[1]))
    ),
    st.integers(2, 7).map(lambda value: (rf"{value}\sqrt{{5}}", str(value * mpmath.sqrt(5)))),
)


@settings(deadline=None, max_examples=80)
@given(st.lists(atoms, min_size=2, max_size=3, unique_by=lambda atom: atom[1]))
def test_structures_of_the_same_parts_are_told_apart(parts):
    texts, values = [text for text, _ in parts], [value for _, value in parts]
    joined, ordered = ", ".join(texts), tuple(values)
    answers = [
        (f"({joined})", ("tuple", ordered)),
        (f"({', '.join(reversed(texts))})", ("tuple", ordered[::-1])),
        (f"[{joined}]", ("closed", ordered)),
        (rf"\{{{joined}\}}", ("set", frozenset(values))),
        (", ".join(reversed(texts)), ("set", frozenset(values))),
        (" and ".join(texts), ("set", frozenset(values))),
    ]
    if len(parts) == 2:
        answers += [
            (f"{texts[0]} < x < {texts[1]}", ("tuple", ordered)),
            (rf"x \ge {texts[0]}", ("from", values[0])),
            (rf"x > {texts[0]}", ("above", values[0])),
            (rf"{texts[0]} \ge x", ("to", values[0])),
        ]
    check_classes((text, value, canonical_key(text)) for text, value in answers)


TIME = re.compile(r"\d{1,2}(?::[0-5]\d){1,2}")  # may be one, and is then kept as it is


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=4), st.integers(2, 5))
def test_ratios_are_one_if_and_only_if_they_are_in_proportion(ratio, factor):
    text, scaled = (":".join(map(str, each)) for each in (ratio, [factor * each for each in ratio]))
    if not any(TIME.fullmatch(each) for each in (text, scaled)):
        assert canonical_key(text) == canonical_key(scaled)
    other = [ratio[0] + 1, *ratio[1:]]
    assert canonical_key(":".join(map(str, other))) != canonical_key(text)
    if len(ratio) > 2 and ratio[0] != ratio[1]:
        assert canonical_key(":".join(map(str, [ratio[1], ratio[0], *ratio[2:]]))) != canonical_key(text)


@given(st.lists(st.integers(0, 99), min_size=2, max_size=3), st.sampled_from(["-", "–"]))
def test_scores_and_dates_are_neither_differences_nor_each_other(parts, mark):
    text = mark.join(map(str, parts))
    key = canonical_key(text)
    assert key == "-".join(map(str, parts))
    assert key != canonical_key(str(parts[0] - sum(parts[1:])))
