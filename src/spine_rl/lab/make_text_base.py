"""Makes the base of all text families from the arithmetic one: `python -m spine_rl.lab.make_text_base --out DIR`.

It starts as the arithmetic base with rows for the new words, and learns a mixture of arithmetic, with a tail of long
chains, stories and multiple choice, 45 % of it careful. A second stage dwells on multiple choice: to compare a value
with the options is what is learned last.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from spine_rl.lab.families import arithmetic, choice, words
from spine_rl.lab.families.family import LabProblem, Style, draw_from_split
from spine_rl.lab.make_base import Marks, draw_num_operations, make_base
from spine_rl.lab.tasks import ARITHMETIC, TEXT_TASKS
from spine_rl.lab.teach import Recipe, draw_style, teach
from spine_rl.lab.tokenizer import build_tokenizer

NEW_PHRASES = (*words.list_tokens(), *choice.list_tokens())
LONG = range(9, 21)  # operations of the tail
SHORT = range(1, 8)  # operations of the second stage's multiple choice
SHORT_DECAY = 0.7

# Among four options a guess is right in one of four: greedy answers are right more often, and the vote has less to add.
# Hasty workings of long chains are hardly ever right: there greedy answers may all be wrong.
MARKS = {
    "text-arithmetic": Marks(),
    "words": Marks(),
    "choice": Marks(greedy=(0.2, 0.75), gap=0.1),
    "chains-10": Marks(greedy=(0, 0.6), majority=(0.3, 0.9)),
}


@dataclass(frozen=True)
class Part:
    """One part of a mixture: how a problem is drawn, and how it is worked."""

    draw: Callable[[random.Random], LabProblem]
    write_solution: Callable[[Any, Style, random.Random], str]


def _draw_short_choice(rng: random.Random) -> choice.Choice:
    return choice.draw_choice(rng, rng.choices(SHORT, [SHORT_DECAY**index for index in range(len(SHORT))])[0])


PARTS = {
    "arithmetic": Part(lambda rng: arithmetic.draw_chain(rng, draw_num_operations(rng)), arithmetic.write_solution),
    "long chains": Part(lambda rng: arithmetic.draw_chain(rng, rng.choice(LONG)), arithmetic.write_solution),
    "words": Part(lambda rng: words.draw_story(rng, draw_num_operations(rng)), words.write_solution),
    "choice": Part(lambda rng: choice.draw_choice(rng, draw_num_operations(rng)), choice.write_solution),
    "short choice": Part(_draw_short_choice, choice.write_solution),
}


@dataclass(frozen=True)
class Stage:
    """How a mixture is learned; its shares are those of `PARTS`."""

    recipe: Recipe
    shares: Mapping[str, float]


STAGES = (
    Stage(
        Recipe(steps=2400, batch_size=32, learning_rate=1e-3, decay_steps=2700),
        {"arithmetic": 0.15, "long chains": 0.2, "words": 0.3, "choice": 0.35},
    ),
    Stage(
        Recipe(steps=900, batch_size=32, learning_rate=6e-4, warmup_steps=50, seed=1),
        {"arithmetic": 0.08, "long chains": 0.12, "words": 0.2, "short choice": 0.6},
    ),
)


def draw_example(shares: Mapping[str, float], rng: random.Random) -> tuple[str, str]:
    """A prompt of a mixture's `train` split, and its worked solution."""
    part = PARTS[rng.choices([*shares], [*shares.values()])[0]]
    problem = draw_from_split(part.draw, "train", rng)
    return problem.prompt, part.write_solution(problem, draw_style(rng), rng)


def grow_base() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The arithmetic base with a larger vocabulary: the old tokens keep their ids and rows, the new rows are random."""
    torch.manual_seed(0)
    model, _ = ARITHMETIC.load_base()
    tokenizer = build_tokenizer(NEW_PHRASES)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return model, tokenizer


def train_text_base(stages: Sequence[Stage] = STAGES) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Grows the arithmetic base and teaches it a mixture after the other."""
    model, tokenizer = grow_base()
    for stage in stages:
        teach(model, tokenizer, partial(draw_example, stage.shares), stage.recipe)
    return model, tokenizer


def main() -> None:
    recipe = {"stages": [asdict(stage) for stage in STAGES]}
    make_base(__doc__, train_text_base, recipe, {task: MARKS.get(name) for name, task in TEXT_TASKS.items()})


if __name__ == "__main__":
    main()
