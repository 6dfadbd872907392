"""Ctrl-C and SIGTERM end a run after its present step, with a checkpoint; a second signal ends it at once.

The second is the system's own, so that it need not wait until Python comes back from a backward pass. A launcher of
processes passes on the signal that they have from its group already: there no second one counts, and the launcher ends
by SIGKILL what takes too long.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from rich.console import Console
from torch.distributed import is_torchelastic_launched
from transformers import TrainerCallback

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal(TrainerCallback):
    """Hears signals while the run trains; processes agree on the step after which they stop.

    Attributes:
        heard: The signal that came; 0 for none.
        number: The signal that ended the run; None where it ended by itself.
    """

    def __init__(self, trainer: Any):
        self._trainer = trainer
        self.heard = 0
        self.number: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within it, the first signal is heard; after one, signals do not get back what they did before."""
        if threading.current_thread() is not threading.main_thread():  # where signals are another's
            yield
            return
        before = {number: signal.signal(number, self._hear) for number in _SIGNALS}
        try:
            yield
        finally:
            if not self.heard:
                for number, handler in before.items():
                    signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.heard = number
        is_passed_on = self._trainer.accelerator.num_processes > 1 or is_torchelastic_launched()
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN if is_passed_on else signal.SIG_DFL)
        Console(stderr=True).show_cursor()  # a line that changes hides it, and a second signal leaves no time
        second = "" if is_passed_on else "; a second signal ends at once, without one"
        said = f"{signal.Signals(number).name}: ending after this step, with a checkpoint{second}"
        print(said, file=sys.stderr, flush=True)

    def on_step_end(self, args, state, control, **kwargs):
        accelerator = self._trainer.accelerator
        heard = self.heard
        if accelerator.num_processes > 1:
            numbers = accelerator.gather(torch.tensor([heard], device=accelerator.device))
            heard = int(numbers.max())
        if heard:
            self.number = heard
            self._trainer.guard.is_interrupted = True
            control.should_save = control.should_training_stop = True
