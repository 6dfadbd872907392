"""Line charts with bands: drawn once by matplotlib, saved as files, or inlined in a page that may be dark."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Stand-ins that a page replaces by its own variables; legible where a chart is a file.
_PAGE_COLOURS = {"#1c2127": "var(--ink)", "#d5dae0": "var(--rule)", "#ffffff": "var(--back)"}
_INK, _RULE, _BACK = _PAGE_COLOURS
_LEGEND_WIDTH, _LEGEND_HANDLE = 76, 10  # characters
COLOURS = ("#3b7dd8", "#d9602b", "#2f9e63", "#a05bc4", "#b8860b", "#d14a8b", "#4aa3a3", "#8a6d5a")
_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "spine", "font.size": 9, "font.family": "sans-serif"}


@dataclass(frozen=True)
class Band:
    """An area between two curves: `x`, `low` and `high` are of one length."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class Line:
    """A curve with its bands.

    Attributes:
        label: For the legend.
        x: Steps.
        y: Values.
        colour: Index into the palette.
        bands: Drawn behind it in its colour.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 0
    bands: Sequence[Band] = field(default=())


def draw_chart(
    title: str, lines: Sequence[Line], *, x_label: str = "step", linear_below: float | None = None
) -> Figure:
    """One panel, with a legend below it where there is more than one line.

    Args:
        title: Above it.
        lines: Drawn over each other.
        x_label: Of the horizontal axis.
        linear_below: The horizontal axis is logarithmic above this value; None: nowhere.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.4, 2.8), layout="constrained", facecolor=_BACK)
        axes = figure.add_subplot(facecolor=_BACK)
        for line in lines:
            colour = COLOURS[line.colour % len(COLOURS)]
            for band in line.bands:
                axes.fill_between(band.x, band.low, band.high, color=colour, alpha=0.2, linewidth=0)
            marker = "o" if len(line.x) < 4 else None
            axes.plot(line.x, line.y, color=colour, marker=marker, linewidth=1.5, label=_plain(line.label))
        if linear_below is not None:
            axes.set_xscale("symlog", linthresh=linear_below)
        elif all(isinstance(x, int) for line in lines for x in line.x):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(_plain(title), fontsize=10, color=_INK)
        axes.set_xlabel(_plain(x_label), color=_INK)
        axes.tick_params(colors=_INK)
        axes.grid(color=_RULE, linewidth=0.6)
        for spine in axes.spines.values():
            spine.set_color(_RULE)
        if len(lines) > 1:
            _add_legend(figure, lines)
    return figure


def _add_legend(figure: Figure, lines: Sequence[Line]) -> None:
    """Below the panel, as many entries beside each other as fit."""
    columns = max(1, min(len(lines), _LEGEND_WIDTH // (max(len(line.label) for line in lines) + _LEGEND_HANDLE)))
    rows = -(-len(lines) // columns)
    figure.set_figheight(figure.get_figheight() + 0.17 * rows)
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=8, labelcolor=_INK)


def to_inline_svg(figure: Figure, title: str) -> Markup:
    """The chart as an element of a page, named for screen readers."""
    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # several charts are in one page
    for colour, variable in _PAGE_COLOURS.items():
        svg = svg.replace(colour, variable)
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{Markup.escape(title)}"', 1))


def save_chart(figure: Figure, path: Path) -> None:
    """PNG or SVG, by the name's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(_STYLE):
        figure.savefig(path, dpi=150)


def _plain(text: str) -> str:
    """A run's name is no mathematics: `$` is drawn as it is, and a leading `_` would hide it from the legend."""
    return f" {text}".replace("$", r"\$") if text.startswith("_") else text.replace("$", r"\$")
