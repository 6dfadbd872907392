"""Timing in alternation, A B A B, so that a machine's slow minutes fall on every side."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch
from transformers import TrainerCallback

from spine_rl.engine.models import get_device
from spine_rl.engine.precision import is_faster_in_16_bits


@dataclass(frozen=True)
class Timings:
    """Seconds of each side, one a round, in the order they were taken."""

    seconds: dict[str, list[float]]

    def median(self, side: str) -> float:
        return median(self.seconds[side])

    def ratios(self, slower: str, faster: str) -> list[float]:
        """Of each round's pair."""
        return [a / b for a, b in zip(self.seconds[slower], self.seconds[faster], strict=True)]


def alternate(sides: Mapping[str, Callable[[], float]], rounds: int, warmups: int = 1) -> Timings:
    """Calls every side in turn, `rounds` times after `warmups` that are not counted; each returns its seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(warmups + rounds):
        for name, run in sides.items():
            elapsed = run()
            if turn >= warmups:
                seconds[name].append(elapsed)
    return Timings(seconds)


def timed(run: Callable[[], object]) -> Callable[[], float]:
    """The seconds that a call takes."""

    def call() -> float:
        synchronize()
        started = time.perf_counter()
        run()
        synchronize()
        return time.perf_counter() - started

    return call


class StepClock(TrainerCallback):
    """Seconds of a run's steps: reading the rows, sampling, vote, update and optimiser; the first reads none."""

    def __init__(self):
        self._seconds: list[float] = []
        self._started: float | None = None

    def on_train_begin(self, args, state, control, **kwargs):
        self._started = None

    def on_step_begin(self, args, state, control, **kwargs):
        if self._started is None:
            synchronize()
            self._started = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        synchronize()
        now = time.perf_counter()
        self._seconds.append(now - (self._started or now))
        self._started = now

    @property
    def last(self) -> float:
        """Of the last step."""
        return self._seconds[-1]

    def pop(self) -> float:
        """Median of the steps since the last call."""
        seconds, self._seconds = self._seconds, []
        return median(seconds)


def autocast(hidden_size: int) -> torch.autocast:
    """The precision that the trainer computes in by default, of a model as wide."""
    device = get_device()
    enabled = device.type != "cpu" or is_faster_in_16_bits(device, hidden_size)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def synchronize() -> None:
    """Waits for an accelerator's queue."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
