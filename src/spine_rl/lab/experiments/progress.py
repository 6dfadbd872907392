"""The one progress display of an experiment: cells done and left, and the time that is left."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from spine_rl.lab.experiments.workers import Failure, Job


class ProgressView:
    """Bars in a terminal: all cells, and each that runs; elsewhere a line for each that has ended.

    Args:
        jobs: To be run.
        num_done: Cells that were finished before.
    """

    def __init__(self, jobs: Sequence[Job], num_done: int, console: Console | None = None):
        self._console = console or Console()
        self._total, self._ended, self._before = len(jobs), 0, num_done
        self._num_steps, self._done_steps = sum(job.steps for job in jobs), 0
        self._steps: dict[str, int] = {}
        self._bars: dict[str, TaskID] = {}
        self._started = time.monotonic()
        self._progress: Progress | None = None
        if self._console.is_terminal and jobs:
            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[status]}", markup=False),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self._console,
                speed_estimate_period=3600,
            )
            self._progress.start()
            self._all = self._progress.add_task("all cells", total=self._num_steps, status=self._describe())

    def on_start(self, job: Job) -> None:
        self._steps[job.name] = 0
        if self._progress is not None:
            status = f"0/{job.steps} steps"
            self._bars[job.name] = self._progress.add_task(f"  {job.name}", total=job.steps, status=status)

    def on_step(self, job: Job, step: int) -> None:
        self._done_steps += step - self._steps[job.name]
        self._steps[job.name] = step
        if self._progress is not None:
            self._progress.update(self._bars[job.name], completed=step, status=f"{step}/{job.steps} steps")
            self._progress.update(self._all, completed=self._done_steps)

    def on_end(self, job: Job, failure: Failure | None) -> None:
        self._ended += 1
        self._done_steps += job.steps - self._steps.pop(job.name, 0)
        if self._progress is not None:
            self._progress.update(self._all, completed=self._done_steps, status=self._describe())
            if job.name in self._bars:
                self._progress.remove_task(self._bars.pop(job.name))
        if failure is not None:
            self._print(f"failed: {job.name}: {failure.reason} (see {failure.log})")
        elif self._progress is None:
            self._print(f"{self._describe()}, {self._minutes_left():.0f} min left: {job.name}")

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _describe(self) -> str:
        return f"{self._before + self._ended}/{self._before + self._total} cells done"

    def _minutes_left(self) -> float:
        rate = self._done_steps / max(time.monotonic() - self._started, 1e-9)
        return (self._num_steps - self._done_steps) / max(rate, 1e-9) / 60

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
