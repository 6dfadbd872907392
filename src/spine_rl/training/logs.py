"""What a run logs of a step: the election, the seconds of each phase, the peak of memory."""

import warnings
from collections.abc import Mapping
from typing import Any, cast

from datasets import Dataset

from spine_rl.monitor import RESPONSES
from spine_rl.training.checkpoints import CheckpointingTrainer
from spine_rl.training.config import SpineConfig
from spine_rl.training.election import Election, summarize_lengths
from spine_rl.training.finite_steps import FiniteSteps
from spine_rl.training.first_labels import FirstLabels, compare_with_first_labels, forget_later
from spine_rl.training.phases import PhaseClock, measure_peak_memory
from spine_rl.voting import Key, LabelHistory, forget_votes, judge_ballots, summarize_ballots


class LoggingTrainer(CheckpointingTrainer):
    """Adds to TRL's logs what is known of votes, time and memory."""

    args: SpineConfig  # pyright: ignore[reportIncompatibleVariableOverride]
    clock: PhaseClock
    finite_steps: FiniteSteps
    gold_keys: dict[str, Key]
    _tokens_drawn = 0  # since the last log
    _steps_timed = 0  # since then, those of this process: a resumed run's log may have earlier ones, too
    _was_unread = False  # the step before, which said so
    _vote_signals: dict[str, float]  # of the generation whose first update is being computed

    def _log_election(self, election: Election) -> None:
        is_unread = all(ballot.pseudo_label is None for ballot in election.ballots)
        if is_unread and not self._was_unread and self.accelerator.is_main_process:
            warnings.warn(
                f"no response of step {self.state.global_step + 1} has a readable answer (answer_type="
                f"{self.args.answer_type!r}): no update from the vote; check answer_type, max_completion_length and "
                "whether the prompts ask for the answer's format",
                stacklevel=2,
            )
        self._was_unread = is_unread
        votes = summarize_ballots(election.ballots)
        votes |= compare_with_first_labels(self._first_labels, election.ballots, self.state.global_step)
        signals = {f"vote/{name}": value for name, value in votes.items()} | summarize_lengths(election.responses)
        signals[RESPONSES] = float(len(election.responses))
        self.log_values(signals)
        step = self.state.global_step + 1
        self._vote_signals = {**signals, "step": step}
        if self._steps_an_epoch is not None:
            self._vote_signals["epoch"] = step / self._steps_an_epoch
        judged = judge_ballots(election.ballots, self.gold_keys)  # diagnosis: no part of what the guard sees
        self.log_values({f"vote/{name}": value for name, value in judged.items()})
        generated = sum(response.length + response.extra_length for response in election.responses)
        self.log_values({"tokens_generated": float(generated)})
        self._tokens_drawn += generated

    @property
    def _steps_an_epoch(self) -> int | None:
        """Optimiser steps in which every problem is seen once, but for those left over; None of a stream."""
        args = self.args
        if not isinstance(self.train_dataset, Dataset):
            return None
        return max(1, len(self.train_dataset) // args.problems_per_rollout) * args.steps_per_rollout

    @property
    def _first_labels(self) -> FirstLabels:
        """Kept where transformers writes it with a checkpoint, and reads it when a run is resumed."""
        return cast(dict[str, Any], self.state.stateful_callbacks).setdefault("first_labels", {})

    @property
    def _label_history(self) -> LabelHistory:
        """Kept in the same way; of `problem_rule=flip-guard`."""
        return cast(dict[str, Any], self.state.stateful_callbacks).setdefault("label_history", {})

    def forget_after(self, step: int) -> None:
        """Of a run that goes back to a step's weights: labels that later ones voted, responses they gave."""
        forget_later(self._first_labels, step)
        forget_votes(self._label_history, step)
        self._buffered_inputs = None

    def log_values(self, values: Mapping[str, float]) -> None:
        """Adds metrics to what the next logged step reports."""
        for name, value in values.items():
            self._metrics["train"][name].append(value)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if self._steps_since_log > 0:
            seconds = self.clock.pop()
            if self._tokens_drawn > 0:  # a generation may serve several steps: over its own time, not a step's
                logs = logs | {"tokens_per_second": self._tokens_drawn / max(seconds.get("generate", 0.0), 1e-9)}
                self._tokens_drawn = 0
            logs = logs | {f"seconds/{phase}": value / max(1, self._steps_timed) for phase, value in seconds.items()}
            logs["memory/peak_gib"] = measure_peak_memory(self.accelerator.device)
            logs["skipped_steps"] = float(self.finite_steps.skipped)
            self._steps_since_log = self._steps_timed = 0
        super().log(logs, start_time)
