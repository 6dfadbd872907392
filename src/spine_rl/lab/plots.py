"""Every picture of the lab, as PNG and SVG: curves, arms, varied fields, lengths, entropies, the map, costs."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from textwrap import fill
from typing import Any, cast

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spine_rl.lab.experiments.cells import show
from spine_rl.lab.experiments.fields import get_value
from spine_rl.lab.experiments.frame import Group, Point, Results, describe_point, estimate_groups
from spine_rl.lab.experiments.stability import list_map
from spine_rl.pages.charts import COLOURS, plain

_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "spine", "font.size": 8, "axes.titlesize": 9}
_SHARES = ("pass@1", "greedy_pass@1", "majority_ratio")
_GREY = "#9aa3ad"
_MOST_A_ROW = 6  # arms of a map: more are wrapped
_TITLE_WIDTH = 28  # characters of a panel's title in a line


def save_figure(figure: Figure, folder: Path, name: str) -> str:
    """Saves both forms, the same bytes for the same figure; returns the PNG's name."""
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(_STYLE):
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        figure.savefig(folder / f"{name}.png", dpi=110)
    return f"{name}.png"


def draw_curves(results: Results) -> Figure:
    """Means over seeds, the range of the seeds shaded: a row a task and point of the axes, a line an arm."""
    sets = results.experiment.evaluate_on
    panels = [(name, "pass@1", f"Pass@1, mean of samples, {name}") for name in sets]
    panels += [(sets[0], "greedy_pass@1", f"Pass@1 greedy, {sets[0]}"), (sets[0], "majority_ratio", "majority share")]
    panels += [(sets[0], "response_length", "response length (tokens)")]
    groups = list_as_they_are(results)
    rows = list(dict.fromkeys((group.task, group.point) for group in groups))
    arms = list(dict.fromkeys(group.arm for group in groups))
    figure, axes = make_grid(len(rows), len(panels))
    for column, (problem_set, metric, title) in enumerate(panels):
        curves = results.get_curves(problem_set, metric)
        for group in groups:
            panel = axes[rows.index((group.task, group.point)), column]
            _draw_curve(panel, curves.xs(group, level="group"), group.arm, arms.index(group.arm))
            panel.set(title=plain("\n".join([title, *_describe_row(results, group)])), xlabel="step")
            if metric in _SHARES:
                panel.set_ylim(-0.02, 1.02)
    add_legend(figure, axes)
    return figure


def list_as_they_are(results: Results) -> list[Group]:
    """Groups that have no field of `vary` changed."""
    return [group for group in results.groups if not any(name in results.experiment.vary for name, _ in group.point)]


def _draw_curve(panel: Axes, curves: pd.DataFrame, label: str, index: int) -> None:
    steps = list(curves.columns)
    panel.plot(steps, curves.mean(), marker="o", ms=2, lw=1.2, label=plain(label), **_pick_style(index))
    panel.fill_between(steps, curves.min(), curves.max(), color=pick_colour(index), alpha=0.15, lw=0)


def draw_arms(results: Results) -> Figure:
    """Pass@1 after the last step with 95 % intervals over seeds: a row an arm, a colour a point of the axes.

    A row of panels a task; the dashed line is the start.
    """
    arms = list(dict.fromkeys(group.arm for group in results.groups))
    points = list(dict.fromkeys(group.point for group in results.groups))
    sets = results.experiment.evaluate_on
    figure, axes = make_grid(len(results.tasks), len(sets), width=4.6, height=1.2 + 0.25 * len(arms))
    for column, problem_set in enumerate(sets):
        start: Any = results.get_start(problem_set, "pass@1").groupby("group", sort=False).mean()
        estimates = estimate_groups(results.get_end(problem_set, "pass@1"))
        for row, task in enumerate(results.tasks):
            panel, groups = axes[row, column], results.list_groups(task)
            panel.axvline(start[groups].mean(), color=_GREY, ls="--", lw=1)
            for index, point in enumerate(points):
                chosen = [group for group in groups if group.point == point]
                offset = 0.3 * (index - (len(points) - 1) / 2) / len(points)
                panel.errorbar(
                    [estimates[group].mean for group in chosen],
                    [arms.index(group.arm) + offset for group in chosen],
                    xerr=[estimates[group].half or 0.0 for group in chosen],
                    fmt="o", ms=4, capsize=2, color=pick_colour(index),
                    label=plain(", ".join(describe_point(point)) or "as it is"),
                )  # fmt: skip
            panel.set_yticks(range(len(arms)), map(plain, arms) if column == 0 else [""] * len(arms))
            panel.invert_yaxis()
            title = plain(", ".join([problem_set, *_describe_task(results, task)]))
            panel.set(title=title, xlabel="Pass@1, mean of samples", xlim=(-0.02, 1.02))
    if points != [()]:
        add_legend(figure, axes)
    return figure


