"""What a run shows while it goes: in a terminal the steps beside what else is told, elsewhere a line a step."""

import time
from typing import Any

from rich.console import Console
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback

from spine_rl.engine.live import format_seconds
from spine_rl.engine.progress import is_heard, tell


class LiveView(TrainerCallback):
    """Shows step, reward, majority share, length, entropy, forks, tokens drawn a second and the time left.

    Args:
        console: Default: the standard output.
        label: What is done.
    """

    def __init__(self, console: Console | None = None, label: str = "adapt"):
        self._console = console or Console()
        self._is_live = self._console.is_terminal and Console(stderr=True).is_terminal
        self._label = label
        self._status = ""
        self._started = 0.0
        self._first_step = 0

    def on_train_begin(self, args, state, control, **kwargs):
        self._started, self._first_step = time.monotonic(), state.global_step
        tell(self._label, state.global_step, state.max_steps, "steps")

    def on_step_end(self, args, state, control, **kwargs):
        self._tell(state)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not state.is_world_process_zero or not logs or "vote/majority_ratio" not in logs:
            return
        self._status = format_status(logs)
        self._tell(state)
        if not (self._is_live and is_heard()):
            left = format_seconds(self._seconds_left(state.global_step, state.max_steps))
            line = f"{self._label} step {state.global_step}/{state.max_steps}  {self._status}  {left} left"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _tell(self, state: Any) -> None:
        if state.global_step < state.max_steps:
            tell(self._label, state.global_step, state.max_steps, f"steps  {self._status}")

    def on_train_end(self, args, state, control, **kwargs):
        tell(self._label, 1, 1)

    def _seconds_left(self, step: int, max_steps: int) -> float:
        done = max(step - self._first_step, 1)
        return (time.monotonic() - self._started) / done * (max_steps - step)


def format_status(logs: dict[str, Any]) -> str:
    """One line of a step's label-free statistics."""
    speed = logs.get("tokens_per_second")  # of sampling; none where a run was resumed within a generation
    return (
        f"reward {logs['vote/reward']:.2f}  majority {logs['vote/majority_ratio']:.2f}  "
        f"length {logs['response_length/mean']:.0f}  entropy {logs['entropy/all']:.3f} "
        f"(forks {logs['entropy/forks']:.2f})  forks {logs['forks/share']:.0%}"
        + ("" if speed is None else f"  {speed:,.0f} tokens/s")
    )


def show_live(trainer: Trainer, view: LiveView) -> None:
    """Replaces transformers' own progress display by ours."""
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(view)
