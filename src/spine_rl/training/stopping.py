"""Ctrl-C and SIGTERM end a run after its present step, with a checkpoint; a second signal ends it at once."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal(TrainerCallback):
    """Hears signals while the run trains; processes agree on the step after which they stop.

    Attributes:
        number: The signal that ended the run; None where it ended by itself.
    """

    def __init__(self, trainer: Any):
        self._trainer = trainer
        self._heard: int | None = None
        self.number: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within it, the first signal is heard; what signals did before it, the second does."""
        if threading.current_thread() is not threading.main_thread():  # where signals are another's
            yield
            return
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number in _SIGNALS:
            signal.signal(number, self._hear)
        try:
            yield
        finally:
            self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._heard = number
        self._restore()
        print(
            f"{signal.Signals(number).name}: ending after this step, with a checkpoint; a second signal ends at once",
            file=sys.stderr,
            flush=True,
        )

    def on_step_end(self, args, state, control, **kwargs):
        accelerator = self._trainer.accelerator
        heard = self._heard or 0
        if accelerator.num_processes > 1:
            numbers = accelerator.gather(torch.tensor([heard], device=accelerator.device))
            heard = int(numbers.max())
        if heard:
            self.number = heard
            self._trainer.guard.is_interrupted = True
            control.should_save = control.should_training_stop = True
