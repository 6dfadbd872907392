"""Pictures of an experiment, each as PNG and SVG: curves, varied fields, lengths, entropies, the stability map."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spine_rl.lab.experiments.cells import show
from spine_rl.lab.experiments.spec import Experiment
from spine_rl.lab.experiments.stability import AXIS
from spine_rl.lab.experiments.tables import Group, describe_point, estimate, value_of
from spine_rl.pages.charts import COLOURS

ENDINGS = (".png", ".svg")
_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "spine", "font.size": 8, "axes.titlesize": 9}
_SHARES = ("pass@1", "greedy_pass@1", "majority_ratio")


def save_figure(figure: Figure, folder: Path, name: str) -> str:
    """Saves both forms, the same bytes for the same figure; returns the PNG's name."""
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(_STYLE):
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        figure.savefig(folder / f"{name}.png", dpi=110)
    return f"{name}.png"


def draw_curves(groups: Sequence[Group], problem_sets: Sequence[str]) -> Figure:
    """Means over seeds, the range of the seeds shaded: a row a point of the axes, a line an arm."""
    panels = [(name, "pass@1", f"Pass@1, mean of samples, {name}") for name in problem_sets]
    first = problem_sets[0]
    panels += [(first, "greedy_pass@1", f"Pass@1 greedy, {first}"), (first, "majority_ratio", "majority share")]
    panels += [(first, "response_length", "response length (tokens)")]
    points = list(dict.fromkeys(group.point for group in groups))
    arms = list(dict.fromkeys(group.arm for group in groups))
    figure, axes = make_grid(len(points), len(panels))
    for row, point in zip(axes, points, strict=True):
        for panel, (problem_set, metric, title) in zip(row, panels, strict=True):
            for group in (group for group in groups if group.point == point):
                _draw_curve(panel, group, problem_set, metric, arms.index(group.arm))
            panel.set(title=plain("\n".join([title, *describe_point(point)])), xlabel="step")
            if metric in _SHARES:
                panel.set_ylim(-0.02, 1.02)
    add_legend(figure, axes)
    return figure


def _draw_curve(panel: Axes, group: Group, problem_set: str, metric: str, index: int) -> None:
    curves = [record["curve"] for record in group.records.values()]
    steps = [row["step"] for row in curves[0]]
    values = [[row[problem_set][metric] for row in rows] for rows in zip(*curves, strict=True)]
    means = [sum(each) / len(each) for each in values]
    panel.plot(steps, means, marker="o", ms=2, lw=1.2, label=plain(group.arm), **_pick_style(index))
    low, high = [min(each) for each in values], [max(each) for each in values]
    panel.fill_between(steps, low, high, color=pick_colour(index), alpha=0.15, lw=0)


def draw_arms(groups: Sequence[Group], problem_sets: Sequence[str]) -> Figure:
    """Pass@1 after the last step with 95 % intervals over seeds: a row an arm, a colour a point of the axes.

    The dashed line is the start.
    """
    arms = list(dict.fromkeys(group.arm for group in groups))
    points = list(dict.fromkeys(group.point for group in groups))
    figure, axes = make_grid(1, len(problem_sets), width=4.6, height=1.2 + 0.25 * len(arms))
    for panel, problem_set in zip(axes[0], problem_sets, strict=True):
        start = [value for group in groups for value in group.values(problem_set, "pass@1", 0).values()]
        panel.axvline(sum(start) / len(start), color="#9aa3ad", ls="--", lw=1)
        for index, point in enumerate(points):
            chosen = [group for group in groups if group.point == point]
            values = [estimate([*group.values(problem_set, "pass@1").values()]) for group in chosen]
            label = ", ".join(describe_point(point)) or "as it is"
            offset = 0.3 * (index - (len(points) - 1) / 2) / len(points)
            panel.errorbar(
                [value.mean for value in values],
                [arms.index(group.arm) + offset for group in chosen],
                xerr=[value.half or 0.0 for value in values],
                fmt="o", ms=4, capsize=2, color=pick_colour(index), label=plain(label),
            )  # fmt: skip
        panel.set_yticks(range(len(arms)), map(plain, arms) if problem_set == problem_sets[0] else [""] * len(arms))
        panel.invert_yaxis()
        panel.set(title=plain(problem_set), xlabel="Pass@1, mean of samples", xlim=(-0.02, 1.02))
    if points != [()]:
        add_legend(figure, axes)
    return figure


def draw_varied(experiment: Experiment, groups: Sequence[Group], problem_set: str) -> Figure:
    """Pass@1 after the last step over each varied field's values, with 95 % intervals over seeds.

    A panel a field, a row a point of the axes, a line an arm.
    """
    points = list(dict.fromkeys(_leave_out_varied(experiment, group) for group in groups))
    figure, axes = make_grid(len(points), len(experiment.vary))
    for row, point in zip(axes, points, strict=True):
        for panel, name in zip(row, experiment.vary, strict=True):
            at_point = [group for group in groups if group.point == point or _varies(group, point, name)]
            for index, arm in enumerate(experiment.arms):
                _draw_values(panel, [group for group in at_point if group.arm == arm], problem_set, name, index)
            title = plain("\n".join([name, *describe_point(point)]))
            panel.set(title=title, ylabel="Pass@1, mean of samples", ylim=(-0.02, 1.02))
    add_legend(figure, axes)
    return figure


def _leave_out_varied(experiment: Experiment, group: Group) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in group.point if name not in experiment.vary)


def _varies(group: Group, point: tuple[tuple[str, str], ...], name: str) -> bool:
    return group.point[:-1] == point and len(group.point) > len(point) and group.point[-1][0] == name


