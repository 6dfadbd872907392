"""How good the collapse monitor is, over runs of which gold answers say whether they collapsed."""

from collections.abc import Sequence
from dataclasses import dataclass

from spine_rl.monitor import Row, Thresholds, judge_run


@dataclass(frozen=True)
class Judgement:
    """The monitor over runs of which it is known, by gold answers, whether they collapsed.

    Attributes:
        num_collapsed: Runs that did.
        num_detected: Of them, those with an alarm.
        num_sound: Runs that did not.
        num_false_alarms: Of them, those with an alarm.
        first_alarms: Step of each detected run's first alarm.
    """

    num_collapsed: int
    num_detected: int
    num_sound: int
    num_false_alarms: int
    first_alarms: tuple[int, ...]


def judge_monitor(
    runs: Sequence[tuple[Sequence[Row], Sequence[float]]], thresholds: Thresholds = Thresholds(), *, fall: float = 0.1
) -> Judgement:
    """Detections and false alarms of the monitor.

    Args:
        runs: Logged steps of each run, and its Pass@1 before, on the way and after: gold answers enter here alone.
        thresholds: The monitor's.
        fall: A run collapsed if its last Pass@1 is at least this far below its first.
    """
    first = [next((v.step for v in judge_run(rows, thresholds) if v.alarms), None) for rows, _ in runs]
    collapsed = [curve[-1] <= curve[0] - fall for _, curve in runs]
    detected = [step for step, bad in zip(first, collapsed, strict=True) if bad and step is not None]
    false_alarms = sum(step is not None and not bad for step, bad in zip(first, collapsed, strict=True))
    return Judgement(sum(collapsed), len(detected), len(runs) - sum(collapsed), false_alarms, tuple(detected))
