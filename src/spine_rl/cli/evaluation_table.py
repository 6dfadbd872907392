"""The report of an evaluation as tables for the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text


def build_tables(report: Mapping[str, Any]) -> Iterator[Table]:
    """The metrics (beside the baseline's, where there is one), then a table for each tag."""
    names = [name for name, value in report.items() if isinstance(value, int | float) and name != "n_problems"]
    settings, baseline, budget = report["settings"], report.get("baseline"), report.get("budget")
    table = Table(
        title=Text(f"{settings['model']} on {report['n_problems']} problems of {settings['data']}"),
        title_justify="left",
        caption="[95 % interval], by bootstrap over problems",
        caption_justify="left",
    )
    table.add_column("metric")
    table.add_column("model")
    if baseline is not None:
        table.add_column(Text(f"baseline {baseline['model']}"))
        if budget is not None:
            table.add_column(f"baseline maj@{budget['samples_per_problem']}")
        table.add_column("difference")
        table.add_column("p")
    for name in names:
        cells = [name, format_value(report, name)]
        if baseline is not None:
            cells += _compare(report, name)
        table.add_row(*map(Text, cells))
    yield table
    for tag, values in report["by_tag"].items():
        yield _build_tag_table(tag, values)


def format_value(metrics: Mapping[str, Any], name: str) -> str:
    """`0.4844 [0.36, 0.61]`."""
    value, interval = metrics.get(name), metrics["intervals"].get(name)
    return "–" if value is None else f"{value:.4f}" + format_interval(interval)


def format_interval(interval: tuple[float, float] | None, sign: str = "") -> str:
    """` [0.36, 0.61]`; nothing where there is no interval."""
    return "" if interval is None else f" [{interval[0]:{sign}.3g}, {interval[1]:{sign}.3g}]"


def format_difference(comparison: Mapping[str, Any]) -> str:
    """`+0.3438 [+0.22, +0.47]`."""
    return f"{comparison['difference']:+.4f}" + format_interval(comparison["interval"], "+")


def format_p(comparison: Mapping[str, Any]) -> str:
    return "–" if comparison["p"] is None else f"{comparison['p']:.2g}"


def _compare(report: Mapping[str, Any], name: str) -> list[str]:
    baseline, difference, budget = report["baseline"], report["differences"].get(name), report.get("budget")
    cells = [format_value(baseline, name)]
    if budget is not None:
        vote = f"{budget['baseline_maj']:.4f}" + format_interval(budget["interval"])
        cells.append(vote if name == "greedy_pass@1" else "")
    return cells + (["", ""] if difference is None else [format_difference(difference), format_p(difference)])


def _build_tag_table(tag: str, values: Mapping[str, Mapping[str, Any]]) -> Table:
    names = [name for name in next(iter(values.values())) if name not in ("n_problems", "intervals")]
    table = Table(escape(tag), "n", *names)
    for value, metrics in values.items():
        table.add_row(Text(value), str(metrics["n_problems"]), *(Text(format_value(metrics, name)) for name in names))
    return table
