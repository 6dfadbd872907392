"""The collapse monitor judged on an experiment's cells, and the step that `keep_best=label-free` would have kept.

The monitor reads label-free signals; gold answers, by Pass@1 on the first problem set, judge it alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spine_rl.lab.experiments.fields import get_value
from spine_rl.lab.experiments.judge_monitor import Judgement, judge_monitor
from spine_rl.lab.experiments.records import Record, to_rows
from spine_rl.monitor import choose_checkpoint, judge_run

BELOW_START, BELOW_BEST = 0.02, 0.03  # what the kept step may lose at most, by the project's own goals


@dataclass(frozen=True)
class Choice:
    """What would have been kept of one run.

    Attributes:
        record: The cell.
        alarm: Step of the first alarm; None without one.
        step: The evaluated step that is kept.
        start: Pass@1 (mean of the samples) before the first step.
        chosen: At that step.
        last: After the last step.
        best: At the best evaluated step.
    """

    record: Record
    alarm: int | None
    step: int
    start: float
    chosen: float
    last: float
    best: float

    @property
    def is_safe(self) -> bool:
        """Not more than 2 points below the start."""
        return self.chosen >= self.start - BELOW_START - 1e-9

    @property
    def is_near_best(self) -> bool:
        """Not more than 3 points below the best."""
        return self.chosen >= self.best - BELOW_BEST - 1e-9


def list_judged(records: Sequence[Record]) -> list[Record]:
    """Cells that the monitor is for: runs that are label-free, and in which nothing was done about its alarms."""
    fields = [record["settings"]["fields"] for record in records]
    return [
        record
        for record, given in zip(records, fields, strict=True)
        if not given.get("allow_gold_rewards") and given.get("on_collapse", "warn") == "warn"
    ]


def judge_records(records: Sequence[Record], problem_set: str) -> Judgement:
    """Detections of collapses and false alarms."""
    return judge_monitor([(_list_steps(record), _scores(record, problem_set)) for record in records])


def choose_step(record: Record, problem_set: str) -> Choice:
    """The checkpoint that would be kept, among the evaluated steps."""
    verdicts = judge_run(_list_steps(record))
    alarm = next((verdict.step for verdict in verdicts if not verdict.healthy), None)
    steps, scores = [row["step"] for row in record["curve"]], _scores(record, problem_set)
    index = steps.index(choose_checkpoint(verdicts, steps))
    return Choice(record, alarm, steps[index], scores[0], scores[index], scores[-1], max(scores))


def _list_steps(record: Record) -> list[dict[str, Any]]:
    """Logged steps; how far into the data each was, where that was not logged, follows from the settings."""
    settings, fields = record["settings"], record["settings"]["fields"]
    responses = get_value(fields, "per_device_train_batch_size") * get_value(fields, "gradient_accumulation_steps")
    epochs_a_step = responses / get_value(fields, "num_generations") / settings["num_problems"]
    return [{"epoch": row["step"] * epochs_a_step, **row} for row in to_rows(record["steps"])]


def _scores(record: Record, problem_set: str) -> list[float]:
    return [row[problem_set]["pass@1"] for row in record["curve"]]
