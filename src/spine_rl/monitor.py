"""The collapse monitor: a run's label-free signals in, a verdict out. Pure Python.

A run that teaches itself its own errors looks well to the vote: agreement rises. What gives it away is that labels or
responses move away from the first votes, that answers grow uniform while responses shorten, or that responses stop
being readable. Each signal is compared with its own start, the share of responses that give their problem's first label
with its best, over the last few steps. That share also says which checkpoint to keep: it stands in for the accuracy.
Steps take up different problems, so nothing is said before there are enough of them, and shares are compared over whole
epochs, that is over the same problems.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any

Row = Mapping[str, Any]  # a logged step, by the names of metrics.jsonl


@dataclass(frozen=True)
class Thresholds:
    """When a signal counts; shares are differences to the start, the others ratios to it or absolute.

    Attributes:
        start_steps: Logged steps whose mean is the start.
        window: Last logged steps whose median is compared with it. The share's mean is over those of an epoch, where
            that is longer.
        longest_window: The share's, in a long epoch: by then it has problems enough.
        share_fall: Share of responses with their problem's first label, below its best so far.
        share_errors: How many standard errors of a difference that fall must exceed, too: the best is one of many
            windows, so it is above its own mean by about two.
        label_drift: Share of first labels, weighted by their margin, that the vote has left.
        length_low: Response length, as a ratio to the start.
        length_high: The same, upwards.
        consensus_rise: Majority share.
        consensus_length: Response length beside a risen consensus, as a ratio.
        diversity: Distinct answers and fork entropy beside it, as ratios; both must be lower.
        unreadable: Abstentions, and truncations.
        kl: In nats a fork.
    """

    start_steps: int = 3
    window: int = 8
    longest_window: int = 32
    share_fall: float = 0.1
    share_errors: float = 3.0
    label_drift: float = 0.6
    length_low: float = 0.5
    length_high: float = 2.0
    consensus_rise: float = 0.2
    consensus_length: float = 0.85
    diversity: float = 0.6
    unreadable: float = 0.25
    kl: float = 1.0


@dataclass(frozen=True)
class Verdict:
    """What the monitor says at a step.

    Attributes:
        step: The step.
        alarms: One sentence a signal that counts; empty where all is well.
        first_label_share: Mean over the window, or over the start when that is done; None in between, or where less
            than half of the steps logged it.
        early: There are too few steps for alarms; the share is the start's, as nearly as it can be known.
    """

    step: int
    alarms: tuple[str, ...]
    first_label_share: float | None = None
    early: bool = False

    @property
    def healthy(self) -> bool:
        return not self.alarms


class CollapseMonitor:
    """Takes a run's logged steps one by one."""

    def __init__(self, thresholds: Thresholds = Thresholds()):
        self.thresholds = thresholds
        self._start: list[Row] = []
        self._rows: list[Row] = []  # the start's too
        self._num_seen = 0
        self._best_share = 0.0

    def update(self, row: Row) -> Verdict:
        """Takes a logged step and judges the run up to it; a signal that was not logged is silent.

        A step that went on from the weights of an earlier one makes it forget what was between the two, but for the
        start and the best share.
        """
        if RETRIED_FROM in row:
            self._rows = [earlier for earlier in self._rows if earlier["step"] <= row[RETRIED_FROM]]
        self._rows.append(row)
        self._num_seen += 1
        if self._num_seen <= self.thresholds.start_steps:
            self._start.append(row)
        limits, whole = self.thresholds, self._find_share_window(row)
        rows = self._rows[-whole:]
        shares = [each[_SHARE] for each in rows if _SHARE in each]
        share = fmean(shares) if 2 * len(shares) >= len(rows) else None
        if len(self._rows) < limits.window:
            return Verdict(row["step"], (), share if self._num_seen == limits.start_steps else None, early=True)
        early = self._num_seen < limits.start_steps + limits.window
        alarms = [] if early else [*self._judge_share(share, shares), *self._judge_signals()]
        if len(rows) == whole:
            self._best_share = max(self._best_share, share or 0.0)
        return Verdict(row["step"], tuple(alarms), share, early)

    def _find_share_window(self, row: Row) -> int:
        """Steps of an epoch, within limits; the least where it is not logged how far into the data the run is."""
        limits = self.thresholds
        steps = round(row["step"] / row["epoch"]) if row.get("epoch") else 0
        return max(limits.window, min(steps, limits.longest_window))

    def _judge_share(self, now: float | None, shares: Sequence[float]) -> list[str]:
        if now is None:
            return []
        error = stdev(shares) / math.sqrt(len(shares)) if len(shares) > 1 else 0.0
        needed = max(self.thresholds.share_fall, self.thresholds.share_errors * math.sqrt(2) * error)  # of a difference
        if self._best_share - now < needed:
            return []
        return [f"{now:.0%} of the responses give the first labels, {self._best_share:.0%} at best"]

    def _judge_signals(self) -> list[str]:
        return _list_alarms({name: self._compare(name) for name in _SIGNALS}, self.thresholds)

    def _compare(self, name: str) -> tuple[float, float] | None:
        """A signal's start and its present value; None where less than half of the steps logged it."""
        start = [row[name] for row in self._start if name in row]
        if name == _DRIFT:
            start = [0.0]  # nothing has moved before the first vote
        now = [row[name] for row in self._rows[-self.thresholds.window :] if name in row]
        return (fmean(start), median(now)) if start and 2 * len(now) >= self.thresholds.window else None


