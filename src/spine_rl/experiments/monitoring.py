"""The collapse monitor judged on an experiment's cells, and the step that `keep_best=label-free` would have kept.

The monitor reads label-free signals; gold answers, by Pass@1 on the first problem set, judge it alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from spine_rl.experiments.records import Record, to_rows
from spine_rl.monitor import Judgement, judge_monitor, judge_run

BELOW_START, BELOW_BEST = 0.02, 0.03  # what the kept step may lose at most, by the project's own goals


@dataclass(frozen=True)
class Choice:
    """What would have been kept of one run.

    Attributes:
        record: The cell.
        alarm: Step of the first alarm; None without one.
        step: The last evaluated step before it.
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
    """Cells that the monitor is for: those rewarded by gold answers are not label-free runs."""
    return [record for record in records if not record["settings"]["fields"].get("allow_gold_rewards")]


def judge_records(records: Sequence[Record], problem_set: str) -> Judgement:
    """Detections of collapses and false alarms."""
    return judge_monitor([(to_rows(record["steps"]), _scores(record, problem_set)) for record in records])


def choose_step(record: Record, problem_set: str) -> Choice:
    """The checkpoint that would be kept, among the evaluated steps."""
    verdicts = judge_run(to_rows(record["steps"]))
    alarm = next((verdict.step for verdict in verdicts if not verdict.healthy), None)
    steps, scores = [row["step"] for row in record["curve"]], _scores(record, problem_set)
    index = max(i for i, step in enumerate(steps) if alarm is None or step < alarm)
    return Choice(record, alarm, steps[index], scores[0], scores[index], scores[-1], max(scores))


def _scores(record: Record, problem_set: str) -> list[float]:
    return [row[problem_set]["pass@1"] for row in record["curve"]]
