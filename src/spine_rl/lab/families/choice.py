"""Multiple choice: an arithmetic chain with four lettered options, answered by a letter.

Every wrong option is what a working with one slip arrives at. A careful solution takes the value from one option after
the other until nothing is left; a hasty one names a letter at once, and guesses if its value is not offered. The chain
decides the split, as in the other families.
"""

import random
from dataclasses import dataclass
from typing import Any

from spine_rl.answers.letters import LETTERS
from spine_rl.lab.families.arithmetic import Chain, draw_chain, work, work_values
from spine_rl.lab.families.family import SLIPS, Split, Style, draw_distinct, join_solution
from spine_rl.problems.benchmarks.benchmark import render_options

PROMPT = "Choose, working from left to right: "
NUM_OPTIONS = 4


@dataclass(frozen=True)
class Choice:
    """One problem: a chain, and the texts of its options, one of which is the chain's answer."""

    chain: Chain
    options: tuple[str, ...]
    answer_type: str | None = "choice"
    images: tuple[Any, ...] = ()

    @property
    def key(self) -> str:
        return self.chain.key

    @property
    def prompt(self) -> str:
        return PROMPT + self.chain.expression + render_options(self.options)

    @property
    def answer(self) -> str:
        return LETTERS[self.options.index(self.chain.answer)]


def generate_choices(split: Split, num_problems: int, *, num_operations: int, seed: int = 0) -> list[Choice]:
    """Draws distinct problems of one split; the same arguments give the same problems."""
    rng = random.Random(f"choice/{split}/{num_operations}/{seed}")
    return draw_distinct(lambda rng: draw_choice(rng, num_operations), split, num_problems, rng)


def draw_choice(rng: random.Random, num_operations: int) -> Choice:
    """Draws one problem of any split."""
    chain = draw_chain(rng, num_operations)
    options = [chain.answer]
    while len(options) < NUM_OPTIONS:
        slipped = str(work_values(chain, rng.randrange(num_operations), rng.choice(SLIPS))[-1])
        if slipped not in options:
            options.append(slipped)
    rng.shuffle(options)
    return Choice(chain, tuple(options))


def write_solution(choice: Choice, style: Style, rng: random.Random) -> str:
    """Works the problem in one style up to the letter; a hasty solution may be wrong."""
    lines, value = work(choice.chain, style, rng)
    found = str(value) in choice.options
    index = choice.options.index(str(value)) if found else rng.randrange(len(choice.options))
    if style == "careful":
        lines += [_compare(LETTERS[number], choice.options[number], value) for number in range(index + 1)]
    return join_solution(style, lines, LETTERS[index])


def _compare(letter: str, option: str, value: int) -> str:
    """`(A) 41-44=-3`, and `(A) 41+3=44` where the value is -3."""
    return f"({letter}) {option}{-value:+d}={int(option) - value}"


def list_tokens() -> tuple[str, ...]:
    """The phrase that opens a prompt, and what opens an option: tokens of their own."""
    return (PROMPT, *(f"\n({letter}) " for letter in LETTERS[:NUM_OPTIONS]))
