"""The collapse monitor inside a run: it warns, stops, or puts the last healthy weights back; label-free throughout."""

import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import TrainerCallback

from spine_rl.monitor import CollapseMonitor, Verdict

ON_COLLAPSE = ("warn", "stop", "rollback")
KEEP_BEST = ("none", "label-free")
BEST_FOLDER = "best"
_NEW, _OLD, _STEP_FILE = f".{BEST_FOLDER}.new", f".{BEST_FOLDER}.old", "step.txt"


class CollapseGuard(TrainerCallback):
    """Judges every logged step and acts on the first alarm.

    With `keep_best`, or for a rollback, the weights of the last healthy step are kept in the run's folder as `best`,
    every `save_steps` steps: the checkpoint that can be chosen without labels. A resumed run goes on with the signals
    that its checkpoint has logged, and with `best`; an alarm that was raised before the checkpoint still counts.

    Args:
        trainer: Whose run it is; it saves, so that sharded weights are whole.
        folder: The run's.
        on_collapse: `warn`: one warning; `stop`: and training ends; `rollback`: and `best` becomes the model.
        keep_best: Keep `best` even if nothing needs it.
    """

    def __init__(self, trainer: Any, folder: Path, *, on_collapse: str, keep_best: bool):
        self._trainer, self._best = trainer, folder / BEST_FOLDER
        self._on_collapse, self._keeps = on_collapse, keep_best or on_collapse == "rollback"
        self._monitor = CollapseMonitor()
        self._alarmed = False
        self._kept_step = 0

    def on_train_begin(self, args, state, control, **kwargs):
        self._monitor, self._alarmed = CollapseMonitor(), False
        for row in state.log_history:  # empty but for a resumed run
            self._judge(row, control)
        if self._keeps:
            kept = self._read_kept_step() if state.global_step > 0 else None
            if kept is None or kept > state.global_step:  # a rollback before the first healthy step goes to the start
                self._save(state.global_step)
            else:
                self._kept_step = kept

    def on_log(self, args, state, control, logs=None, **kwargs):
        healthy = self._judge({"step": state.global_step, **(logs or {})}, control)
        due = state.global_step - self._kept_step >= _every(args.save_steps, state.max_steps)
        if healthy and self._keeps and due:
            self._save(state.global_step)

    def on_train_end(self, args, state, control, model=None, **kwargs):
        if self._alarmed and self._on_collapse == "rollback":
            load_weights(self._trainer.accelerator.unwrap_model(model), self._best)

    def _judge(self, row: Mapping[str, Any], control: Any) -> bool:
        """Whether a step has a verdict, and no alarm was ever raised; acts on the first one."""
        if "vote/majority_ratio" not in row:
            return False
        verdict = self._monitor.update(row)
        if not verdict.healthy and not self._alarmed:
            self._alarmed = True
            warnings.warn(self._describe(verdict), stacklevel=3)
            control.should_training_stop |= self._on_collapse != "warn"
        return not self._alarmed

    def _describe(self, verdict: Verdict) -> str:
        actions = {
            "warn": "going on; --on_collapse stop or rollback would not",
            "stop": "stopping",
            "rollback": f"stopping, and going back to {self._best.name}",
        }
        alarms = "; ".join(verdict.alarms)
        return f"step {verdict.step}: this looks like a collapse: {alarms}; {actions[self._on_collapse]}"

    def _read_kept_step(self) -> int | None:
        """The step of the weights in `best`, brought back if a save was stopped between its two renames."""
        old = self._best.with_name(_OLD)
        if self._trainer.is_world_process_zero() and old.exists() and not self._best.exists():
            os.replace(old, self._best)
        self._trainer.accelerator.wait_for_everyone()
        path = self._best / _STEP_FILE
        return int(path.read_text()) if path.exists() else None

    def _save(self, step: int) -> None:
        """Whole or not at all: written beside, then renamed."""
        self._kept_step = step
        new = self._best.with_name(_NEW)
        if self._trainer.is_world_process_zero():
            shutil.rmtree(new, ignore_errors=True)
        self._trainer.accelerator.wait_for_everyone()
        self._trainer.save_model(str(new))
        if self._trainer.is_world_process_zero():
            (new / _STEP_FILE).write_text(f"{step}\n")
            old = self._best.with_name(_OLD)
            shutil.rmtree(old, ignore_errors=True)
            if self._best.exists():
                os.replace(self._best, old)
            os.replace(new, self._best)
            shutil.rmtree(old, ignore_errors=True)
        self._trainer.accelerator.wait_for_everyone()


def load_weights(model: Any, folder: Path) -> None:
    """Puts the weights saved in a folder into a model, or an adapter's into its adapter."""
    state: dict[str, Any] = {}
    for path in _list_weights(folder):
        state |= load_file(path)
    if isinstance(model, PeftModel):
        set_peft_model_state_dict(model, state)
    else:
        model.load_state_dict(state, strict=False)  # tied weights are saved once
        model.tie_weights()


def _list_weights(folder: Path) -> Sequence[Path]:
    return sorted(folder.glob("*.safetensors"))


def _every(save_steps: float, max_steps: int) -> int:
    """Of transformers' `save_steps`: below 1 it is a share of all steps."""
    return max(1, int(save_steps if save_steps >= 1 else save_steps * max_steps))