def _draw_values(panel: Axes, groups: Sequence[Group], problem_set: str, name: str, index: int) -> None:
    """One arm's line; numbers in order, then what is none."""
    by_value = {value_of(next(iter(group.records.values())), name): group for group in groups}
    values = sorted(by_value, key=lambda value: (value is None, isinstance(value, str), value or 0, str(value)))
    estimates = [estimate([*by_value[value].values(problem_set, "pass@1").values()]) for value in values]
    if values:
        panel.errorbar(
            [plain(show(value)) for value in values],
            [each.mean for each in estimates],
            [each.half or 0.0 for each in estimates],
            marker="o", ms=3, lw=1.2, capsize=2, label=plain(groups[0].arm), **_pick_style(index),
        )  # fmt: skip


def draw_lengths(groups: Sequence[Group]) -> Figure:
    """Lengths of the sampled responses before, in grey, and after: a panel a group, all seeds together."""
    figure, axes = make_grid(*_shape(len(groups)))
    for panel, group in zip(axes.flat, groups, strict=False):
        for name, colour, label in (("start", "#9aa3ad", "before"), ("end", pick_colour(0), "after")):
            lengths = add_counts(record["lengths"][name] for record in group.records.values())
            total = sum(lengths.values())
            panel.bar(lengths.keys(), [n / total for n in lengths.values()], 1.0, color=colour, alpha=0.6, label=label)
        panel.set(title=plain(group.label), xlabel="tokens", ylabel="share of responses")
    add_legend(figure, axes)
    return figure


def add_counts(histograms: Any) -> dict[int, int]:
    """Lengths' counts, added up, in the order of the lengths."""
    total: dict[int, int] = {}
    for histogram in histograms:
        for length, count in histogram.items():
            total[int(length)] = total.get(int(length), 0) + count
    return dict(sorted(total.items()))


def draw_entropies(groups: Sequence[Group]) -> Figure:
    """Tokens by entropy, all and updated ones, in the first and in the last step: a panel a group, all seeds added."""
    figure, axes = make_grid(*_shape(len(groups)))
    for panel, group in zip(axes.flat, groups, strict=False):
        for when, style in (("start", ":"), ("end", "-")):
            for which, colour in (("all", "#9aa3ad"), ("forks", pick_colour(1))):
                histograms = [record["tokens"][when] for record in group.records.values()]
                counts = [sum(bins) for bins in zip(*(h[which] for h in histograms), strict=True)]
                edges = [index * histograms[0]["bin_width"] for index in range(len(counts) + 1)]
                label = (
                    f"{'all' if which == 'all' else 'updated'} tokens, {'first' if when == 'start' else 'last'} step"
                )
                panel.stairs(counts, edges, color=colour, ls=style, lw=1.2, label=label)
        panel.set(title=plain(group.label), xlabel="entropy (nats)", ylabel="tokens", yscale="symlog")
    add_legend(figure, axes)
    return figure


def draw_map(groups: Sequence[Group], problem_set: str) -> Figure:
    """Pass@1 less its start over learning rate and steps, mean over seeds: a panel an arm."""
    arms = list(dict.fromkeys(group.arm for group in groups))
    rates = sorted({float(dict(group.point)[AXIS]) for group in groups})
    figure, axes = make_grid(1, len(arms))
    mesh = None
    for panel, arm in zip(axes[0], arms, strict=True):
        by_rate = {float(dict(group.point)[AXIS]): group for group in groups if group.arm == arm}
        steps = [row["step"] for row in next(iter(next(iter(by_rate.values())).records.values()))["curve"]]
        gains = [_gains(by_rate.get(rate), problem_set, len(steps) - 1) for rate in rates]
        mesh = panel.pcolormesh(steps, range(len(rates) + 1), gains, cmap="RdBu", vmin=-0.5, vmax=0.5)
        panel.set(title=plain(arm), xlabel="step", ylabel="learning rate")
        panel.set_yticks([index + 0.5 for index in range(len(rates))], [f"{rate:g}" for rate in rates])
    if mesh is not None:
        figure.colorbar(mesh, ax=axes[0].tolist(), label="Pass@1 less its start")
    return figure


def _gains(group: Group | None, problem_set: str, num_steps: int) -> list[float]:
    if group is None:
        return [float("nan")] * num_steps
    curves: list[Sequence[Mapping[str, Any]]] = [record["curve"] for record in group.records.values()]
    start = [curve[0][problem_set]["pass@1"] for curve in curves]
    rows = [*zip(*curves, strict=True)][1:]
    return [
        sum(row[problem_set]["pass@1"] - first for row, first in zip(each, start, strict=True)) / len(start)
        for each in rows
    ]


# ---- what they share


def plain(text: str) -> str:
    """A name is no mathematics, and a leading `_` would hide it from the legend."""
    return f" {text}".replace("$", r"\$") if text.startswith("_") else text.replace("$", r"\$")


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


def add_legend(figure: Figure, axes: Any) -> None:
    """One for the figure, with every label once; panels that show nothing are taken away."""
    entries: dict[str, Any] = {}
    for panel in axes.flat:
        handles, labels = panel.get_legend_handles_labels()
        entries = {**dict(zip(labels, handles, strict=True)), **entries}
        panel.set_visible(panel.has_data())
    longest = max((len(label) for label in entries), default=1)
    columns = max(1, int(figure.get_figwidth() * 12 / (longest + 6)))
    with matplotlib.rc_context(_STYLE):
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns, frameon=False)
