"""Several data sets before and after an adaptation, in one table: the paper's cross-task table."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from spine_rl.evaluation.formats import format_difference, format_p, format_value, format_vote, render_table

HEADER = ("data", "n", "base Pass@1", "base maj@N", "adapted Pass@1", "difference", "p")


def summarize_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracies of both models, and the comparisons."""

    def accuracies(metrics: Mapping[str, Any]) -> dict[str, float]:
        return {name: value for name, value in metrics.items() if name.startswith(("greedy_pass@", "mean@", "maj@"))}

    return {
        "n_problems": report["n_problems"],
        "base": accuracies(report["baseline"]),
        "adapted": accuracies(report),
        "differences": report["differences"],
        "budget": report["budget"],
    }


def build_rows(reports: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The table's rows: a data set each, and their plain average."""
    rows = [
        (
            name,
            str(report["n_problems"]),
            format_value(report["baseline"], "greedy_pass@1"),
            format_vote(report["budget"]),
            format_value(report, "greedy_pass@1"),
            format_difference(report["differences"]["greedy_pass@1"]),
            format_p(report["differences"]["greedy_pass@1"]),
        )
        for name, report in reports.items()
    ]
    base = fmean(report["baseline"]["greedy_pass@1"] for report in reports.values())
    vote = fmean(report["budget"]["baseline_maj"] for report in reports.values())
    adapted = fmean(report["greedy_pass@1"] for report in reports.values())
    return [*rows, ("average", "", f"{base:.3f}", f"{vote:.3f}", f"{adapted:.3f}", f"{adapted - base:+.3f}", "")]


def render_markdown(summary: Mapping[str, Any], rows: list[tuple[str, ...]]) -> str:
    lines = [
        f"{summary['model']} adapted on {summary['adapted_on']} ({summary['preset']}). Pass@1 is greedy; base "
        f"maj@N is the vote of N = {summary['samples_per_problem']} samples, as many a problem as the adaptation drew. "
        "Intervals: 95 %, by bootstrap over problems; p: paired sign-flip test.",
        "",
        render_table(HEADER, rows),
    ]
    return "\n".join(lines) + "\n"
