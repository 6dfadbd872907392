"""The map learning rate × steps: where Pass@1 is above its start, where it has collapsed; how large each part is."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from spine_rl.lab.experiments.cells import show
from spine_rl.lab.experiments.records import Record
from spine_rl.lab.experiments.spec import Experiment
from spine_rl.lab.experiments.tables import Estimate, Group, estimate

AXIS = "learning_rate"
COLLAPSE = 0.1  # a fall of Pass@1 below its start that counts as a collapse


@dataclass(frozen=True)
class Area:
    """Shares of the map.

    Attributes:
        above: Where Pass@1 (mean of the samples) is above its start.
        collapsed: Where it is at least 0.1 below it.
    """

    above: float
    collapsed: float


def measure_curve(curve: Sequence[Mapping[str, Any]], problem_set: str) -> Area:
    """Of one run: an evaluated step stands for the steps since the one before."""
    start, steps = curve[0][problem_set]["pass@1"], curve[-1]["step"]
    above = collapsed = 0.0
    for before, row in itertools.pairwise(curve):
        width = (row["step"] - before["step"]) / steps
        above += width * (row[problem_set]["pass@1"] > start)
        collapsed += width * (row[problem_set]["pass@1"] <= start - COLLAPSE)
    return Area(above, collapsed)


def measure_areas(experiment: Experiment, groups: Sequence[Group], problem_set: str) -> dict[str, dict[int, Area]]:
    """Arm → seed → mean over the learning rates, of the arms and seeds that have every rate; groups of one task."""
    rates = sorted({float(show(rate)) for rate in experiment.axes[AXIS]})
    areas: dict[str, dict[int, Area]] = {}
    for arm in dict.fromkeys(group.arm for group in groups):
        by_rate = {get_rate(group): group.records for group in groups if group.arm == arm}
        if not set(rates) <= by_rate.keys():
            continue
        seeds = set.intersection(*(set(records) for records in by_rate.values()))
        areas[arm] = {seed: _average([by_rate[rate][seed] for rate in rates], problem_set) for seed in sorted(seeds)}
    return {arm: by_seed for arm, by_seed in areas.items() if by_seed}


def compare_areas(
    experiment: Experiment, areas: Mapping[str, Mapping[int, Area]]
) -> list[tuple[str, Estimate, Estimate]]:
    """Of every pair of arms: title, and the differences of both shares, paired by seed."""
    rows = []
    for ours, theirs in experiment.compare:
        seeds = [seed for seed in areas.get(ours, {}) if seed in areas.get(theirs, {})]
        if seeds:
            above, collapsed = (
                estimate([getattr(areas[ours][seed], name) - getattr(areas[theirs][seed], name) for seed in seeds])
                for name in ("above", "collapsed")
            )
            rows.append((f"{ours} − {theirs}", above, collapsed))
    return rows


def get_rate(group: Group) -> float | None:
    """Its learning rate, where that is all that its point varies."""
    return float(group.point[0][1]) if [name for name, _ in group.point] == [AXIS] else None


def _average(records: Sequence[Record], problem_set: str) -> Area:
    areas = [measure_curve(record["curve"], problem_set) for record in records]
    return Area(fmean(area.above for area in areas), fmean(area.collapsed for area in areas))
