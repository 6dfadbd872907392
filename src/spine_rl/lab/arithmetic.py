"""Arithmetic chains: the lab's task family.

A problem is a chain of additions, subtractions and multiplications worked strictly from left to right
(`12+5*3` is `(12+5)*3`). It can be worked in two styles:

- careful: every operation on its own, no slips;
- hasty: two or three operations merged into one line, and a slip in 35 % of the merged lines. Slips are scattered,
  so hasty responses rarely agree on a wrong answer: the vote of many samples knows more than one sample says.

The splits `train`, `adapt` and `held_out` never overlap: a hash of the expression decides where a problem belongs.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "adapt", "held_out"]
Style = Literal["careful", "hasty"]

PROMPT = "Work from left to right: "
STYLE_OPENERS: dict[Style, str] = {"careful": "Step by step: ", "hasty": "Quickly: "}
STEP_SEPARATOR = "; "
ANSWER_OPENER = "\\boxed{"

SLIP_PROBABILITY = 0.35
SLIPS = (-10, -2, -1, 1, 2, 10)

_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
}
_MULTIPLY_BELOW = 30  # keeps intermediate results within three digits or so
_HELD_OUT_BUCKETS: dict[int, Split] = {0: "adapt", 1: "held_out"}
_NUM_BUCKETS = 16


@dataclass(frozen=True)
class Chain:
    """One problem: a first operand and the (operator, operand) pairs applied to it in turn."""

    start: int
    operations: tuple[tuple[str, int], ...]

    @property
    def expression(self) -> str:
        return f"{self.start}" + "".join(f"{operator}{operand}" for operator, operand in self.operations)

    @property
    def prompt(self) -> str:
        return PROMPT + self.expression

    @property
    def answer(self) -> str:
        value = self.start
        for operator, operand in self.operations:
            value = _OPERATIONS[operator](value, operand)
        return str(value)

    @property
    def split(self) -> Split:
        """Where the problem belongs; a pure function of its expression."""
        bucket = hashlib.sha256(self.expression.encode()).digest()[0] % _NUM_BUCKETS
        return _HELD_OUT_BUCKETS.get(bucket, "train")


def generate_chains(
    split: Split, num_problems: int, *, num_operations: int, max_operand: int = 20, seed: int = 0
) -> list[Chain]:
    """Draws distinct problems of one split.

    Args:
        split: The split they belong to; problems of different splits never coincide.
        num_problems: How many.
        num_operations: Length of every chain, at least 1.
        max_operand: Largest operand of additions and subtractions, at least 2; multipliers go from 2 to 9.
        seed: Same arguments, same problems.
    """
    rng = random.Random(f"{split}/{num_operations}/{max_operand}/{seed}")
    chains: dict[str, Chain] = {}
    while len(chains) < num_problems:
        chain = draw_chain(rng, num_operations, max_operand)
        if chain.split == split:
            chains.setdefault(chain.expression, chain)
    return list(chains.values())


def draw_chain(rng: random.Random, num_operations: int, max_operand: int = 20) -> Chain:
    """Draws one problem of any split."""
    start = value = rng.randint(1, max_operand)
    operations = []
    for _ in range(num_operations):
        operator = rng.choice("+-*" if abs(value) < _MULTIPLY_BELOW else "+-")
        operand = rng.randint(2, 9) if operator == "*" else rng.randint(1, max_operand)
        value = _OPERATIONS[operator](value, operand)
        operations.append((operator, operand))
    return Chain(start, tuple(operations))


def write_solution(chain: Chain, style: Style, rng: random.Random) -> str:
    """Works the problem in one style, as the base model is taught to; a hasty solution may be wrong."""
    value = chain.start
    lines = []
    position = 0
    while position < len(chain.operations):
        merged = 1 if style == "careful" else rng.choice((2, 3))
        line = str(value)
        for operator, operand in chain.operations[position : position + merged]:
            line += f"{operator}{operand}"
            value = _OPERATIONS[operator](value, operand)
        if style == "hasty" and rng.random() < SLIP_PROBABILITY:
            value += rng.choice(SLIPS)
        lines.append(f"{line}={value}")
        position += merged
    return STYLE_OPENERS[style] + STEP_SEPARATOR.join(lines) + STEP_SEPARATOR + ANSWER_OPENER + f"{value}}}"


def detect_style(response: str) -> Style | None:
    """The style a response opens with, or None."""
    return next((style for style, opener in STYLE_OPENERS.items() if response.startswith(opener)), None)
