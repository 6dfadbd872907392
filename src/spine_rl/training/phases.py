"""Where a step's time goes, and how much memory a run takes."""

import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from spine_rl.engine.progress import tell


class PhaseClock:
    """Adds up wall-clock seconds by phase; time in a nested phase counts for the nested one alone.

    Phases are told. An accelerator works on while the next phase begins, so its work counts where it is waited for.

    Args:
        synchronizes: Its queue is drained at each border, so that work counts where it was asked for; this takes time.
    """

    def __init__(self, *, synchronizes: bool = False):
        self._synchronizes = synchronizes
        self._seconds: dict[str, float] = defaultdict(float)
        self._running: list[tuple[str, bool]] = []  # with whether it is told
        self._since = 0.0

    @contextmanager
    def phase(self, name: str, *, tells: bool = True) -> Iterator[None]:
        """Times the block; `tells` is false where it is what is left of others, which are told themselves."""
        self.start(name, tells=tells)
        try:
            yield
        finally:
            self.stop()

    def start(self, name: str, *, tells: bool = True) -> None:
        self._switch()
        self._running.append((name, tells))
        if tells:
            tell(name)

    def stop(self) -> None:
        self._switch()
        name, tells = self._running.pop()
        if tells:
            tell(name, 1, 1)

    def pop(self) -> dict[str, float]:
        """Seconds by phase since the last call."""
        self._switch()
        seconds, self._seconds = dict(self._seconds), defaultdict(float)
        return seconds

    def _switch(self) -> None:
        if self._synchronizes and torch.accelerator.is_available():
            torch.accelerator.synchronize()
        now = time.perf_counter()
        if self._running:
            self._seconds[self._running[-1][0]] += now - self._since
        self._since = now


def measure_peak_memory(device: torch.device) -> float:
    """The most memory in GiB that this process has held so far: tensors on a GPU, or on another device everything."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, but bytes on macOS
    return peak / (2**30 if sys.platform == "darwin" else 2**20)
