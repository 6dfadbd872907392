"""Finished cells as one table: a row a cell, evaluated step and problem set; every figure is computed from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from spine_rl.evaluation.statistics import Estimate, estimate
from spine_rl.lab.experiments.cells import show
from spine_rl.lab.experiments.fields import get_value
from spine_rl.lab.experiments.spec import Experiment
from spine_rl.lab.experiments.store import Record

Point = tuple[tuple[str, str], ...]  # (axis, value as shown) pairs


@dataclass(frozen=True, order=True)
class Group:
    """Cells that differ by their seed alone: names of task and arm, where on the axes, and what of `vary`."""

    task: str
    arm: str
    point: Point

    @property
    def label(self) -> str:
        """Arm and point."""
        return ", ".join([self.arm, *describe_point(self.point)])


def describe_point(point: Point) -> list[str]:
    """Each axis with its value, for labels and titles."""
    return [f"{name} {value}" for name, value in point]


@dataclass(frozen=True)
class Results:
    """An experiment and its finished cells, at least one."""

    experiment: Experiment
    records: Sequence[Record]

    @cached_property
    def groups(self) -> dict[Group, dict[int, Record]]:
        """Cells by group and seed, in order of first appearance."""
        groups: dict[Group, dict[int, Record]] = {}
        for record in self.records:
            groups.setdefault(get_group(record), {})[record["seed"]] = record
        return groups

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Columns: `group`, task, arm, a column for every field that cells differ in, seed, step, problem_set, metrics.

        Values are as they were recorded: numbers that are whole are integers.
        """
        axes = dict.fromkeys(name for record in self.records for name in record["point"])
        rows = [
            {
                "group": get_group(record),
                "task": record["task"],
                "arm": record["arm"],
                **{name: get_value(record["settings"]["fields"], name) for name in axes},
                "seed": record["seed"],
                "step": evaluation["step"],
                "problem_set": problem_set,
                **metrics,
            }
            for record in self.records
            for evaluation in record["curve"]
            for problem_set, metrics in evaluation.items()
            if problem_set != "step"
        ]
        return pd.DataFrame(rows, dtype=object)

    @property
    def tasks(self) -> list[str]:
        return [*dict.fromkeys(group.task for group in self.groups)]

    def list_groups(self, task: str) -> list[Group]:
        return [group for group in self.groups if group.task == task]

    def get_curves(self, problem_set: str, metric: str) -> pd.DataFrame:
        """A row (group, seed) a cell, in the groups' order; a column an evaluated step."""
        chosen: Any = self.frame[self.frame.problem_set == problem_set]
        curves = chosen.set_index(["group", "seed", "step"])[metric].astype(float).unstack("step")
        return curves.reindex([*self.groups], level="group")

    def get_start(self, problem_set: str, metric: str) -> pd.Series:
        """Before the first step, by group and seed."""
        return self.get_curves(problem_set, metric).iloc[:, 0]

    def get_end(self, problem_set: str, metric: str) -> pd.Series:
        """After the last step, by group and seed."""
        return self.get_curves(problem_set, metric).iloc[:, -1]


def get_group(record: Record) -> Group:
    """The one that a cell is of."""
    point = tuple((name, show(value)) for name, value in record["point"].items())
    return Group(record["task"], record["arm"], point)


def estimate_groups(values: pd.Series) -> dict[Group, Estimate]:
    """Over the seeds of each group; values by group and seed."""
    groups: Any = values.groupby("group", sort=False)
    return {group: estimate(each) for group, each in groups}
