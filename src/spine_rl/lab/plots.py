"""Curves of lab runs."""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from spine_rl.lab.adapt import LabRun
from spine_rl.runs.whole_file import writing_aside

COLOURS = ("#c44e52", "#4c72b0", "#55a868", "#8172b2", "#ccb974", "#64b5cd")
NUM_BINS = 25  # of response lengths


def plot_runs(runs: Mapping[str, LabRun], path: Path) -> None:
    """Pass@1 as evaluated, the label-free signals of every step, and how long responses are before and after."""
    figure = plt.figure(figsize=(16, 6), constrained_layout=True)
    parts: Any = figure.subfigures(1, 2, width_ratios=(3, 1))
    curves, lengths = parts
    axes = curves.subplots(2, 3)
    _plot_lengths(runs, lengths)
    panels: list[tuple[Axes, str, str]] = [
        (axes[0, 0], "greedy_pass@1", "Pass@1, greedy"),
        (axes[0, 1], "mean@8", "Pass@1, mean of 8 samples"),
        (axes[0, 2], "vote/majority_ratio", "majority share"),
        (axes[1, 0], "response_length/mean", "response length (tokens)"),
        (axes[1, 1], "entropy/all", "entropy, all tokens (nats)"),
        (axes[1, 2], "entropy/forks", "entropy at updated tokens (nats)"),
    ]
    for axis, name, title in panels:
        for colour, (method, run) in zip(COLOURS, runs.items(), strict=False):
            rows = [(row["step"], row["adapt"][name] if "adapt" in row else row[name]) for row in _rows(run, name)]
            axis.plot(
                *zip(*rows, strict=True), color=colour, label=method, marker="o" if len(rows) < 20 else None, ms=4
            )
        axis.set(title=title, xlabel="step")
        axis.grid(alpha=0.3)
        if "Pass@1" in title or "share" in title:
            axis.set_ylim(-0.02, 1.02)
    axes[0, 0].legend()
    with writing_aside(path) as new:
        figure.savefig(new, dpi=120)
    plt.close(figure)


def _plot_lengths(runs: Mapping[str, LabRun], figure: SubFigure) -> None:
    """A histogram each of no adaptation and of every method, on the same axes: what moved is seen at a glance."""
    samples = {"no adaptation": next(iter(runs.values())).lengths[0]["adapt"]}
    samples |= {method: run.lengths[-1]["adapt"] for method, run in runs.items()}
    bins = np.linspace(0, max(map(max, samples.values())) + 1, NUM_BINS + 1)
    axes = figure.subplots(len(samples), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, colour, (label, values) in zip(axes, ("#888888", *COLOURS), samples.items(), strict=False):
        axis.hist(values, bins, weights=[1 / len(values)] * len(values), color=colour)
        axis.axvline(fmean(values), color="black", lw=1, ls=":")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_title("share of responses (dotted: mean length)", fontsize=10)
    axes[-1].set_xlabel("response length (tokens)")


def _rows(run: LabRun, name: str) -> list[dict]:
    return [row for row in run.steps if name in row] or run.curve
