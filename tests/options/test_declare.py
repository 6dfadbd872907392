"""An option's declaration is its default, its help and its check."""

import math
from dataclasses import dataclass, fields

import pytest

from spine_rl.errors import ConfigError
from spine_rl.options import Bound, check_options, option


@dataclass
class Options:
    count: int = option(8, "Responses.", at_least=1)
    share: float = option(0.2, "Share of tokens.", above=0, at_most=1)
    steps: int = option(-1, "Steps.", at_least=1, unless=-1)
    kind: str | None = option(None, "The kind.", choices=("apple", "pear"))
    rate: float = option(1.0, "Any number.")
    places: list[int] = option(factory=list, help="Where.", at_least=0)
    plain: float = 0.0


def test_help_says_the_bound():
    texts = {entry.name: entry.metadata.get("help") for entry in fields(Options)}
    assert texts["count"] == "Responses. At least 1."
    assert texts["share"] == "Share of tokens. In (0, 1]."
    assert texts["kind"] == "The kind. One of apple, pear."
    assert texts["rate"] == "Any number."


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": 0}, "count=0: must be at least 1"),
        ({"share": 0}, "share=0: must be in (0, 1]"),
        ({"share": 1.1}, "share=1.1: must be in (0, 1]"),
        ({"share": math.nan}, "share=nan: must be a finite number, in (0, 1]"),
        ({"steps": 0}, "steps=0: must be at least 1, or -1"),
        ({"steps": -2}, "steps=-2: must be at least 1, or -1"),
        ({"kind": "appel"}, "kind='appel': must be one of apple, pear; did you mean 'apple'?"),
        ({"rate": math.inf}, "rate=inf: must be a finite number"),
        ({"places": [0, -1]}, "places=[0, -1]: must be at least 0"),
        ({"plain": math.nan}, "plain=nan: must be a finite number"),
    ],
)
def test_values_out_of_bounds(given, message):
    with pytest.raises(ConfigError) as caught:
        check_options(Options(**given))
    assert str(caught.value) == message


def test_values_within_bounds():
    check_options(Options())
    check_options(Options(count=1, share=1, steps=-1, kind="pear", places=[0, 3]))


def test_where_a_value_stands_is_said():
    with pytest.raises(ConfigError, match=r"^run.yaml, line 2: count=0: must be at least 1$"):
        check_options(Options(count=0), where={"count": "run.yaml, line 2"})


@pytest.mark.parametrize(
    ("bound", "text"),
    [
        (Bound(at_least=0), "at least 0"),
        (Bound(above=0), "above 0"),
        (Bound(at_most=3), "at most 3"),
        (Bound(below=1), "below 1"),
        (Bound(at_least=0, below=1), "in [0, 1)"),
        (Bound(), ""),
    ],
)
def test_bounds_in_words(bound, text):
    assert bound.describe() == text
