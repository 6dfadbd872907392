"""The collapse monitor: a run's label-free signals in, a verdict out. Pure Python.

A run that teaches itself its own errors looks well to the vote: agreement rises. What gives it away is that labels or
responses move away from the first votes, that answers grow uniform while responses shorten, or that responses stop
being readable. Each signal is compared with its own start, the share of responses that give their problem's first label
with its best, over the last few steps. That share also says which weights to keep: it stands in for the accuracy.

Steps take up different problems, so a window is an epoch, within limits: where every problem is seen every step, by 64
responses or more, the start is one step, and the monitor speaks from the second. A row stands for the steps since the
row before it. Where a run has a probe, problems whose votes are taken again every so many steps, the share is the
probe's alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any

Row = Mapping[str, Any]  # a logged step, by the names of metrics.jsonl


@dataclass(frozen=True)
class Thresholds:
    """When a signal counts as an alarm. Shares are compared by differences, other signals by ratios to the start.

    Attributes:
        start_steps: Steps whose mean is the start, at most; an epoch's, where that is shorter and has enough responses.
        window: Last steps whose median is compared with the start, at most; an epoch's, but two at least, where those
            have enough responses.
        responses: Responses that are enough.
        longest_window: Steps whose mean is the share of first labels, at most; an epoch's, where that is shorter.
        share_fall: Fall of the share of first labels below its best so far.
        share_errors: Standard errors of the difference that this fall must exceed, too: the best is one of many
            windows, so it is above its own mean by about two. A rise of `unreadable` must, too: it is looked for at
            every step, and harder problems than the first ones have more of them.
        label_drift: Share of first labels, weighted by their margins, that the vote has left.
        drift_fall: Fall of the share of first labels that must come with this drift, and exceed one standard error:
            where first votes are weak, another vote of the same model leaves many labels.
        share_rise: Standard errors by which weights must have a higher share than the kept ones to be kept instead.
        length_low: Response length below this ratio to the start.
        length_high: Response length above this ratio to the start.
        consensus_rise: Rise of the majority share, beside which the next two must hold.
        consensus_length: Response length below this ratio to the start.
        diversity: Distinct answers and fork entropy, both below this ratio to the start.
        unreadable: Rise of the share of abstentions, or of truncated responses.
        kl: KL divergence from the start, in nats per fork.
    """

    start_steps: int = 3
    window: int = 8
    responses: int = 64
    longest_window: int = 32
    share_fall: float = 0.1
    share_errors: float = 4.0
    label_drift: float = 0.6
    drift_fall: float = 0.04
    share_rise: float = 0.5
    length_low: float = 0.5
    length_high: float = 2.0
    consensus_rise: float = 0.2
    consensus_length: float = 0.85
    diversity: float = 0.6
    unreadable: float = 0.25
    kl: float = 1.0


@dataclass(frozen=True)
class Share:
    """How many responses give their problem's first label.

    Attributes:
        mean: Over a window.
        error: Its standard error.
        whole: It can be compared with the start: the window is an epoch, and problems were seen again within it; or
            it is the probe's, and not its first.
    """

    mean: float
    error: float
    whole: bool


@dataclass(frozen=True)
class _Logged:
    """A row, and for how many steps it stands: those since the row before it, also where that one is forgotten."""

    row: Row
    steps: int


@dataclass(frozen=True)
class Verdict:
    """What the monitor says at a step.

    Attributes:
        step: The step. Its responses are of the weights that the step before it left.
        alarms: One sentence a signal that counts; empty where all is well.
        share: Of the first labels; None where less than half of the steps logged it, or there are too few.
        early: There are too few steps for alarms.
    """

    step: int
    alarms: tuple[str, ...]
    share: Share | None = None
    early: bool = False

    @property
    def healthy(self) -> bool:
        return not self.alarms


class CollapseMonitor:
    """Takes a run's logged steps one by one."""

    def __init__(self, thresholds: Thresholds = Thresholds()):
        self.thresholds = thresholds
        self._start: list[Row] = []
        self._logged: list[_Logged] = []  # since the start, and the start's too
        self._last_step = 0
        self._best: Share | None = None
        self._has_probe = False

    def update(self, row: Row) -> Verdict:
        """Takes a logged step and judges the run up to it; a signal that was not logged is silent.

        A step that went on from the weights of an earlier one makes it forget what was between the two, but for the
        start and the best share.
        """
        if RETRIED_FROM in row:
            self._logged = [each for each in self._logged if each.row["step"] <= row[RETRIED_FROM]]
        epoch = _count_steps_an_epoch(row)
        limits = self.thresholds
        needed = math.ceil(limits.responses / max(row.get(RESPONSES, limits.responses), 1))
        start_steps = min(limits.start_steps, max(needed, epoch or limits.start_steps))
        window = min(limits.window, max(2, needed, epoch or limits.window))
        starts = not self._start or self._start[-1]["step"] < start_steps
        self._logged.append(_Logged(row, row["step"] - self._last_step))
        self._last_step = row["step"]
        if starts:
            self._start.append(row)
        self._has_probe |= _PROBE_SHARE in row
        share = self._read_probe(row) if self._has_probe else self._measure_share(epoch or limits.window)
        since = [each for each in self._logged if each.row["step"] > self._start[-1]["step"]]
        early = starts or _count_steps(since) < math.ceil(window / 2)
        alarms: list[str] = []
        if not early:
            recent = [each.row for each in _take_last(since, window)]
            drift = row.get(_PROBE_DRIFT, 0.0) if self._has_probe else _measure_drift(recent)
            alarms = [*self._judge_share(share, drift), *self._judge_signals(recent)]
        if share is not None and (self._best is None or share.mean > self._best.mean):
            self._best = share
        return Verdict(row["step"], tuple(alarms), share, early)

    def _measure_share(self, epoch: int) -> Share | None:
        """Of the last steps of an epoch; of half an epoch at least, and three steps where an epoch has so many."""
        size = max(1, min(epoch, self.thresholds.longest_window))
        window = _take_last(self._logged, size)
        covered = _count_steps(window)
        logged = [each.row for each in window if _SHARE in each.row]
        if 2 * len(logged) < len(window) or covered < min(size, max(3, math.ceil(size / 2))):
            return None
        mean = fmean(row[_SHARE] for row in logged)
        return Share(mean, self._measure_error(_SHARE, logged, covered), covered >= size and self._last_step > epoch)

    def _measure_error(self, name: str, logged: Sequence[Row], steps: int) -> float:
        """Of the mean of a share that some rows logged, which stand for so many steps."""
        shares = [row[name] for row in logged]
        if len(shares) >= _FEW:
            return stdev(shares) / math.sqrt(len(shares))
        # Responses to the same problem are alike, and weigh by the first vote's margin: each counts half.
        a_step = fmean(row.get(RESPONSES, self.thresholds.responses) for row in logged)
        return _estimate_error(fmean(shares), max(a_step * max(steps, len(logged)), 1) / 2)

    def _read_probe(self, row: Row) -> Share | None:
        """Its problems are the same each time, so that they add nothing to the noise of a difference."""
        if _PROBE_SHARE not in row:
            return None
        mean = row[_PROBE_SHARE]
        error = _estimate_error(mean, max(row.get(PROBE_RESPONSES, 1), 1))
        return Share(mean, error, whole=self._best is not None)

    def _judge_share(self, now: Share | None, drift: float) -> list[str]:
        if now is None or self._best is None:
            return []
        limits, best = self.thresholds, self._best
        fall, error = best.mean - now.mean, math.hypot(best.error, now.error)
        if fall >= max(limits.share_fall, limits.share_errors * error):
            return [f"{now.mean:.0%} of the responses give the first labels, {best.mean:.0%} at best"]
        if drift >= limits.label_drift and fall >= max(limits.drift_fall, error):
            return [
                f"the vote has left {drift:.0%} of its first labels, which {now.mean:.0%} of the responses still give, "
                f"{best.mean:.0%} at best"
            ]
        return []

    def _judge_signals(self, recent: Sequence[Row]) -> list[str]:
        changes = {name: self._compare(name, recent) for name in _SIGNALS}
        errors = {name: self._measure_rise_error(name, recent) for name in _UNREADABLE if changes[name] is not None}
        return _list_alarms(changes, errors, self.thresholds)

    def _compare(self, name: str, recent: Sequence[Row]) -> tuple[float, float] | None:
        """A signal's start and its present value; None where less than half of the steps logged it."""
        start = [row[name] for row in self._start if name in row]
        now = [row[name] for row in recent if name in row]
        return (fmean(start), median(now)) if start and 2 * len(now) >= len(recent) else None

    def _measure_rise_error(self, name: str, recent: Sequence[Row]) -> float:
        """Of the difference between a share's present value and its start, which other problems gave."""
        windows = [[row for row in rows if name in row] for rows in (self._start, recent)]
        return math.hypot(*(self._measure_error(name, rows, len(rows)) for rows in windows))


