"""The map learning rate × steps: where Pass@1 is above its start, where it has collapsed; how large each part is."""

import numpy as np
import pandas as pd

from spine_rl.lab.experiments.cells import show
from spine_rl.lab.experiments.frame import Group, Results
from spine_rl.lab.experiments.markdown import Table, to_row

AXIS = "learning_rate"
COLLAPSE = 0.1  # a fall of Pass@1 below its start that counts as a collapse


def measure_runs(curves: pd.DataFrame) -> pd.DataFrame:
    """Of every run the shares of its steps with Pass@1 above its start, and collapsed: at least 0.1 below it.

    An evaluated step stands for the steps since the one before.
    """
    steps = curves.columns.to_numpy(dtype=float)
    widths = np.diff(steps) / steps[-1]
    start, later = curves.iloc[:, 0], curves.iloc[:, 1:]
    above, collapsed = later.gt(start, axis=0), later.le(start - COLLAPSE, axis=0)
    return pd.DataFrame({"above its start": above.dot(widths), "collapsed (10 points below)": collapsed.dot(widths)})


def measure_areas(results: Results, task: str) -> dict[str, pd.DataFrame]:
    """Arm → by seed its shares of the map: the mean over the learning rates, of the seeds that have every one."""
    rates = {float(show(rate)) for rate in results.experiment.axes[AXIS]}
    shares = measure_runs(results.get_curves(results.experiment.evaluate_on[0], "pass@1"))
    areas = {}
    for arm, groups in list_map(results, task).items():
        by_seed = shares.loc[[*groups.values()]].groupby("seed")
        whole = by_seed.mean()[by_seed.size() == len(rates)]
        if len(whole):
            areas[arm] = whole
    return areas


def tabulate_areas(results: Results, task: str) -> Table | None:
    """A row an arm, then the differences of every pair of arms, paired by seed; None without a whole map."""
    areas = measure_areas(results, task)
    rows = [((arm,), to_row(shares)) for arm, shares in areas.items()]
    for ours, theirs in results.experiment.compare:
        if ours in areas and theirs in areas and len(paired := (areas[ours] - areas[theirs]).dropna()):
            rows.append(((f"{ours} − {theirs}",), to_row(paired, is_difference=True)))
    text = (
        f"Share of the map where Pass@1 (mean of samples, {results.experiment.evaluate_on[0]}) is above its start, and "
        "where it has collapsed; learning rates count alike, an evaluated step stands for the steps since the one "
        "before."
    )
    return Table(f"{task}: the map of learning rate × steps", rows, text=text) if rows else None


def list_map(results: Results, task: str) -> dict[str, dict[float, Group]]:
    """Arm → learning rate → group, of those whose point is a learning rate alone."""
    rows: dict[str, dict[float, Group]] = {}
    for group in results.list_groups(task):
        if [name for name, _ in group.point] == [AXIS]:
            rows.setdefault(group.arm, {})[float(group.point[0][1])] = group
    return rows
