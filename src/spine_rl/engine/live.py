"""What is told is shown: a few lines that keep changing in a terminal, a plain line now and then elsewhere.

Imports nothing that takes long, so that a command can show that it is loading what does.
"""

import os
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from spine_rl.engine.progress import listening

_TICK = 30.0  # seconds between plain lines while nothing ends
_LEAST = 5.0  # a phase that was shorter is not worth a plain line


@dataclass
class _Phase:
    """One that is not over: what was told last, and since when; `told` is when `done` last grew."""

    name: str
    started: float
    told: float
    first: int
    done: int = 0
    total: int = 0
    unit: str = ""

    def describe(self) -> str:
        """`generate 120/512 tokens`."""
        count = f" {self.done}/{self.total}" if self.total else f" {self.done}" if self.done else ""
        return f"{self.name}{count} {self.unit}".rstrip() if count else self.name

    def describe_time(self, now: float) -> str:
        """`0:14, 0:46 left`."""
        moved, left = self.done - self.first, ""
        if self.total and moved:
            seconds = (self.told - self.started) / moved * (self.total - self.done) - (now - self.told)
            left = f", {format_seconds(max(0.0, seconds))} left"
        return format_seconds(now - self.started) + left


class LiveLine:
    """Shows the phases that are not over, for as long as it is entered; on a run's first process alone.

    Args:
        console: Default: the standard error stream, so that output can be piped.
    """

    def __init__(self, console: Console | None = None):
        self._console = console or Console(stderr=True)
        self._is_live = self._console.is_terminal and not self._console.is_dumb_terminal
        self._phases: dict[str, _Phase] = {}
        self._live: Live | None = None
        self._spinner = Spinner("dots")
        self._stack, self._closed = ExitStack(), threading.Event()
        self._printed = 0.0

    def __enter__(self) -> "LiveLine":
        if os.environ.get("RANK", "0") == "0":
            self._printed = time.monotonic()
            self._stack.enter_context(listening(self._hear))
            if not self._is_live:
                threading.Thread(target=self._tick, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._closed.set()
        self._phases.clear()
        self._stop()

    def _hear(self, name: str, done: int, total: int, unit: str) -> None:
        now = time.monotonic()
        phase = self._phases.get(name)
        if 0 < total <= done:
            self._phases.pop(name, None)
            is_part = bool(self._phases)  # of another, whose lines say how far it is
            if phase and not (is_part or self._is_live) and now - max(self._printed, phase.started) >= _LEAST:
                self._print(f"{name} took {format_seconds(now - phase.started)}")
        elif phase is None:
            self._phases[name] = _Phase(name, now, now, done, done, total, unit)
        else:
            if done < phase.done:  # it began anew
                phase.started, phase.first = now, done
            if done != phase.done:
                phase.told = now
            phase.done, phase.total, phase.unit = done, total, unit
        if self._is_live:
            self._start() if self._phases else self._stop()

    # ---- in a terminal

    def _start(self) -> None:
        if self._live is None:
            self._live = Live(
                console=self._console,
                get_renderable=self._render,
                refresh_per_second=4,
                transient=True,
                redirect_stdout=Console().is_terminal,  # what goes to a file stays there
            )
            self._live.start()

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _render(self) -> Table:
        now, table = time.monotonic(), Table.grid(padding=(0, 1))
        for row, phase in enumerate([*self._phases.values()]):
            text = Text(phase.describe(), no_wrap=True, overflow="ellipsis")
            table.add_row("" if row else self._spinner, phase.describe_time(now), text)
        return table

    # ---- elsewhere

    def _tick(self) -> None:
        while not self._closed.wait(1.0):
            now, phases = time.monotonic(), [*self._phases.values()]
            since = min((phase.started for phase in phases), default=now)
            if now - max(self._printed, since) >= _TICK:
                self._print("  |  ".join(f"{phase.describe()}  {phase.describe_time(now)}" for phase in phases))

    def _print(self, text: str) -> None:
        self._printed = time.monotonic()
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def format_seconds(seconds: float) -> str:
    """`0:07`, `12:30`, `3:05:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
