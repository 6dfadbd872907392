"""The collapse monitor inside a run: it keeps the best weights, warns, stops or goes back; label-free throughout."""

import math
import os
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from transformers import TrainerCallback

from spine_rl.errors import ConfigError
from spine_rl.monitor import RETRIED_FROM, SIGNALS, BestStep, CollapseMonitor, Verdict
from spine_rl.runs.checkpoints import PREFIX
from spine_rl.runs.run_file import LAST_FOLDER
from spine_rl.runs.whole_file import TEMPORARY
from spine_rl.training.best_weights import BestWeights, reset_moments
from spine_rl.training.config import SpineConfig
from spine_rl.training.first_labels import UNADAPTED_STEPS
from spine_rl.training.whole_weights import find_obstacle

_SEEN_ONCE = (
    "no problem is seen twice, so the collapse monitor cannot compare labels with the first ones and reads lengths, "
    "agreement and entropy alone; a probe (probe_problems), more steps or fewer problems would let it"
)


@dataclass(frozen=True)
class Kept:
    """Which weights a run ends with.

    Attributes:
        step: Optimiser steps that they have done; 0 is the model as it was.
        last_step: Optimiser steps of the run.
        share: Share of responses that gave their problem's first label; None where it could not be measured.
        reason: Why, in a sentence.
    """

    step: int
    last_step: int
    share: float | None
    reason: str


