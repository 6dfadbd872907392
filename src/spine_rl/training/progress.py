"""What a run shows while it goes: a live line in a terminal, plain lines elsewhere."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback


class LiveView(TrainerCallback):
    """Shows step, reward, majority share, length, entropy, forks, tokens a second and the time left."""

    def __init__(self, console: Console | None = None, label: str = "adapt"):
        self._console = console or Console()
        self._label = label
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._started = 0.0
        self._first_step = 0

    def on_train_begin(self, args, state, control, **kwargs):
        self._started, self._first_step = time.monotonic(), state.global_step
        if state.is_world_process_zero and self._console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[status]}"),
                console=self._console,
            )
            self._progress.start()
            self._task = self._progress.add_task(self._label, total=state.max_steps, status="")

    def on_step_end(self, args, state, control, **kwargs):
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=state.global_step)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not state.is_world_process_zero or not logs or "vote/majority_ratio" not in logs:
            return
        status = format_status(logs)
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, status=status)
        else:
            left = self._seconds_left(state.global_step, state.max_steps)
            line = f"{self._label} step {state.global_step}/{state.max_steps}  {status}  {left:.0f} s left"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def on_train_end(self, args, state, control, **kwargs):
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _seconds_left(self, step: int, max_steps: int) -> float:
        done = max(step - self._first_step, 1)
        return (time.monotonic() - self._started) / done * (max_steps - step)


def format_status(logs: dict[str, Any]) -> str:
    """One line of a step's label-free statistics."""
    seconds = sum(value for name, value in logs.items() if name.startswith("seconds/"))
    return (
        f"reward {logs['vote/reward']:.2f}  majority {logs['vote/majority_ratio']:.2f}  "
        f"length {logs['response_length/mean']:.0f}  entropy {logs['entropy/all']:.3f} "
        f"(forks {logs['entropy/forks']:.2f})  forks {logs['forks/share']:.0%}  "
        f"{logs['tokens_generated'] / max(seconds, 1e-9):,.0f} tokens/s"
    )


def show_live(trainer: Trainer, view: LiveView) -> None:
    """Replaces transformers' own progress display by ours."""
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(view)
