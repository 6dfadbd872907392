"""What the families have in common: problems with a key, splits that never overlap, two styles, scattered slips."""

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeVar

Split = Literal["train", "adapt", "held_out"]
Style = Literal["careful", "hasty"]

STYLE_OPENERS: dict[Style, str] = {"careful": "Step by step: ", "hasty": "Quickly: "}
STEP_SEPARATOR = "; "
ANSWER_OPENER = "\\boxed{"

SLIP_PROBABILITY = 0.35
SLIPS = (-10, -2, -1, 1, 2, 10)

_HELD_OUT_BUCKETS: dict[int, Split] = {0: "adapt", 1: "held_out"}
_NUM_BUCKETS = 16


class LabProblem(Protocol):
    """One problem of a family.

    Attributes:
        key: Says what the problem is; its hash decides the split.
        prompt: As `spine_rl.problems.Problem` has it, like what follows.
        answer: The gold answer.
        options: Of a multiple choice problem.
        answer_type: How its answer is read.
        images: PIL images.
    """

    @property
    def key(self) -> str: ...
    @property
    def prompt(self) -> str: ...
    @property
    def answer(self) -> str: ...
    @property
    def options(self) -> tuple[str, ...]: ...
    @property
    def answer_type(self) -> str | None: ...
    @property
    def images(self) -> tuple[Any, ...]: ...


P = TypeVar("P", bound=LabProblem)


class TextProblem:
    """Defaults of a problem without options and images."""

    options: tuple[str, ...] = ()
    answer_type: str | None = None
    images: tuple[Any, ...] = ()


def find_split(key: str) -> Split:
    """Where a problem belongs: a pure function of its key."""
    bucket = hashlib.sha256(key.encode()).digest()[0] % _NUM_BUCKETS
    return _HELD_OUT_BUCKETS.get(bucket, "train")


def draw_from_split(draw: Callable[[random.Random], P], split: Split, rng: random.Random) -> P:
    """The first problem drawn that belongs to a split."""
    while True:
        problem = draw(rng)
        if find_split(problem.key) == split:
            return problem


def draw_distinct(draw: Callable[[random.Random], P], split: Split, num_problems: int, rng: random.Random) -> list[P]:
    """Distinct problems of one split; problems of different splits never coincide."""
    problems: dict[str, P] = {}
    while len(problems) < num_problems:
        problem = draw_from_split(draw, split, rng)
        problems.setdefault(problem.key, problem)
    return list(problems.values())


def join_solution(style: Style, lines: Sequence[str], answer: str) -> str:
    """A worked solution: how it opens, its lines, the answer in a box."""
    return STYLE_OPENERS[style] + STEP_SEPARATOR.join([*lines, f"{ANSWER_OPENER}{answer}}}"])


def detect_style(response: str) -> Style | None:
    """The style a response opens with, or None."""
    return next((style for style, opener in STYLE_OPENERS.items() if response.startswith(opener)), None)