class BestStep:
    """Which weights are the best to keep, by the verdicts: those of the highest share of first labels before an alarm.

    A higher share must be above the noise, or the highest of many would be taken for luck. The start counts with the
    highest of the first epoch's shares.

    Attributes:
        step: The weights after so many steps are kept.
        share: Theirs; None while there is none to compare with.
        is_proven: Some weights could be compared with the start. If none ever can, the last healthy ones are taken.
    """

    def __init__(self):
        self.step = 0
        self.share: float | None = None
        self.is_proven = False

    def consider(self, verdict: Verdict, step: int) -> bool:
        """Whether the weights after `step` steps, which the verdict is of, are kept from now on."""
        now = verdict.share
        if verdict.alarms or now is None:
            return False
        if not now.whole:
            if not self.is_proven:
                self.share = max(self.share or 0.0, now.mean)
            return False
        first, self.is_proven = not self.is_proven, True
        if self.share is not None and now.mean < self.share + Thresholds().share_rise * now.error:
            return False
        if first and step == 0:
            self.share = now.mean
            return False
        self.step, self.share = step, now.mean
        return True


def judge_run(rows: Sequence[Row], thresholds: Thresholds = Thresholds()) -> list[Verdict]:
    """The verdict after every logged step."""
    monitor = CollapseMonitor(thresholds)
    return [monitor.update(row) for row in rows if "vote/majority_ratio" in row]


