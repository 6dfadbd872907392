"""The report of an evaluation as tables for the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from spine_rl.engine.say import show
from spine_rl.evaluation.formats import format_difference, format_p, format_value, format_vote
from spine_rl.evaluation.report import find_sharpening, name_model

_LEFT_OUT = ("n_problems", "pass@1")  # in the caption; the same as mean@k


def print_report(report: Mapping[str, Any]) -> None:
    """Prints the tables."""
    for table in build_tables(report):
        show(table) if isinstance(table, Table) else Console().print(table)


def build_tables(report: Mapping[str, Any]) -> Iterator[Text | Table]:
    """What was evaluated, then the metrics, beside the baseline's where there is one, then a table for each tag."""
    settings, baseline = report["settings"], report.get("baseline")
    title = f"model: {name_model(settings)}\n" + (f"baseline: {name_model(baseline)}\n" if baseline is not None else "")
    yield Text(title + f"data: {settings['data']}, {report['n_problems']} problems; [95 % interval]")
    table = _new_table()
    table.add_column("metric", no_wrap=True)
    for name in ("model", *_list_comparisons(report)):
        table.add_column(name)
    for name, value in report.items():
        if isinstance(value, int | float) and name not in _LEFT_OUT:
            cells = _compare(report, name) if baseline is not None else []
            table.add_row(*map(Text, [name, format_value(report, name), *cells]))
    yield table
    if (note := find_sharpening(report)) is not None:
        yield Text(note + "\n")
    if "budget" in report:
        lead = report["budget"]["greedy_pass@1_minus_baseline_maj"]
        votes = report["budget"]["samples_per_problem"]
        yield Text(f"greedy_pass@1 against baseline maj@{votes}: {format_difference(lead)}, p = {format_p(lead)}\n")
    for tag, values in report["by_tag"].items():
        yield _build_tag_table(tag, values)


def _new_table() -> Table:
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))


def _list_comparisons(report: Mapping[str, Any]) -> list[str]:
    if "baseline" not in report:
        return []
    vote = [f"baseline maj@{report['budget']['samples_per_problem']}"] if "budget" in report else []
    return ["baseline", *vote, "difference", "p"]


def _compare(report: Mapping[str, Any], name: str) -> list[str]:
    """The baseline's cells; its vote at the adaptation's budget stands beside the model's Pass@1."""
    cells = [format_value(report["baseline"], name)]
    if "budget" in report:
        cells.append(format_vote(report["budget"]) if name == "greedy_pass@1" else "")
    difference = report["differences"].get(name)
    return cells + (["", ""] if difference is None else [format_difference(difference), format_p(difference)])


def _build_tag_table(tag: str, values: Mapping[str, Mapping[str, Any]]) -> Table:
    names = [name for name in next(iter(values.values())) if name not in ("n_problems", "intervals")]
    table = _new_table()
    for header in (escape(tag), "n", *names):
        table.add_column(header)
    for value, metrics in values.items():
        table.add_row(Text(value), str(metrics["n_problems"]), *(Text(format_value(metrics, name)) for name in names))
    return table
