"""The report's answer in words: did a run help, where did it turn, what to do. Pure Python.

Without labels the yardstick is the first vote, that of the model as it was: how many responses give the answer that it
chose. Gold answers, where a run had them for diagnosis, are told beside it and do not change the answer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from spine_rl.monitor import PROBE, Verdict, choose_checkpoint, judge_run
from spine_rl.pages.report_runs import Row, Run

Kind = Literal["helped", "turned", "lost", "same", "unknown"]

_SHARE, _GOLD, _MAJORITY, _LENGTH = (
    "vote/first_label_share", "vote/pass@1", "vote/majority_ratio", "response_length/mean",
)  # fmt: skip
_PROBE_SHARE = f"{PROBE}first_label_share"
_WINDOW = (3, 32)  # logged steps at either end that are compared; between the two, those of an epoch
_LEAST_CHANGE = 0.02  # of a share: less is no change, whatever its noise
_ERRORS = 2.0  # standard errors of a difference that a change must exceed
_WEAK_VOTE, _AGREED = 0.25, 0.95  # majority shares: below, labels are mostly chance; above, little is left to learn


@dataclass(frozen=True)
class Change:
    """A logged quantity at the start and at the end, and the least difference that is not noise."""

    start: float
    end: float
    noise: float

    @property
    def risen(self) -> bool:
        return self.end - self.start > self.noise

    @property
    def fallen(self) -> bool:
        return self.start - self.end > self.noise


@dataclass(frozen=True)
class Answer:
    """What a report says of a run.

    Attributes:
        kind: `helped`; `turned`, the collapse monitor raised an alarm; `lost`, agreement fell without one; `same`, no
            change beyond noise; `unknown`, it cannot be told.
        headline: One sentence.
        reasons: Why, a sentence each.
        advice: What to do, a sentence each.
        turned_at: Step of the first alarm.
        best_step: Step whose weights are the best to keep, by label-free signals; 0 is the model as it was.
    """

    kind: Kind
    headline: str
    reasons: Sequence[str]
    advice: Sequence[str]
    turned_at: int | None = None
    best_step: int | None = None


def answer_run(run: Run) -> Answer:
    """Reads the run's logged steps."""
    verdicts = judge_run(run.rows)
    if not verdicts or verdicts[-1].early or len(run.rows) < 2 * _WINDOW[0]:
        reason = f"{len(run.rows)} steps are logged; that is too few to tell learning from chance."
        return Answer("unknown", "Too early to tell.", [reason, *_tell_gold(run.rows)], ["Let it run on."])
    alarm = next((verdict for verdict in verdicts if verdict.alarms), None)
    best = run.kept.get("step", choose_checkpoint(verdicts, [0, *(verdict.step for verdict in verdicts)]))
    share = _measure_share(run.rows, verdicts)
    if alarm is not None:
        return _answer_turned(run, verdicts, alarm, best, passed=verdicts[-1].healthy)
    if share is None:
        return _answer_blind(run)
    reasons = [*_tell_share(share), *_tell_lengths(run.rows), *_tell_gold(run.rows), *_tell_weak_vote(run.rows)]
    if share.risen:
        headline, advice = "It helped, as far as can be told without labels.", _advise_helped(run, best)
        return Answer("helped", headline, reasons, advice, best_step=best)
    if share.fallen:
        headline, advice = "It lost, as far as can be told without labels.", _advise_lost(run, best)
        return Answer("lost", headline, reasons, advice, best_step=best)
    advice = [*_tell_weights(run, best), f"Take more steps, or a higher learning rate{_tell_rate(run)}."]
    return Answer("same", "No change that can be told from noise.", reasons, advice, best_step=best)