def choose_checkpoint(verdicts: Sequence[Verdict], saved: Sequence[int]) -> int:
    """The one of the saved steps that is best to keep, as `BestStep` says; the first one is the start.

    Weights are judged by the responses of the step that follows, those after the last step by its own. Where none could
    be compared with the start it is the last one, or with an alarm the start, as in a run.
    """
    best, last, is_comparable = BestStep(), saved[0], False
    for verdict in verdicts:
        if verdict.alarms:
            return best.step
        is_comparable |= verdict.share is not None and verdict.share.whole
        judged = verdict.step - 1
        if verdict is verdicts[-1] and judged not in saved:
            judged = verdict.step
        if verdict.share is None or not verdict.share.whole or judged in saved:
            best.consider(verdict, judged)
        if verdict.step in saved and not verdict.early:
            last = verdict.step
    return best.step if is_comparable else last


RETRIED_FROM = "guard/retried_from"  # logged by the step that follows a retry: which step's weights it went back to
RESPONSES = "vote/responses"  # that a step's share of first labels is of
PROBE = "probe/"  # prefix of the probe's signals, which have the names of the vote's
PROBE_RESPONSES = f"{PROBE}responses"  # that the probe's share is of
_FEW = 4  # values from which their spread tells their mean's error
_LEAST_VARIANCE = 0.05
_SHARE, _DRIFT = "vote/first_label_share", "vote/label_drift"
_PROBE_SHARE, _PROBE_DRIFT = f"{PROBE}first_label_share", f"{PROBE}label_drift"
_LENGTH, _MAJORITY, _KL = "response_length/mean", "vote/majority_ratio", "kl"
_DISTINCT, _ENTROPY = "vote/distinct_answers", "entropy/forks"
_UNREADABLE = {"vote/abstained": "abstentions", "response_length/truncated": "truncated responses"}
_SIGNALS = (_LENGTH, _MAJORITY, _KL, _DISTINCT, _ENTROPY, *_UNREADABLE)
# What a verdict is made of, to be kept with a checkpoint.
_PROBE_SIGNALS = (_PROBE_SHARE, _PROBE_DRIFT, PROBE_RESPONSES)
SIGNALS = (*_SIGNALS, _SHARE, _DRIFT, RESPONSES, *_PROBE_SIGNALS, RETRIED_FROM, "step", "epoch")


def _estimate_error(share: float, responses: float) -> float:
    """The standard error of a share of so many independent responses."""
    return math.sqrt(max(share * (1 - share), _LEAST_VARIANCE) / responses)


def _measure_drift(recent: Sequence[Row]) -> float:
    """Of the last steps; 0 where less than half of them logged it."""
    drifts = [row[_DRIFT] for row in recent if _DRIFT in row]
    return median(drifts) if 2 * len(drifts) >= len(recent) else 0.0


def _count_steps_an_epoch(row: Row) -> int | None:
    """None where it is not logged how far into the data the run is."""
    return max(1, round(row["step"] / row["epoch"])) if row.get("epoch") else None


def _take_last(logged: Sequence[_Logged], steps: int) -> Sequence[_Logged]:
    """The last rows that stand for so many steps, and one at least where there are any."""
    first, covered = len(logged), 0
    while first > 0 and covered < steps:
        first -= 1
        covered += logged[first].steps
    return logged[first:]


def _count_steps(logged: Sequence[_Logged]) -> int:
    return sum(each.steps for each in logged)


def _list_alarms(
    signals: Mapping[str, tuple[float, float] | None], errors: Mapping[str, float], limits: Thresholds
) -> list[str]:
    alarms = []
    length, kl = signals[_LENGTH], signals[_KL]
    ratio = length[1] / max(length[0], 1e-9) if length is not None else 1.0
    if length is not None and not limits.length_low <= ratio <= limits.length_high:
        alarms.append(f"responses have {length[1]:.0f} tokens, {length[0]:.0f} at the start")
    if ratio <= limits.consensus_length and _has_consensus_without_diversity(signals, limits):
        alarms.append("agreement rises while answers, fork entropy and response length fall")
    for name, what in _UNREADABLE.items():
        share = signals[name]
        if share is not None and share[1] - share[0] >= max(limits.unreadable, limits.share_errors * errors[name]):
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
