"""The collapse monitor inside a run: it warns, stops, or puts the last healthy weights back; label-free throughout."""

import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import TrainerCallback

from spine_rl.errors import ConfigError
from spine_rl.monitor import RETRIED_FROM, CollapseMonitor, Verdict, is_as_good
from spine_rl.training.first_labels import UNADAPTED_STEPS

BEST_FOLDER = "best"
_NEW, _OLD, _STEP_FILE = f".{BEST_FOLDER}.new", f".{BEST_FOLDER}.old", "step.txt"
_SEEN_ONCE = (
    "no problem is seen twice, so the collapse monitor cannot compare labels with the first ones and reads lengths, "
    "agreement and entropy alone; more steps or fewer problems would let it"
)


class CollapseGuard(TrainerCallback):
    """Judges every logged step and acts on an alarm.

    With `keep_best`, and where `on_collapse` needs it, the run's folder has the best weights as `best`: those of the
    highest first-label share before an alarm, looked at every `save_steps` steps and after the last. They are the
    checkpoint that can be chosen without labels. A resumed run goes on with the signals that its checkpoint has logged,
    and with `best`; an alarm that was raised before the checkpoint still counts.

    Args:
        trainer: Whose run it is; it saves, so that sharded weights are whole.
        folder: The run's.
        on_collapse: `warn`: one warning; `stop`: and training ends; `rollback`: and `best` becomes the model; `retry`:
            at every alarm, `best` becomes the model, the learning rate is halved and training goes on; at the end it
            becomes the model, too.
        keep_best: Keep `best` even if nothing needs it.

    Raises:
        ConfigError: `best` is needed, and the weights are sharded.
    """

    def __init__(self, trainer: Any, folder: Path, *, on_collapse: str, keep_best: bool):
        self._trainer, self._best = trainer, folder / BEST_FOLDER
        self._on_collapse, self._keeps = on_collapse, keep_best or on_collapse in ("rollback", "retry")
        if self._keeps and trainer.is_sharded:
            raise ConfigError(
                "on_collapse=rollback, retry and keep_best need whole weights, and FSDP and DeepSpeed shard them: give "
                "on_collapse=warn or stop, and keep checkpoints (save_total_limit)"
            )
        self._start()

    def _start(self) -> None:
        self._monitor = CollapseMonitor()
        self._alarmed = False
        self._retry_due = False
        self._has_judged = False  # there were steps enough for a verdict
        self._kept_step = 0
        self._kept_share: float | None = None
        self._looked_at = 0  # the step at which `best` was last looked at

    def on_train_begin(self, args, state, control, **kwargs):
        self._start()
        if state.num_train_epochs == 1 and state.max_steps > UNADAPTED_STEPS:
            warnings.warn(_SEEN_ONCE, stacklevel=2)
        kept = self._read_kept_step() if self._keeps and state.global_step > 0 else None
        for row in state.log_history:  # empty but for a resumed run
            self._replay(row, control, kept)
        if self._keeps and (kept is None or kept > state.global_step):
            self._save(state.global_step)  # a rollback before the first healthy step goes to the start
        elif kept is not None:
            self._kept_step = self._looked_at = kept

    def on_log(self, args, state, control, logs=None, **kwargs):
        verdict = self._judge({"step": state.global_step, **(logs or {})})
        if verdict is None or verdict.early or self._alarmed:
            return
        if not verdict.healthy:
            self._act(verdict, control)
        elif self._keeps and self._is_time_to_look(args, state):
            self._looked_at = state.global_step
            if is_as_good(verdict.first_label_share, self._kept_share):
                self._save(state.global_step, verdict.first_label_share)

    def on_step_begin(self, args, state, control, **kwargs):
        if self._retry_due:  # not while a step is being logged: what it logs is of the weights that are left
            self._retry_due = False
            self._retry()

    def on_train_end(self, args, state, control, **kwargs):
        if (self._on_collapse == "retry" and self._has_judged) or (self._alarmed and self._on_collapse == "rollback"):
            self._go_back()

    def _is_time_to_look(self, args: Any, state: Any) -> bool:
        due = state.global_step - self._looked_at >= _every(args.save_steps, state.max_steps)
        return due or state.global_step == state.max_steps

    def _judge(self, row: Mapping[str, Any]) -> Verdict | None:
        if "vote/majority_ratio" not in row:
            return None
        verdict = self._monitor.update(row)
        self._has_judged |= not verdict.early
        if verdict.early and self._kept_step == 0 and verdict.first_label_share is not None:
            self._kept_share = max(self._kept_share or 0.0, verdict.first_label_share)
        return verdict

    def _replay(self, row: Mapping[str, Any], control: Any, kept: int | None) -> None:
        """What a row that the checkpoint has logged led to."""
        if RETRIED_FROM in row:
            self._retry_due = False  # it was done; the halved rate is the schedule's, which the checkpoint has
        verdict = self._judge(row)
        if verdict is None or self._alarmed:
            return
        if not verdict.healthy:
            self._act(verdict, control)
        elif verdict.step == kept:
            self._kept_share = verdict.first_label_share

    def _act(self, verdict: Verdict, control: Any) -> None:
        warnings.warn(self._describe(verdict), stacklevel=3)
        self._retry_due = self._on_collapse == "retry"
        self._alarmed = not self._retry_due
        control.should_training_stop |= self._on_collapse in ("stop", "rollback")

    def _retry(self) -> None:
        """Takes up `best`; the step that follows logs it."""
        self._looked_at = self._kept_step
        self._go_back()
        self._trainer.forget_after(self._kept_step)
        optimizer = self._trainer.optimizer
        getattr(optimizer, "optimizer", optimizer).state.clear()  # its moments are those of the way that was left
        self._halve_learning_rate()
        self._trainer.log_values({RETRIED_FROM: float(self._kept_step)})

    def _go_back(self) -> None:
        load_weights(self._trainer.accelerator.unwrap_model(self._trainer.model), self._best)

    def _halve_learning_rate(self) -> None:
        """Of the schedule, and of the step that comes next."""
        schedule = self._trainer.lr_scheduler
        schedule.base_lrs = [rate / 2 for rate in schedule.base_lrs]
        for group in self._trainer.optimizer.param_groups:
            group["lr"] = group["lr"] / 2

    def _describe(self, verdict: Verdict) -> str:
        actions = {
            "warn": "going on; --on_collapse stop, rollback or retry would not",
            "stop": "stopping",
            "rollback": f"stopping, and going back to {self._best.name}",
            "retry": f"going back to step {self._kept_step} with half the learning rate",
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

    def _save(self, step: int, share: float | None = None) -> None:
        """Whole or not at all: written beside, then renamed."""
        self._kept_step, self._kept_share = step, share
        new = self._best.with_name(_NEW)
        if self._trainer.is_world_process_zero():
            shutil.rmtree(new, ignore_errors=True)
        self._trainer.accelerator.wait_for_everyone()
        self._trainer.save_model(str(new), _internal_call=True)  # not for the hub
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
    """Puts the weights saved in a folder into a model, or an adapter's into its adapter; all of them, or it raises."""
    if isinstance(model, PeftModel):
        found = set_peft_model_state_dict(model, load_file(folder / "adapter_model.safetensors"))
        if found.unexpected_keys:
            raise RuntimeError(f"{folder}: weights that the adapter does not have: {', '.join(found.unexpected_keys)}")
    else:  # files have the names of the hub, which are not the module's: transformers knows how they correspond
        model.load_state_dict(type(model).from_pretrained(folder, dtype=model.dtype).state_dict())


def _every(save_steps: float, max_steps: int) -> int:
    """Of transformers' `save_steps`: below 1 it is a share of all steps."""
    return max(1, int(save_steps if save_steps >= 1 else save_steps * max_steps))
