"""How a base learns: next-token loss on worked solutions, fresh examples in every batch."""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from spine_rl.lab.families.family import Style

CAREFUL_SHARE = 0.45
BATCHES_PER_SORT = 16  # examples are sorted by length within this many batches, to save padding

DrawExample = Callable[[random.Random], tuple[str, str]]  # a prompt and its worked solution


@dataclass(frozen=True)
class Example:
    """Token ids of a prompt with its solution, the length of the prompt, and the picture, if there is one."""

    ids: list[int]
    prompt_length: int
    image: Any = None


@dataclass(frozen=True)
class Recipe:
    """How long and how fast.

    Attributes:
        steps: Optimiser steps.
        batch_size: Examples a step.
        learning_rate: At its highest; it follows a cosine to a twentieth.
        warmup_steps: Up to there.
        decay_steps: Length of the cosine; None takes the steps.
        seed: Of the examples and, where there are any, of the new weights.
    """

    steps: int
    batch_size: int = 128
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    decay_steps: int | None = None
    seed: int = 0


def draw_style(rng: random.Random) -> Style:
    """The style of the next example."""
    return "careful" if rng.random() < CAREFUL_SHARE else "hasty"


def teach(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, draw: DrawExample, recipe: Recipe) -> None:
    """Trains a text model in place."""
    examples = make_batches(lambda rng: encode_example(tokenizer, *draw(rng)), recipe)
    fit(model, map(collate, examples), recipe)


def fit(model: PreTrainedModel, batches: Iterator[dict[str, torch.Tensor]], recipe: Recipe) -> None:
    """Trains a model in place."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.95), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _learning_rate_factor(step, recipe))
    model.train()
    started = time.perf_counter()
    for step in range(recipe.steps):
        loss = model(**next(batches)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0 or step == recipe.steps - 1:
            print(f"step {step:5d}  loss {loss.item():.4f}  {time.perf_counter() - started:6.0f} s", flush=True)
    model.eval()


def _learning_rate_factor(step: int, recipe: Recipe) -> float:
    warmup = min(1.0, (step + 1) / recipe.warmup_steps)
    decayed = min(1.0, step / (recipe.decay_steps or recipe.steps))
    return warmup * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * decayed)))


def make_batches(draw: Callable[[random.Random], Example], recipe: Recipe) -> Iterator[list[Example]]:
    """Batches of fresh examples of similar length, without end."""
    rng, size = random.Random(recipe.seed), recipe.batch_size
    while True:
        examples = [draw(rng) for _ in range(size * BATCHES_PER_SORT)]
        examples.sort(key=lambda example: len(example.ids))
        batches = [examples[i : i + size] for i in range(0, len(examples), size)]
        rng.shuffle(batches)
        yield from batches


def encode_example(tokenizer: Any, prompt: str, solution: str) -> Example:
    """A prompt in the chat template, with its solution."""
    user = [{"role": "user", "content": prompt}]
    opened = tokenizer.apply_chat_template(user, tokenize=False, add_generation_prompt=True)
    return join_example(tokenizer, opened, solution)


def join_example(tokenizer: Any, opened: str, solution: str, image: Any = None) -> Example:
    """A rendered prompt with its solution."""
    prompt_ids, solution_ids = tokenizer([opened, solution + tokenizer.eos_token], add_special_tokens=False).input_ids
    return Example(prompt_ids + solution_ids, len(prompt_ids), image)


def collate(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """Padded on the right; the loss is on the solutions alone."""
    length = max(len(example.ids) for example in examples)
    rows: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": [], "labels": []}
    for example in examples:
        ids, padding = example.ids, length - len(example.ids)
        rows["input_ids"].append(ids + [0] * padding)
        rows["attention_mask"].append([1] * len(ids) + [0] * padding)
        rows["labels"].append([-100] * example.prompt_length + ids[example.prompt_length :] + [-100] * padding)
    return {name: torch.tensor(values) for name, values in rows.items()}
