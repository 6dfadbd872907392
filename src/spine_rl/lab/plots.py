"""Curves of lab runs."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from spine_rl.lab.adapt import LabRun

COLOURS = ("#c44e52", "#4c72b0", "#55a868", "#8172b2", "#ccb974", "#64b5cd")


def plot_runs(runs: Mapping[str, LabRun], path: Path) -> None:
    """Pass@1 as evaluated, and the label-free signals of every step: a panel each, a line a method."""
    figure, axes = plt.subplots(2, 3, figsize=(12, 6), constrained_layout=True)
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
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _rows(run: LabRun, name: str) -> list[dict]:
    return [row for row in run.steps if name in row] or run.curve
