"""What finished cells say in numbers: tidy rows, means with intervals over seeds, differences paired by seed."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from scipy import stats

from spine_rl.lab.experiments.cells import show
from spine_rl.lab.experiments.fields import get_value
from spine_rl.lab.experiments.records import Record
from spine_rl.lab.experiments.spec import Experiment

SCORES = ("greedy_pass@1", "pass@1")  # of greedy responses, and the mean over samples


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, and the half-width of Student's 95 % interval; None where there is but one seed."""

    mean: float
    half: float | None
    num_seeds: int

    def describe(self, *, signed: bool = False, digits: int = 3) -> str:
        """`0.512 ± 0.043`; where seeds differ in number from a table's, the table says so."""
        mean = f"{self.mean:{'+' if signed else ''}.{digits}f}"
        return mean if self.half is None else f"{mean} ± {self.half:.{digits}f}"


def estimate(values: Sequence[float]) -> Estimate:
    """Of values that are independent, one a seed."""
    if len(values) < 2:
        return Estimate(fmean(values), None, len(values))
    quantile = float(stats.t.ppf(0.975, len(values) - 1))
    return Estimate(fmean(values), quantile * stdev(values) / math.sqrt(len(values)), len(values))


@dataclass(frozen=True)
class Group:
    """Cells that differ by their seed alone.

    Attributes:
        task: Its name.
        arm: Its name.
        point: (axis, value as shown) pairs.
        records: Cells by seed.
    """

    task: str
    arm: str
    point: tuple[tuple[str, str], ...]
    records: Mapping[int, Record]

    @property
    def label(self) -> str:
        """Arm and point."""
        return ", ".join([self.arm, *describe_point(self.point)])

    def values(self, problem_set: str, metric: str, index: int = -1) -> dict[int, float]:
        """Seed → a metric at an evaluated step, by default the last."""
        return {seed: record["curve"][index][problem_set][metric] for seed, record in self.records.items()}


def describe_point(point: Sequence[tuple[str, str]]) -> list[str]:
    """Each axis with its value, for labels and titles."""
    return [f"{name} {value}" for name, value in point]


def group_records(records: Iterable[Record]) -> list[Group]:
    """In order of first appearance within tasks."""
    members: dict[tuple[str, str, tuple[tuple[str, str], ...]], dict[int, Record]] = {}
    for record in records:
        point = tuple((name, show(value)) for name, value in record["point"].items())
        members.setdefault((record["task"], record["arm"], point), {})[record["seed"]] = record
    return [Group(*key, by_seed) for key, by_seed in members.items()]


# ---- tidy rows


def list_rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """One row a cell, evaluated step and problem set; a column for every field that cells differ in."""
    records = list(records)
    axes = dict.fromkeys(name for record in records for name in record["point"])
    return [
        {
            "task": record["task"],
            "arm": record["arm"],
            **{name: value_of(record, name) for name in axes},
            "seed": record["seed"],
            "step": evaluation["step"],
            "problem_set": problem_set,
            **metrics,
        }
        for record in records
        for evaluation in record["curve"]
        for problem_set, metrics in evaluation.items()
        if problem_set != "step"
    ]


def value_of(record: Record, name: str) -> Any:
    """A field of a cell's run, given or left as it is."""
    return get_value(record["settings"]["fields"], name)


