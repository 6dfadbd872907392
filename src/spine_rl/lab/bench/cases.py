"""What is compared, and the goals."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch

from spine_rl.engine.generation import Generator, add_shared_generation
from spine_rl.engine.models import get_context_length
from spine_rl.lab.bench.measure import StepClock, Timings, alternate, autocast, timed
from spine_rl.lab.bench.memory import measure_peak
from spine_rl.lab.bench.shapes import BatchShape, ModelShape, build_model
from spine_rl.lab.bench.sides import build_trainer, prepare_update
from spine_rl.lab.bench.whole_step import measure_step
from spine_rl.lab.tasks import Task
from spine_rl.training.problem_dataset import build_dataset


@dataclass(frozen=True)
class Outcome:
    """One case: ratios of its rounds, and what they are ratios of.

    Attributes:
        name: Of the case.
        ratios: `before` divided by `after`, one a round.
        goal: The ratio aimed at; at most, where `at_most`.
        before: Median of the side compared with, in `unit`.
        after: Median of SPINE's.
        unit: Of both.
        at_most: The goal is an upper bound.
    """

    name: str
    ratios: list[float]
    goal: float | None
    before: float
    after: float
    unit: str = "s"
    at_most: bool = False

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.ratio <= self.goal if self.at_most else self.ratio >= self.goal


RATIOS = {  # prompt : response → batch, goal
    "4:1": (BatchShape(prompt_length=400, response_length=100), 3.0),
    "1:1": (BatchShape(prompt_length=200, response_length=200), 1.5),
    "1:4": (BatchShape(prompt_length=64, response_length=256), 1.15),
}


def compare_update(
    name: str,
    model: ModelShape,
    batch: BatchShape,
    *,
    goal: float | None,
    rounds: int,
    sides: tuple[str, str],
    **options: Any,
) -> Outcome:
    """Loss and gradients of one micro-batch on both sides: the same weights, the same tokens."""
    with tempfile.TemporaryDirectory() as folder:
        runs = {side: timed(prepare_update(side, model, batch, f"{folder}/{side}", **options)) for side in sides}
        return _outcome(name, alternate(runs, rounds), sides, goal)


def compare_memory(model: ModelShape, batch: BatchShape, *, goal: float, rounds: int) -> Outcome:
    """Peak memory of SPINE's update as a share of the peer's."""
    peaks = [tuple(measure_peak(side, model, batch) / 2**20 for side in ("trl", "spine")) for _ in range(rounds)]
    theirs, ours = (median(values) for values in zip(*peaks, strict=True))
    ratios = [after / before for before, after in peaks]
    return Outcome("peak memory of the update, 4:1", ratios, goal, theirs, ours, unit="MiB", at_most=True)


def check_update_memory(model: ModelShape, batch: BatchShape, *, most_gib: float) -> Outcome:
    """Peak memory of SPINE's update, which may be one that the peer has no memory for."""
    peak = measure_peak("spine", model, batch) / 2**30
    name = f"peak memory of the update, {_describe(batch)}, beside {most_gib:g} GiB"
    return Outcome(name, [peak / most_gib], 1.0, most_gib, peak, unit="GiB", at_most=True)


def compare_overhead(model: ModelShape, batch: BatchShape, *, goal: float, rounds: int) -> Outcome:
    """SPINE's preset against plain TTRL, both on SPINE's trainer: what selection and band cost, less what they save."""
    with tempfile.TemporaryDirectory() as folder:
        runs = {side: timed(prepare_update(side, model, batch, f"{folder}/{side}")) for side in ("ttrl", "spine")}
        timings = alternate(runs, rounds)
    return Outcome(
        "update of spine over ttrl, 1:1",
        timings.ratios("spine", "ttrl"),
        goal,
        timings.median("ttrl"),
        timings.median("spine"),
        at_most=True,
    )


def compare_generation(
    model: ModelShape, *, goal: float, rounds: int, warmups: int, new_tokens: int, prompt_length: int = 400
) -> Outcome:
    """16 prompts with 8 samples each, no end token: the same number of tokens on both sides."""
    plain, shared = build_model(model).eval(), build_model(model).eval()
    add_shared_generation(shared)
    prompts = torch.randint(6, model.vocabulary, (16, prompt_length), generator=torch.Generator().manual_seed(0))
    rows = prompts.repeat_interleave(8, 0).to(plain.device)
    options = {"max_new_tokens": new_tokens, "do_sample": True, "top_k": 0, "eos_token_id": None, "pad_token_id": 0}

    @autocast(model.hidden)
    def generate(side: Any) -> None:
        side.generate(rows, attention_mask=torch.ones_like(rows), **options)

    runs = {name: timed(partial(generate, side)) for name, side in (("generate", plain), ("spine", shared))}
    name = f"generation, 16 x 8, prompt {prompt_length}, {new_tokens} new tokens"
    return _outcome(name, alternate(runs, rounds, warmups), ("generate", "spine"), goal)