def measure_change(rows: Sequence[Row], name: str) -> Change | None:
    """Compares the first logged steps with the last, an epoch of each; None where either end did not log it."""
    epoch = rows[-1].get("epoch")
    steps = round(rows[-1]["step"] / epoch) if epoch else 0
    least, most = _WINDOW
    window = min(max(least, min(steps, most)), max(len(rows) // 3, min(least, len(rows) // 2), 1))
    first, last = ([row[name] for row in part if name in row] for part in (rows[:window], rows[-window:]))
    if not first or not last:
        return None
    error = math.sqrt(sum((stdev(part) ** 2 / len(part)) if len(part) > 1 else 0.0 for part in (first, last)))
    return Change(fmean(first), fmean(last), max(_LEAST_CHANGE, _ERRORS * error))


def _measure_share(rows: Sequence[Row], verdicts: Sequence[Verdict]) -> Change | None:
    """Of the first labels: from the probe's first vote to its last, or where there is no probe, of the steps."""
    if not any(_PROBE_SHARE in row for row in rows):
        return measure_change(rows, _SHARE)
    shares = [verdict.share for verdict in verdicts if verdict.share is not None]
    if len(shares) < 2:
        return None
    first, last = shares[0], shares[-1]
    return Change(first.mean, last.mean, max(_LEAST_CHANGE, _ERRORS * math.hypot(first.error, last.error)))


def _answer_turned(run: Run, verdicts: Sequence[Verdict], alarm: Verdict, best: int, *, passed: bool) -> Answer:
    before = [row for row in run.rows if row["step"] <= max(best, 1)]
    judged = [verdict for verdict in verdicts if verdict.step <= best + 1]  # a step's responses judge those before it
    share = _measure_share(before, judged) if len(before) >= 2 * _WINDOW[0] else None
    helped = f"It had helped up to step {best}. " if share is not None and share.risen else ""
    last = " At the last step it had passed." if passed else ""
    reasons = [f"{helped}The monitor's alarm: {'; '.join(alarm.alarms)}.{last}", *_tell_gold(run.rows)]
    advice = [
        *_tell_weights(run, best),
        f"Run it again with half the learning rate{_tell_rate(run)}; on_collapse: retry does so by itself.",
    ]
    headline = f"It turned at step {alarm.step}: this looks like a collapse."
    return Answer("turned", headline, reasons, advice, turned_at=alarm.step, best_step=best)


def _answer_blind(run: Run) -> Answer:
    reasons = [
        "No problem was voted on a second time, so responses cannot be compared with their problem's first vote.",
        *_tell_lengths(run.rows),
        *_tell_gold(run.rows),
    ]
    return Answer("unknown", "Whether it helped cannot be told.", reasons, ["Run more than one epoch.", _CHECK])


def _tell_share(share: Change) -> list[str]:
    return [
        f"At the start {share.start:.0%} of the responses gave the answer that the first vote chose, "
        f"at the end {share.end:.0%}. A change of less than {100 * share.noise:.0f} points may be chance."
    ]


def _tell_lengths(rows: Sequence[Row]) -> list[str]:
    length = measure_change(rows, _LENGTH)
    if length is None:
        return []
    return [f"The collapse monitor raised no alarm; responses had {length.start:.0f} tokens, now {length.end:.0f}."]


def _tell_gold(rows: Sequence[Row]) -> list[str]:
    gold = measure_change(rows, _GOLD)
    if gold is None:
        return []
    word = "more" if gold.risen else "fewer" if gold.fallen else "about as many"
    return [
        f"The gold answers, which training never sees: {word} samples are right, "
        f"Pass@1 {gold.start:.2f} at the start and {gold.end:.2f} at the end."
    ]


def _tell_weak_vote(rows: Sequence[Row]) -> list[str]:
    majority = measure_change(rows, _MAJORITY)
    if majority is None or majority.start >= _WEAK_VOTE:
        return []
    return [
        f"The first votes were weak, their winner had {majority.start:.0%} of the responses: agreement with them says "
        "little."
    ]


_CHECK = "Check it on problems whose answers you know: spine eval with a baseline."


def _advise_helped(run: Run, best: int) -> list[str]:
    majority = measure_change(run.rows, _MAJORITY)
    if majority is not None and majority.end >= _AGREED:
        more = f"{majority.end:.0%} of the responses agree now: these problems have little left to teach, so stop here."
        return [*_tell_weights(run, best), more, _CHECK]
    return [*_tell_weights(run, best), _CHECK]


def _advise_lost(run: Run, best: int) -> list[str]:
    return [
        *_tell_weights(run, best),
        f"Run it again with half the learning rate{_tell_rate(run)}.",
        _CHECK,
    ]


def _tell_weights(run: Run, best: int) -> list[str]:
    """Which weights to use; a finished run says which ones it kept."""
    last = run.rows[-1]["step"]
    name = "the last weights" if best == last else f"the weights of step {best}" if best else "the model as it was"
    if run.kept:
        return [f"Use what the run kept, {name}: {run.kept['reason']}."]
    return [
        f"Keep {name}."
        if best == last
        else f"Keep {name}: before any alarm, its responses agreed most with the first votes."
    ]


def _tell_rate(run: Run) -> str:
    rate = run.config.get("training", {}).get("learning_rate")
    return f" (it was {float(rate):g})" if isinstance(rate, int | float) else ""