class CollapseGuard(TrainerCallback):
    """Judges every step by its own responses, before its update, and keeps the weights that gave the best ones.

    The best are those of the highest share of first labels before an alarm (`spine_rl.monitor.BestStep`): what can be
    chosen without labels. They are copied to host memory when they are better, written with every checkpoint, and put
    into the model when training ends; the last weights then lie in the run's folder as `last`.

    Args:
        trainer: Whose run it is.
        folder: The run's.
        args: Its configuration, of which `on_collapse` and `keep_best` count. `warn`: one warning; `stop`: and training
            ends; `retry`: at every alarm the best weights come back, the learning rate is halved and training goes on.

    Raises:
        ConfigError: `retry`, and the weights are sharded by the first FSDP.
    """

    def __init__(self, trainer: Any, folder: Path, args: SpineConfig):
        self._trainer, self._folder, self._on_collapse = trainer, folder, args.on_collapse
        obstacle = find_obstacle(trainer.accelerator)
        if obstacle is not None and self._on_collapse == "retry":
            raise ConfigError(f"on_collapse='retry': {obstacle}, or give warn or stop, and keep checkpoints")
        self._holds = args.holds_best and obstacle is None
        self._ends_with_best = args.ends_with_best
        self._misses = obstacle if args.ends_with_best else None
        self._is_resumed = False
        self.weights: BestWeights | None = None  # in training, where best ones are kept
        self._start()

    def _start(self) -> None:
        self.is_interrupted = False  # set it, and training has not ended
        self.kept: Kept | None = None  # when training has ended
        self._monitor, self._best = CollapseMonitor(), BestStep()
        self._alarm: Verdict | None = None  # of the first alarm, until a retry
        self._retried_from: int | None = None  # until the next step's signals say so

    # ---- as training goes

    def on_train_begin(self, args, state, control, **kwargs):
        self._start()
        if self._on_collapse == "retry":
            _check_can_be_halved(self._trainer.lr_scheduler)
        is_seen_once = state.num_train_epochs == 1 and state.max_steps > UNADAPTED_STEPS
        if is_seen_once and self._trainer.plan_probe(state.max_steps) is None:
            warnings.warn(_SEEN_ONCE, stacklevel=2)
        if self._misses is not None:
            warnings.warn(f"the run ends with its last weights: {self._misses}", stacklevel=2)
        if self._holds:
            self.weights = BestWeights(self._trainer.unwrapped_model, is_main=self._trainer.accelerator.is_main_process)
        self._is_resumed = len(self._rows) > 0
        for row in self._rows:
            self._judge(row)
        if self.weights is not None and not self.weights.load(self._folder / f"{PREFIX}{state.global_step}"):
            self.weights.take()
            self._best = BestStep()  # what an earlier part of the run found best is not there
            self._best.step = state.global_step

    def observe(self, row: Mapping[str, Any]) -> None:
        """Takes a step's signals when its update is computed and not yet done: the weights are those that responded."""
        # What is not finite, as of a step that is not taken, is no signal: metrics.jsonl has no such number either.
        signals = {name: row[name] for name in SIGNALS if math.isfinite(row.get(name, math.nan))}
        if self._retried_from is not None:
            signals[RETRIED_FROM], self._retried_from = float(self._retried_from), None
        self._rows.append(signals)
        if self._judge(signals) and self.weights is not None:
            self.weights.take()

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop |= self._on_collapse == "stop" and self._alarm is not None

    def on_step_begin(self, args, state, control, **kwargs):
        if self._on_collapse == "retry" and self._alarm is not None:
            self._alarm = None  # its step has been logged: it was of the weights that are left
            self._retry()

    def on_train_end(self, args, state, control, **kwargs):
        if self.is_interrupted:  # it goes on another time
            return
        self.kept = self._choose(state.global_step)
        is_last = self.kept.step == state.global_step or self.weights is None
        saves = str(getattr(args.save_strategy, "value", args.save_strategy)) != "no"
        self._replace_last(saves=saves and not is_last)
        if self.weights is not None and not is_last:
            self.weights.put_back(self._trainer.optimizer)

    def _replace_last(self, *, saves: bool) -> None:
        """Aside, then by its name; what is there is of an earlier end, where the run was made longer since."""
        folder, aside = self._folder / LAST_FOLDER, self._folder / f"{TEMPORARY}{LAST_FOLDER}"
        if saves:
            self._trainer.save_model(str(aside), _internal_call=True)  # not for the hub
        if self._trainer.args.should_save and (saves or self._is_resumed):
            shutil.rmtree(folder, ignore_errors=True)
            if saves:
                os.replace(aside, folder)

    def save(self, folder: Path) -> None:
        """Writes the best weights into a checkpoint."""
        if self.weights is not None:
            self.weights.save(folder)

    # ---- judging and acting

    @property
    def _rows(self) -> list[Mapping[str, Any]]:
        """Every step's signals, kept where transformers writes them with a checkpoint, whatever is logged."""
        return cast(dict[str, Any], self._trainer.state.stateful_callbacks).setdefault("collapse_guard", [])

    def _judge(self, row: Mapping[str, Any]) -> bool:
        """Whether the weights that gave the row's responses are the best so far."""
        if RETRIED_FROM in row:
            self._alarm = None
        verdict = self._monitor.update(row)
        if verdict.alarms and self._alarm is None:
            self._alarm = verdict
            self._warn(verdict)
        return self._alarm is None and self._best.consider(verdict, row["step"] - 1)

    def _warn(self, verdict: Verdict) -> None:
        actions = {
            "warn": "going on; --on_collapse stop or retry would not",
            "stop": "stopping",
            "retry": f"going back to step {self._best.step} with half the learning rate",
        }
        alarms = "; ".join(verdict.alarms)
        message = f"step {verdict.step}: this looks like a collapse: {alarms}; {actions[self._on_collapse]}"
        warnings.warn(message, stacklevel=4)

    def _retry(self) -> None:
        """Takes up the best weights; the step that follows logs it."""
        assert self.weights is not None
        self.weights.put_back(self._trainer.optimizer)
        self._trainer.forget_after(self._best.step)
        reset_moments(self._trainer.optimizer)  # they are those of the way that was left
        self._halve_learning_rate()
        self._retried_from = self._best.step
        self._trainer.log_values({RETRIED_FROM: float(self._best.step)})

    def _halve_learning_rate(self) -> None:
        """Of the schedule, and of the step that comes next."""
        schedule = _unwrap_schedule(self._trainer.lr_scheduler)
        schedule.base_lrs = [rate / 2 for rate in schedule.base_lrs]
        for group in self._trainer.optimizer.param_groups:
            group["lr"] = group["lr"] / 2

    def _choose(self, last: int) -> Kept:
        alarm = f"step {self._alarm.step}: {'; '.join(self._alarm.alarms)}" if self._alarm is not None else None
        if self._misses is not None:
            return Kept(last, last, None, f"the last weights are kept: {self._misses}")
        if not self._ends_with_best:
            return Kept(last, last, None, "the last weights are kept, as keep_best=none says")
        if self._best.is_proven:
            step, share = self._best.step, self._best.share or 0.0
            before = "" if alarm is None else f", before the alarm of {alarm}"
            what = "no step's responses gave" if step == 0 else "its responses gave"
            more = "more of their problems' first labels than the unadapted model's"
            reason = f"{what} {more}{before}" if step == 0 else f"{what} the first labels most often{before}"
            return Kept(step, last, share, reason)
        if alarm is not None:
            return Kept(self._best.step, last, None, f"no weights could be compared with the start before {alarm}")
        reason = "no problem with a clear first vote was seen again, so that no step could be compared with the start"
        return Kept(last, last, None, reason)


def _check_can_be_halved(schedule: Any) -> None:
    """Of a learning rate's schedule, before the first step: a retry comes hours later.

    Raises:
        ConfigError: It has no rates that can be set, as DeepSpeed's own.
    """
    inner = _unwrap_schedule(schedule)
    if not hasattr(inner, "base_lrs"):
        raise ConfigError(
            f"on_collapse='retry' halves the learning rate, which {type(inner).__name__} does not allow; of "
            "DeepSpeed's configuration leave out `scheduler`, and give lr_scheduler_type and warmup_steps"
        )


def _unwrap_schedule(schedule: Any) -> Any:
    return getattr(schedule, "scheduler", schedule)