def judge_run(rows: Sequence[Row], thresholds: Thresholds = Thresholds()) -> list[Verdict]:
    """The verdict after every logged step."""
    monitor = CollapseMonitor(thresholds)
    return [monitor.update(row) for row in rows if "vote/majority_ratio" in row]


def choose_checkpoint(verdicts: Sequence[Verdict], saved: Sequence[int]) -> int:
    """The one of the saved steps that is best to keep: before the first alarm, with the highest first-label share.

    The first one, the start, has no steps before it and counts with the highest share of early verdicts. Where shares
    were not logged it is the last one before the alarm.
    """
    kept, kept_share = saved[0], 0.0
    for verdict in itertools.takewhile(lambda verdict: verdict.healthy, verdicts):
        share = verdict.first_label_share
        if verdict.early:
            kept_share = max(kept_share, share or 0.0)
        elif verdict.step in saved and is_as_good(share, kept_share):
            kept, kept_share = verdict.step, share or 0.0
    return kept


def is_as_good(share: float | None, kept: float | None) -> bool:
    """Whether weights are worth keeping instead of others, by their shares; one that was not logged is no objection."""
    return share is None or share >= (kept or 0.0)


RETRIED_FROM = "guard/retried_from"  # logged by the step that follows a retry: which step's weights it went back to
_SHARE, _DRIFT = "vote/first_label_share", "vote/label_drift"
_LENGTH, _MAJORITY, _KL = "response_length/mean", "vote/majority_ratio", "kl"
_DISTINCT, _ENTROPY = "vote/distinct_answers", "entropy/forks"
_UNREADABLE = {"vote/abstained": "abstentions", "response_length/truncated": "truncated responses"}
_SIGNALS = (_DRIFT, _LENGTH, _MAJORITY, _KL, _DISTINCT, _ENTROPY, *_UNREADABLE)


def _list_alarms(signals: Mapping[str, tuple[float, float] | None], limits: Thresholds) -> list[str]:
    alarms = []
    drift, kl = signals[_DRIFT], signals[_KL]
    if drift is not None and drift[1] >= limits.label_drift:
        alarms.append(f"the vote has left {drift[1]:.0%} of its first labels")
    length = signals[_LENGTH]
    ratio = length[1] / max(length[0], 1e-9) if length is not None else 1.0
    if length is not None and not limits.length_low <= ratio <= limits.length_high:
        alarms.append(f"responses have {length[1]:.0f} tokens, {length[0]:.0f} at the start")
    if ratio <= limits.consensus_length and _has_consensus_without_diversity(signals, limits):
        alarms.append("agreement rises while answers, fork entropy and response length fall")
    for name, what in _UNREADABLE.items():
        share = signals[name]
        if share is not None and share[1] - share[0] >= limits.unreadable:
            alarms.append(f"{what} rose from {share[0]:.0%} to {share[1]:.0%}")
    if kl is not None and kl[1] >= limits.kl:
        alarms.append(f"KL from the start is {kl[1]:.2f} nats a fork")
    return alarms


def _has_consensus_without_diversity(signals: Mapping[str, tuple[float, float] | None], limits: Thresholds) -> bool:
    majority, distinct, entropy = signals[_MAJORITY], signals[_DISTINCT], signals[_ENTROPY]
    if majority is None or distinct is None or entropy is None:
        return False
    risen = majority[1] - majority[0] >= limits.consensus_rise
    return risen and all(now <= limits.diversity * start for start, now in (distinct, entropy))
