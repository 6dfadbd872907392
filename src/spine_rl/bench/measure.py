"""Timing in alternation, A B A B, so that a machine's slow minutes fall on every side."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch


@dataclass(frozen=True)
class Timings:
    """Seconds of each side, one a round, in the order they were taken."""

    seconds: dict[str, list[float]]

    def median(self, side: str) -> float:
        return median(self.seconds[side])

    def ratios(self, slower: str, faster: str) -> list[float]:
        """Of each round's pair."""
        return [a / b for a, b in zip(self.seconds[slower], self.seconds[faster], strict=True)]


def alternate(sides: Mapping[str, Callable[[], object]], rounds: int, warmups: int = 1) -> Timings:
    """Runs every side in turn, `rounds` times after `warmups` that are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(warmups + rounds):
        for name, run in sides.items():
            synchronize()
            started = time.perf_counter()
            run()
            synchronize()
            if turn >= warmups:
                seconds[name].append(time.perf_counter() - started)
    return Timings(seconds)


def synchronize() -> None:
    """Waits for an accelerator's queue."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