def compare_decoding(
    model: ModelShape,
    *,
    goal: float | None,
    rounds: int,
    warmups: int,
    new_tokens: int,
    prompts: int = 8,
    group_size: int = 8,
    prompt_length: int = 64,
) -> Outcome:
    """Tokens after the first, on one model: what a generation takes less what one of a single token takes."""
    plain = build_model(model).eval()
    generator, generate = Generator(plain), partial(type(plain).generate, plain)
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(6, model.vocabulary, (prompts, prompt_length), generator=random)
    rows = ids.repeat_interleave(group_size, 0).to(plain.device)
    options = {"do_sample": True, "top_k": 0, "eos_token_id": None, "pad_token_id": 0}

    def decode(side: Callable[..., Any]) -> float:
        with autocast(model.hidden):
            first, whole = (
                timed(partial(side, rows, attention_mask=torch.ones_like(rows), max_new_tokens=length, **options))()
                for length in (1, 1 + new_tokens)
            )
        return whole - first

    generator(rows, max_new_tokens=2, **options)  # its check against the plain forward is not timed
    sides = {name: partial(decode, side) for name, side in (("generate", generate), ("spine", generator))}
    longest = prompt_length + new_tokens
    name = f"decoding, {prompts} x {group_size}, {prompt_length} to {longest} tokens in the cache"
    return _outcome(name, alternate(sides, rounds, warmups), ("generate", "spine"), goal)


def compare_steps(name: str, task: Task, *, goal: float, rounds: int, steps: int) -> Outcome:
    """Whole steps on a base model of the lab, 16 problems with 8 samples: sampling, vote, update, optimiser."""
    problems = task.make_problems("adapt", 64).problems
    with tempfile.TemporaryDirectory() as folder:

        def prepare(side: str) -> Callable[[], float]:
            model, processing_class = task.load_base()
            dataset = build_dataset(
                problems, processing_class, context=get_context_length(model), max_new_tokens=task.max_new_tokens
            )
            trainer = build_trainer(
                side,
                model,
                f"{folder}/{side}",
                dataset=dataset,
                tokenizer=processing_class,
                per_device_train_batch_size=128,
                max_completion_length=task.max_new_tokens,
                max_steps=steps,
                learning_rate=1e-9,  # the policy, and with it the lengths, stay as they are
            )
            clock = StepClock()
            trainer.add_callback(clock)

            def run() -> float:
                trainer.train()
                return clock.pop()

            return run

        timings = alternate({side: prepare(side) for side in ("trl", "spine")}, rounds)
    return _outcome(name, timings, ("trl", "spine"), goal)


def compare_whole_step(
    model: ModelShape, batch: BatchShape, *, goal: float, rounds: int, steps: int, **options: Any
) -> Outcome:
    """Whole steps of a random model, a process a step and side, in alternation."""
    runs = {
        side: (lambda side=side: measure_step(side, model, batch, steps=steps, **options).seconds)
        for side in ("trl", "spine")
    }
    return _outcome(f"whole step, {_describe(batch)}", alternate(runs, rounds, warmups=0), ("trl", "spine"), goal)


def check_step_memory(model: ModelShape, batch: BatchShape, *, most_gib: float, **options: Any) -> Outcome:
    """Everything that SPINE's process holds at once in two whole steps, weights and optimiser included."""
    peak = measure_step("spine", model, batch, steps=2, **options).peak_bytes / 2**30
    name = f"peak memory of a whole step, {_describe(batch)}, beside {most_gib:g} GiB"
    return Outcome(name, [peak / most_gib], 1.0, most_gib, peak, unit="GiB", at_most=True)


def _describe(batch: BatchShape) -> str:
    return f"{batch.prompts} x {batch.group_size}, {batch.prompt_length}/{batch.response_length}"


def _outcome(name: str, timings: Timings, sides: tuple[str, str], goal: float | None) -> Outcome:
    slower, faster = sides
    return Outcome(name, timings.ratios(slower, faster), goal, timings.median(slower), timings.median(faster))