def draw_varied(results: Results) -> Figure:
    """Pass@1 after the last step over each varied field's values, with 95 % intervals over seeds.

    A panel a field, a row a task and point of the axes, a line an arm; the first problem set.
    """
    experiment = results.experiment
    estimates = estimate_groups(results.get_end(experiment.evaluate_on[0], "pass@1"))
    rows = list(dict.fromkeys((group.task, _leave_out(experiment.vary, group.point)) for group in results.groups))
    figure, axes = make_grid(len(rows), len(experiment.vary))
    for panels, (task, point) in zip(axes, rows, strict=True):
        for panel, name in zip(panels, experiment.vary, strict=True):
            shown = [
                group
                for group in results.list_groups(task)
                if group.point == point or (group.point[:-1] == point and group.point[-1][0] == name)
            ]
            for index, arm in enumerate(experiment.arms):
                values = {
                    get_value(next(iter(results.groups[group].values()))["settings"]["fields"], name): estimates[group]
                    for group in shown
                    if group.arm == arm
                }
                _draw_values(panel, values, arm, index)
            title = plain("\n".join([name, *_describe_row(results, Group(task, "", point))]))
            panel.set(title=title, ylabel="Pass@1, mean of samples", ylim=(-0.02, 1.02))
    add_legend(figure, axes)
    return figure


def _leave_out(varied: Mapping[str, Any], point: Point) -> Point:
    return tuple((name, value) for name, value in point if name not in varied)


def _draw_values(panel: Axes, estimates: Mapping[Any, Any], label: str, index: int) -> None:
    """One arm's line; numbers in order, then what is none."""
    values = sorted(estimates, key=lambda value: (value is None, isinstance(value, str), value or 0, str(value)))
    if values:
        panel.errorbar(
            [plain(show(value)) for value in values],
            [estimates[value].mean for value in values],
            [estimates[value].half or 0.0 for value in values],
            marker="o", ms=3, lw=1.2, capsize=2, label=plain(label), **_pick_style(index),
        )  # fmt: skip


def draw_lengths(results: Results) -> Figure:
    """Lengths of the sampled responses before, in grey, and after: a panel a group, all seeds together."""
    figure, axes = make_grid(*_shape(len(results.groups)))
    for panel, (group, records) in zip(axes.flat, results.groups.items(), strict=False):
        for when, colour, label in (("start", _GREY, "before"), ("end", pick_colour(0), "after")):
            counts = add_counts(record["lengths"][when] for record in records.values())
            panel.bar(counts.index, counts / counts.sum(), 1.0, color=colour, alpha=0.6, label=label)
        title = plain(", ".join([*_describe_task(results, group.task), group.label]))
        panel.set(title=title, xlabel="tokens", ylabel="share of responses")
    add_legend(figure, axes)
    return figure


def add_counts(histograms: Any) -> pd.Series:
    """Responses by their length in tokens, from several records' counts."""
    parts = [pd.Series(histogram).rename(int) for histogram in histograms]
    return cast(pd.Series, pd.concat(parts).groupby(level=0).sum())


def draw_entropies(results: Results) -> Figure:
    """Tokens by entropy, all and updated ones, in the first and in the last step: a panel a group, all seeds added."""
    figure, axes = make_grid(*_shape(len(results.groups)))
    for panel, (group, records) in zip(axes.flat, results.groups.items(), strict=False):
        for when, style in (("start", ":"), ("end", "-")):
            for which, colour in (("all", _GREY), ("forks", pick_colour(1))):
                histograms = [record["tokens"][when] for record in records.values()]
                counts = np.sum([histogram[which] for histogram in histograms], axis=0)
                edges = np.arange(len(counts) + 1) * histograms[0]["bin_width"]
                tokens, step = ("all", "updated")[which == "forks"], ("first", "last")[when == "end"]
                panel.stairs(counts, edges, color=colour, ls=style, lw=1.2, label=f"{tokens} tokens, {step} step")
        title = plain(", ".join([*_describe_task(results, group.task), group.label]))
        panel.set(title=title, xlabel="entropy (nats)", ylabel="tokens", yscale="symlog")
    add_legend(figure, axes)
    return figure


