"""Arithmetic chains: the lab's task family.

A problem is a chain of additions, subtractions and multiplications worked strictly from left to right
(`12+5*3` is `(12+5)*3`). It can be worked in two styles:

- careful: every operation on its own, no slips;
- hasty: two or three operations merged into one line, and a slip in 35 % of the merged lines. Slips are scattered,
  so hasty responses rarely agree on a wrong answer: the vote of many samples knows more than one sample says.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from spine_rl.lab.families.family import (
    SLIP_PROBABILITY,
    SLIPS,
    Split,
    Style,
    TextProblem,
    draw_distinct,
    join_solution,
)

PROMPT = "Work from left to right: "

_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
}
_MULTIPLY_BELOW = 30  # keeps intermediate results within three digits or so


@dataclass(frozen=True)
class Chain(TextProblem):
    """One problem: a first operand and the (operator, operand) pairs applied to it in turn."""

    start: int
    operations: tuple[tuple[str, int], ...]

    @property
    def key(self) -> str:
        return self.expression

    @property
    def expression(self) -> str:
        return f"{self.start}" + "".join(f"{operator}{operand}" for operator, operand in self.operations)

    @property
    def prompt(self) -> str:
        return PROMPT + self.expression

    @property
    def answer(self) -> str:
        return str(work_values(self)[-1])


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
    return draw_distinct(lambda rng: draw_chain(rng, num_operations, max_operand), split, num_problems, rng)


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


def work_values(chain: Chain, slip_at: int | None = None, slip: int = 0) -> list[int]:
    """The first operand and the value after every operation, if the operation `slip_at` comes out off by `slip`."""
    values = [chain.start]
    for index, (operator, operand) in enumerate(chain.operations):
        values.append(_OPERATIONS[operator](values[-1], operand) + (slip if index == slip_at else 0))
    return values


def work(chain: Chain, style: Style, rng: random.Random) -> tuple[list[str], int]:
    """The lines of a working in one style, and the value it arrives at, which may be wrong if it is hasty."""
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
    return lines, value


def write_solution(chain: Chain, style: Style, rng: random.Random) -> str:
    """Works the problem in one style, as the base model is taught to; a hasty solution may be wrong."""
    lines, value = work(chain, style, rng)
    return join_solution(style, lines, str(value))