def tabulate(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The same rows column by column, None where a row has no value."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def to_csv(columns: Mapping[str, Sequence[Any]]) -> str:
    """With a header; empty where a row has no value."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return buffer.getvalue()


# ---- summaries


def list_metrics(num_samples: int) -> dict[str, str]:
    """Metric → heading of the tables."""
    return {
        "greedy_pass@1": "Pass@1 greedy",
        "pass@1": f"Pass@1 mean of {num_samples}",
        f"maj@{num_samples}": f"maj@{num_samples}",
        "majority_ratio": "majority share",
        "response_length": "length",
        "entropy": "entropy",
    }


def summarize(groups: Sequence[Group], problem_sets: Sequence[str], num_samples: int) -> list[dict[str, Any]]:
    """A row a group and problem set: each metric before and after, and of the scores the best step and the fall."""
    rows = []
    for group in groups:
        for problem_set in problem_sets:
            row: dict[str, Any] = {"task": group.task, "arm": group.arm, **dict(group.point)}
            row |= {"problem_set": problem_set, "seeds": sorted(group.records)}
            for metric in list_metrics(num_samples):
                row[metric] = {
                    "before": to_json(estimate([*group.values(problem_set, metric, 0).values()])),
                    "after": to_json(estimate([*group.values(problem_set, metric).values()])),
                }
            for metric in SCORES:
                best, fall = find_best(group, problem_set, metric)
                row[metric] |= {"best": to_json(best), "fall": to_json(fall)}
            rows.append(row)
    return rows


def find_best(group: Group, problem_set: str, metric: str) -> tuple[Estimate, Estimate]:
    """Of each run the best evaluated step, and how far the last one is below it."""
    curves = [[row[problem_set][metric] for row in record["curve"]] for record in group.records.values()]
    return estimate([max(curve) for curve in curves]), estimate([max(curve) - curve[-1] for curve in curves])


def to_json(value: Estimate) -> dict[str, Any]:
    half = None if value.half is None else round(value.half, 5)
    return {"mean": round(value.mean, 5), "half_width": half, "seeds": value.num_seeds}


# ---- differences


@dataclass(frozen=True)
class Difference:
    """One arm minus another, over the seeds that both have.

    Attributes:
        task: Where.
        title: Which arms, and at which points.
        problem_set: Of the evaluation.
        metric: Which score.
        estimate: Of the differences by seed.
    """

    task: str
    title: str
    problem_set: str
    metric: str
    estimate: Estimate


def compare_arms(experiment: Experiment, groups: Sequence[Group]) -> list[Difference]:
    """Of every pair: at equal points, and where their best ones differ, each arm at its own.

    The best point is the one with the highest mean Pass@1 (of samples, first problem set, last step): gold chooses it.
    """
    differences = []
    for task in dict.fromkeys(group.task for group in groups):
        by_arm = {
            arm: {group.point: group for group in groups if (group.task, group.arm) == (task, arm)}
            for arm in experiment.arms
        }
        for ours, theirs in experiment.compare:
            shared = [point for point in by_arm[ours] if point in by_arm[theirs]]
            pairs = [(_title(ours, theirs, point), by_arm[ours][point], by_arm[theirs][point]) for point in shared]
            if all(by_arm[arm] for arm in (ours, theirs)) and max(len(by_arm[ours]), len(by_arm[theirs])) > 1:
                first = experiment.evaluate_on[0]
                mine, other = (find_best_group([*by_arm[arm].values()], first) for arm in (ours, theirs))
                if mine.point != other.point:  # if not, it is among the shared ones
                    pairs.append((f"each at its best: {mine.label} − {other.label}", mine, other))
            for title, our_group, their_group in pairs:
                differences += _subtract(task, title, our_group, their_group, experiment.evaluate_on)
    return differences


def compare_varied(experiment: Experiment, groups: Sequence[Group]) -> list[Difference]:
    """Of every arm with one field changed: less the arm as it is."""
    as_it_is = {(group.task, group.arm, group.point): group for group in groups}
    differences = []
    for group in (group for group in groups if group.point and group.point[-1][0] in experiment.vary):
        other = as_it_is.get((group.task, group.arm, group.point[:-1]))
        if other is not None:
            title = f"{group.label} − {other.label}"
            differences += _subtract(group.task, title, group, other, experiment.evaluate_on)
    return differences


def find_best_group(groups: Sequence[Group], problem_set: str) -> Group:
    return max(groups, key=lambda group: fmean(group.values(problem_set, "pass@1").values()))


def _title(ours: str, theirs: str, point: Sequence[tuple[str, str]]) -> str:
    return ", ".join([f"{ours} − {theirs}", *describe_point(point)])


def _subtract(task: str, title: str, ours: Group, theirs: Group, problem_sets: Sequence[str]) -> list[Difference]:
    differences = []
    for problem_set in problem_sets:
        for metric in SCORES:
            our_values, their_values = ours.values(problem_set, metric), theirs.values(problem_set, metric)
            paired = [our_values[seed] - their_values[seed] for seed in our_values if seed in their_values]
            if paired:
                differences.append(Difference(task, title, problem_set, metric, estimate(paired)))
    return differences