def draw_map(results: Results) -> Figure:
    """Pass@1 less its start over learning rate and steps, mean over seeds: a panel an arm, a row a task if not many."""
    maps = {task: list_map(results, task) for task in results.tasks}
    arms = list(dict.fromkeys(arm for by_arm in maps.values() for arm in by_arm))
    curves = results.get_curves(results.experiment.evaluate_on[0], "pass@1")
    gains: Any = curves.sub(curves.iloc[:, 0], axis=0).groupby("group", sort=False).mean()
    rates = sorted({rate for by_arm in maps.values() for by_rate in by_arm.values() for rate in by_rate})
    shape = (len(maps), len(arms)) if len(arms) <= _MOST_A_ROW else _shape(len(maps) * len(arms))
    figure, axes = make_grid(*shape)
    for panel, ((task, by_arm), arm) in zip(axes.flat, product(maps.items(), arms), strict=False):
        by_rate, nothing = by_arm.get(arm, {}), gains.iloc[0] * np.nan
        cells = np.array([gains.loc[by_rate[rate]] if rate in by_rate else nothing for rate in rates])[:, 1:]
        mesh = panel.pcolormesh(list(gains.columns), range(len(rates) + 1), cells, cmap="RdBu", vmin=-0.5, vmax=0.5)
        title = plain(", ".join([*_describe_task(results, task), arm]))
        panel.set(title=fill(title, _TITLE_WIDTH), xlabel="step", ylabel="learning rate")
        panel.set_yticks([index + 0.5 for index in range(len(rates))], [f"{rate:g}" for rate in rates])
    _hide_empty(axes)
    size = min(1.0, 4 / shape[0])  # of the bar: many rows are not all as high as it has to be
    figure.colorbar(mesh, ax=axes.ravel().tolist(), label="Pass@1 less its start", shrink=size, anchor=(0.0, 1.0))
    return figure


def draw_costs(frame: pd.DataFrame, ratios: Mapping[str, str], middle: Mapping[str, Any]) -> Figure:
    """Each quantity's ratio to the first arm's over one field's values, a row a field, a line an arm.

    Ratios are of one process's rounds in turn; absolute figures of different minutes on a machine may not compare.

    Args:
        frame: A row a point and arm, as `cost_page.list_costs` makes it.
        ratios: Columns of it, each with its title.
        middle: Varied field → its value where it is not varied; None where that is no number, or arms differ.
    """
    figure, axes = make_grid(len(middle), len(ratios))
    arms = list(dict.fromkeys(frame.arm))
    for row, (name, value) in zip(axes, middle.items(), strict=True):
        points: Any = frame[frame.varied == name]
        if value is not None:
            points = pd.concat([points, frame[frame.varied == ""].assign(value=value)])
        for panel, (quantity, title) in zip(row, ratios.items(), strict=True):
            for index, arm in enumerate(arms):
                line = points[points.arm == arm].sort_values("value")
                panel.plot(line.value, line[quantity], "o-", ms=3, color=pick_colour(index), label=plain(arm))
            panel.set(title=f"{title} ÷ {plain(arms[0])}'s", xlabel=plain(name), ylim=(0, 1.3))
            if name != "fork_fraction":
                panel.set(xscale="log")
    add_legend(figure, axes)
    return figure


# ---- what they share


def _describe_task(results: Results, task: str) -> list[str]:
    """Its name, where there are several."""
    return [task] if len(results.tasks) > 1 else []


def _describe_row(results: Results, group: Group) -> list[str]:
    return [*_describe_task(results, group.task), *describe_point(group.point)]


def pick_colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _pick_style(index: int) -> dict[str, Any]:
    """Other dashes where the colours begin again."""
    return {"color": pick_colour(index), "linestyle": ("-", "--", ":", "-.")[index // len(COLOURS) % 4]}


def _shape(num_panels: int) -> tuple[int, int]:
    columns = min(4, num_panels)
    return -(-num_panels // columns), columns


def make_grid(rows: int, columns: int, *, width: float = 2.9, height: float = 2.3) -> tuple[Figure, Any]:
    """Panels of that size in inches."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width * columns + 0.6, height * rows + 0.6), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
    for panel in axes.flat:
        panel.grid(alpha=0.3)
    return figure, axes


def _hide_empty(axes: Any) -> None:
    for panel in axes.flat:
        panel.set_visible(panel.has_data())


def add_legend(figure: Figure, axes: Any) -> None:
    """One for the figure, with every label once; panels that show nothing are taken away."""
    entries: dict[str, Any] = {}
    for panel in axes.flat:
        handles, labels = panel.get_legend_handles_labels()
        entries = {**dict(zip(labels, handles, strict=True)), **entries}
    _hide_empty(axes)
    longest = max((len(label) for label in entries), default=1)
    columns = max(1, int(figure.get_figwidth() * 12 / (longest + 6)))
    with matplotlib.rc_context(_STYLE):
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns, frameon=False)
