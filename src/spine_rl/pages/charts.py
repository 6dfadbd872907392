"""Line charts with bands: drawn once by matplotlib, saved as files, or inlined in a page that may be dark.

On a page a chart also carries its values; `templates/charts.js` shows those of the step that is pointed at.
"""

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spine_rl.pages.render import show_text
from spine_rl.runs.kinds import GENERATOR
from spine_rl.runs.whole_file import writing_aside

# Stand-ins that a page replaces by its own variables; legible where a chart is a file.
_PAGE_COLOURS = {"#1c2127": "var(--ink)", "#d5dae0": "var(--rule)", "#ffffff": "var(--back)"}
_INK, _RULE, _BACK = _PAGE_COLOURS
_LEGEND_WIDTH, _LEGEND_HANDLE = 76, 10  # characters
_POINTS = 72  # of an inch: the unit of an SVG's coordinates
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
        y: Values, smoothed or as they are.
        colour: Index into the palette.
        bands: Drawn behind it in its colour.
        raw: What `y` smooths, drawn thin behind it; None where `y` is as it was measured.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 0
    bands: Sequence[Band] = ()
    raw: Sequence[float] | None = None


@dataclass(frozen=True)
class Mark:
    """A step that a chart points out by a dotted line over its whole height, in a line's colour."""

    x: float
    label: str
    colour: int = 0


@dataclass(frozen=True)
class Chart:
    """One panel.

    Attributes:
        title: Above it.
        lines: Drawn over each other; the legend stands below where there is more than one.
        marks: Steps to point out.
        x_label: Of the horizontal axis.
        linear_below: The horizontal axis is logarithmic above this value; None: nowhere.
    """

    title: str
    lines: Sequence[Line]
    marks: Sequence[Mark] = ()
    x_label: str = "step"
    linear_below: float | None = None


def draw_chart(chart: Chart) -> Figure:
    """The chart as a figure of matplotlib's, 4.4 inches wide."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.4, 2.8), layout="constrained", facecolor=_BACK)
        axes = figure.add_subplot(facecolor=_BACK)
        for line in chart.lines:
            _draw_line(axes, line)
        if chart.linear_below is not None:
            axes.set_xscale("symlog", linthresh=chart.linear_below)
        elif all(isinstance(x, int) for line in chart.lines for x in line.x):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        for mark in chart.marks:
            _draw_mark(axes, mark)
        axes.set_title(plain(chart.title), fontsize=10, color=_INK)
        axes.set_xlabel(plain(chart.x_label), color=_INK)
        axes.tick_params(colors=_INK)
        axes.grid(color=_RULE, linewidth=0.6)
        for spine in axes.spines.values():
            spine.set_color(_RULE)
        if len(chart.lines) > 1:
            _add_legend(figure, chart.lines)
    return figure


def _draw_line(axes: Any, line: Line) -> None:
    colour = COLOURS[line.colour % len(COLOURS)]
    for band in line.bands:
        axes.fill_between(band.x, band.low, band.high, color=colour, alpha=0.2, linewidth=0)
    if line.raw is not None:
        axes.plot(line.x, line.raw, color=colour, alpha=0.45, linewidth=0.7)
    marker = "o" if len(line.x) < 4 else None
    axes.plot(line.x, line.y, color=colour, marker=marker, linewidth=1.7, label=plain(line.label))


def _draw_mark(axes: Any, mark: Mark) -> None:
    colour = COLOURS[mark.colour % len(COLOURS)]
    axes.axvline(mark.x, color=colour, linestyle=":", linewidth=1.2)
    axes.annotate(
        plain(mark.label), (mark.x, 1), (2, -2), xycoords=("data", "axes fraction"), textcoords="offset points",
        rotation=90, fontsize=7, color=colour, va="top", ha="left",
    )  # fmt: skip


def _add_legend(figure: Figure, lines: Sequence[Line]) -> None:
    """Below the panel, as many entries beside each other as fit."""
    columns = max(1, min(len(lines), _LEGEND_WIDTH // (max(len(line.label) for line in lines) + _LEGEND_HANDLE)))
    rows = -(-len(lines) // columns)
    figure.set_figheight(figure.get_figheight() + 0.17 * rows)
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=8, labelcolor=_INK)


def to_inline_chart(chart: Chart) -> Markup:
    """The chart as an element of a page: an SVG named for screen readers, with its values for the page's script."""
    figure, buffer = draw_chart(chart), io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # several charts are in one page
    for colour, variable in _PAGE_COLOURS.items():
        svg = svg.replace(colour, variable)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{Markup.escape(show_text(chart.title))}"', 1)
    values = Markup.escape(json.dumps(_list_values(chart, figure), separators=(",", ":")))
    opened = f'<figure class="chart" tabindex="0" data-chart="{values}">'
    return Markup(f'{opened}{svg}<div class="tip" role="status" hidden></div></figure>')


def _list_values(chart: Chart, figure: Figure) -> dict[str, Any]:
    """Every line's values with their places in the drawn SVG, whose origin is its upper left corner."""
    (axes,) = figure.axes
    height = figure.get_figheight() * _POINTS
    scale = _POINTS / figure.dpi

    def locate(x: Sequence[float], y: Sequence[float]) -> list[list[float]]:
        places = axes.transData.transform(list(zip(x, y, strict=True))) * scale
        return [[round(float(left), 1), round(height - float(up), 1)] for left, up in places]

    box = axes.get_window_extent()
    return {
        "x": chart.x_label,
        "top": round(height - box.y1 * scale, 1),
        "bottom": round(height - box.y0 * scale, 1),
        "lines": [
            {
                "label": show_text(line.label),
                "colour": COLOURS[line.colour % len(COLOURS)],
                "x": list(line.x),
                "y": [*map(_shorten, line.y)],
                "raw": None if line.raw is None else [*map(_shorten, line.raw)],
                "bands": [
                    [
                        [_shorten(x), _shorten(low), _shorten(high)]
                        for x, low, high in zip(b.x, b.low, b.high, strict=True)
                    ]
                    for b in line.bands
                ],
                "at": locate(line.x, line.y),
            }
            for line in chart.lines
        ],
    }


def _shorten(value: float) -> float:
    return float(f"{value:.4g}")


def save_chart(chart: Chart, path: Path) -> None:
    """PNG or SVG, by the name's ending; it says of itself that it is ours."""
    maker = "Software" if path.suffix == ".png" else "Creator"
    with matplotlib.rc_context(_STYLE), writing_aside(path) as new:
        draw_chart(chart).savefig(new, dpi=150, metadata={maker: GENERATOR})


def plain(text: str) -> str:
    """A name is no mathematics: `$` is drawn as it is, and a leading `_` would hide it from the legend."""
    text = show_text(text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
