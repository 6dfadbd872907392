"""The collapse monitor inside a run: it warns, stops, or puts the last healthy weights back; label-free throughout."""

import os
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import TrainerCallback

from spine_rl.monitor import CollapseMonitor, Verdict

ON_COLLAPSE = ("warn", "stop", "rollback")
KEEP_BEST = ("none", "label-free")
BEST_FOLDER = "best"


class CollapseGuard(TrainerCallback):
    """Judges every logged step and acts on the first alarm.

    With `keep_best`, or for a rollback, the weights of the last healthy step are kept in the run's folder as `best`,
    every `save_steps` steps: the checkpoint that can be chosen without labels. A resumed run starts its signals anew.

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
        self._warned = False
        self._kept_step = 0

    def on_train_begin(self, args, state, control, **kwargs):
        if self._keeps:  # a rollback before the first healthy step goes to the start
            self._save(state.global_step)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not logs or "vote/majority_ratio" not in logs:
            return
        verdict = self._monitor.update({"step": state.global_step, **logs})
        if self._warned:
            return
        if not verdict.healthy:
            self._warned = True
            warnings.warn(self._describe(verdict), stacklevel=2)
            control.should_training_stop |= self._on_collapse != "warn"
        elif self._keeps and state.global_step - self._kept_step >= _every(args.save_steps, state.max_steps):
            self._save(state.global_step)

    def on_train_end(self, args, state, control, model=None, **kwargs):
        if self._warned and self._on_collapse == "rollback":
            load_weights(self._trainer.accelerator.unwrap_model(model), self._best)

    def _describe(self, verdict: Verdict) -> str:
        actions = {
            "warn": "going on; --on_collapse stop or rollback would not",
            "stop": "stopping",
            "rollback": f"stopping, and going back to {self._best.name}",
        }
        alarms = "; ".join(verdict.alarms)
        return f"step {verdict.step}: this looks like a collapse: {alarms}; {actions[self._on_collapse]}"

    def _save(self, step: int) -> None:
        """Whole or not at all: written beside, then renamed."""
        self._kept_step = step
        new = self._best.with_name(f".{BEST_FOLDER}.new")
        if self._trainer.is_world_process_zero():
            shutil.rmtree(new, ignore_errors=True)
        self._trainer.accelerator.wait_for_everyone()
        self._trainer.save_model(str(new))
        if self._trainer.is_world_process_zero():
            (new / "step.txt").write_text(f"{step}\n")
            old = self._best.with_name(f".{BEST_FOLDER}.old")
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
