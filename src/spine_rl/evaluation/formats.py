"""How figures are written: an accuracy, a difference, their intervals; a table in Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def format_value(metrics: Mapping[str, Any], name: str) -> str:
    """`0.484 [0.36, 0.61]`, an accuracy; the others' intervals are in the report."""
    value = metrics.get(name)
    if value is None:
        return "–"
    return f"{value:.3f}" + (format_interval(metrics["intervals"].get(name)) if "@" in name else "")


def format_vote(budget: Mapping[str, Any]) -> str:
    """The baseline's vote at the adaptation's budget."""
    return f"{budget['baseline_maj']:.3f}" + format_interval(budget["interval"])


def format_difference(comparison: Mapping[str, Any]) -> str:
    """`+0.344 [+0.22, +0.47]`."""
    return f"{comparison['difference']:+.3f}" + format_interval(comparison["interval"], "+")


def format_interval(interval: tuple[float, float] | None, sign: str = "") -> str:
    """` [0.36, 0.61]`; nothing where there is no interval."""
    return "" if interval is None else f" [{interval[0]:{sign}.2f}, {interval[1]:{sign}.2f}]"


def format_p(comparison: Mapping[str, Any]) -> str:
    """`0.012`."""
    return "–" if comparison["p"] is None else f"{comparison['p']:.2g}"


def render_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of text in Markdown; `|` in a cell is escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
