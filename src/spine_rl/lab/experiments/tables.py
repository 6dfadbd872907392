"""What finished cells say in numbers: scores before and after, best steps and falls, differences paired by seed."""

from collections.abc import Sequence
from typing import Any, cast

import pandas as pd

from spine_rl.lab.experiments.frame import Group, Results, describe_point
from spine_rl.lab.experiments.markdown import Table, to_row

SCORES = {"greedy_pass@1": "Pass@1 greedy", "pass@1": "Pass@1"}  # of greedy responses, and the mean over samples


def tabulate_after(results: Results, task: str, problem_set: str) -> Table:
    """A row a group after the last step, after a row for the models before adaptation, one a seed."""
    k = results.experiment.num_samples
    metrics = {"greedy_pass@1": "Pass@1 greedy", "pass@1": f"Pass@1 mean of {k}", f"maj@{k}": f"maj@{k}"}
    metrics |= {"majority_ratio": "majority share", "response_length": "length", "entropy": "entropy"}
    start = pd.DataFrame({head: results.get_start(problem_set, metric) for metric, head in metrics.items()})
    end = pd.DataFrame({head: results.get_end(problem_set, metric) for metric, head in metrics.items()})
    groups = results.list_groups(task)
    before = to_row(start.loc[groups].groupby("seed").last())
    return Table(f"{task}: after the last step, on {problem_set}", [(("before",), before), *_list_rows(groups, end)])


def tabulate_fall(results: Results, task: str) -> Table:
    """Of each run the best evaluated step, and how far the last one is below it; on the first problem set."""
    first = results.experiment.evaluate_on[0]
    columns = {}
    for score, name in SCORES.items():
        curves = results.get_curves(first, score)
        best = curves.max(axis=1)
        columns |= {f"{name}, best": best, f"{name}, fall": best - curves.iloc[:, -1]}
    heading = f"{task}: best evaluated step, and the fall from it, on {first}"
    return Table(heading, _list_rows(results.list_groups(task), pd.DataFrame(columns)))


def tabulate_transfer(results: Results) -> Table:
    """Gains of Pass@1 by adaptation on every problem set, a row a task and group."""
    sets = results.experiment.evaluate_on
    gains = pd.DataFrame({name: results.get_end(name, "pass@1") - results.get_start(name, "pass@1") for name in sets})
    rows = [
        ((group.task, group.label), to_row(gains.xs(group, level="group"), is_difference=True))
        for group in results.groups
    ]
    heading = "Transfer: gain of Pass@1 (mean of samples), by where it is evaluated"
    return Table(heading, rows, labels=("adapted on", ""))


def _list_rows(groups: Sequence[Group], values: pd.DataFrame) -> list:
    return [((group.label,), to_row(values.xs(group, level="group"))) for group in groups]


# ---- differences


def tabulate_differences(results: Results, task: str) -> Table | None:
    """After the last step, over the seeds that both have: of every pair of arms, and of every varied field."""
    heads = {"greedy_pass@1": "greedy Pass@1", "pass@1": "Pass@1"}
    ends = pd.DataFrame(
        {
            f"{head}, {problem_set}": results.get_end(problem_set, score)
            for problem_set in results.experiment.evaluate_on
            for score, head in heads.items()
        }
    )
    rows = []
    for title, ours, theirs in [*_pair_arms(results, task), *_pair_varied(results, task)]:
        paired = (ends.xs(ours, level="group") - ends.xs(theirs, level="group")).dropna()
        if len(paired):
            rows.append(((title,), to_row(paired, is_difference=True)))
    return Table(f"{task}: differences after the last step, paired by seed", rows) if rows else None


def _pair_arms(results: Results, task: str) -> list[tuple[str, Group, Group]]:
    """At equal points, and where their best ones differ, each arm at its own."""
    pairs = []
    groups = results.list_groups(task)
    for ours, theirs in results.experiment.compare:
        mine, others = ([group for group in groups if group.arm == arm] for arm in (ours, theirs))
        by_point = {group.point: group for group in others}
        for group in (group for group in mine if group.point in by_point):
            title = ", ".join([f"{ours} − {theirs}", *describe_point(group.point)])
            pairs.append((title, group, by_point[group.point]))
        if mine and others and max(len(mine), len(others)) > 1:
            best, other = find_best_group(results, mine), find_best_group(results, others)
            if best.point != other.point:  # if not, it is among the equal ones
                pairs.append((f"each at its best: {best.label} − {other.label}", best, other))
    return pairs


def _pair_varied(results: Results, task: str) -> list[tuple[str, Group, Group]]:
    """Every arm with one field changed, and as it is."""
    groups = results.list_groups(task)
    varied = [group for group in groups if group.point and group.point[-1][0] in results.experiment.vary]
    pairs = [(group, Group(task, group.arm, group.point[:-1])) for group in varied]
    return [(f"{ours.label} − {theirs.label}", ours, theirs) for ours, theirs in pairs if theirs in groups]


def find_best_group(results: Results, groups: Sequence[Group]) -> Group:
    """The one with the highest mean Pass@1 (of samples, first problem set, last step): gold chooses it."""
    means = results.get_end(results.experiment.evaluate_on[0], "pass@1").groupby("group").mean()
    return max(groups, key=lambda group: cast(Any, means)[group])
