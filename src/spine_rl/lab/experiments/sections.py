"""The parts of a page that an experiment asks for: arms, curves, lengths, entropies, phases, the map, and so on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from spine_rl.evaluation.formats import render_table
from spine_rl.lab import plots
from spine_rl.lab.experiments import stability
from spine_rl.lab.experiments.frame import Group, Results
from spine_rl.lab.experiments.markdown import Table, quote
from spine_rl.lab.experiments.monitoring import count_judged, judge_records
from spine_rl.lab.experiments.tables import tabulate_transfer
from spine_rl.pages.report_panels import PHASES

_LEAST_SHARE = 0.001  # of the tokens, for a token to stand in the table

Part = str | Table  # of a page
Section = Callable[[Results, Path], list[Part]]


def list_parts(results: Results, folder: Path) -> list[Part]:
    """Every part that is asked for; pictures are drawn into the folder."""
    asked = {*results.experiment.sections, *(["varied"] if results.experiment.vary else [])}
    return [part for name, section in _SECTIONS.items() if name in asked for part in section(results, folder)]


def _draw(figure: Figure, folder: Path, name: str, title: str) -> str:
    return f"![{title}]({plots.save_figure(figure, folder, name)})"


def _picture(heading: str, draw: Callable[[Results], Figure], name: str, title: str) -> Section:
    """A section of one picture."""
    return lambda results, folder: [heading, _draw(draw(results), folder, name, title)]


def _curves(results: Results, folder: Path) -> list[Part]:
    picture = _picture("## Curves", plots.draw_curves, "curves", "Mean over seeds, the seeds' range shaded")
    return picture(results, folder) if plots.list_as_they_are(results) else []


def _lengths(results: Results, folder: Path) -> list[Part]:
    heads = ["", *(f"{when}, {percent} %" for when in ("before", "after") for percent in (10, 50, 90))]
    parts: list[Part] = []
    for task in results.tasks:
        rows = []
        for group in results.list_groups(task):
            records = results.groups[group].values()
            counts = [plots.add_counts(record["lengths"][when] for record in records) for when in ("start", "end")]
            rows.append([group.label, *(str(find_percentile(each, p)) for each in counts for p in (10, 50, 90))])
        text = f"Percentiles in tokens of the samples on {results.experiment.evaluate_on[0]}, all seeds together."
        parts += [f"## {task}: response lengths", text, render_table(heads, rows)]
    return [*parts, _draw(plots.draw_lengths(results), folder, "lengths", "Lengths of sampled responses")]


def find_percentile(counts: pd.Series, percent: float) -> int:
    """The smallest length that at least so many percent of the responses do not exceed; counts by length."""
    lengths = np.repeat(counts.index.to_numpy(), counts.to_numpy())
    return int(np.percentile(lengths, percent, method="inverted_cdf"))


def _entropies(results: Results, folder: Path) -> list[Part]:
    picture = _draw(plots.draw_entropies(results), folder, "entropies", "Tokens by entropy")
    parts: list[Part] = ["## Entropy of the tokens, and which are updated", picture]
    for task in results.tasks:
        last = results.list_groups(task)[-1]
        text = f"The most frequent tokens of the first step of {last.label} on {task}, all seeds added, by how often "
        parts += [f"{text}each was updated.", _token_table(results, last)]
    return parts


def _token_table(results: Results, group: Group) -> str:
    texts = [row for record in results.groups[group].values() for row in record["tokens"]["start"]["texts"]]
    frame = pd.DataFrame(texts, columns=["text", "count", "forks", "entropy"])
    frame["entropy"] *= frame["count"]
    totals: Any = frame.groupby("text", sort=False).sum()
    totals["updated"], totals["mean"] = totals.forks / totals["count"], totals.entropy / totals["count"]
    shown = totals[totals["count"] >= _LEAST_SHARE * totals["count"].sum()]
    shown = shown.sort_values("updated", ascending=False, kind="stable")
    figures = zip(shown.index, shown["count"], shown["updated"], shown["mean"], strict=True)
    rows = [[quote(text), f"{count:.0f}", f"{updated:.0%}", f"{mean:.3f}"] for text, count, updated, mean in figures]
    return render_table(["token", "tokens", "updated", "mean entropy (nats)"], rows)


def _phases(results: Results, folder: Path) -> list[Part]:
    """Medians over steps and seeds, of runs that log them."""
    parts: list[Part] = []
    for task in results.tasks:
        rows = []
        for group in results.list_groups(task):
            steps = [record["steps"] for record in results.groups[group].values()]
            seconds = [[value for columns in steps for value in columns.get(f"seconds/{name}", [])] for name in PHASES]
            if all(seconds):
                medians = [float(np.median(values)) for values in seconds]
                rows.append([group.label, *(f"{value:.3f}" for value in (*medians, sum(medians)))])
        if rows:
            parts += [f"## {task}: seconds a step, by phase", render_table(["", *PHASES, "together"], rows)]
    return parts


def _map(results: Results, folder: Path) -> list[Part]:
    tables = [table for task in results.tasks if (table := stability.tabulate_areas(results, task)) is not None]
    return [*tables, _draw(plots.draw_map(results), folder, "map", "Pass@1 less its start")] if tables else []


def _monitor(results: Results, folder: Path) -> list[Part]:
    judged = judge_records(results.records)
    if judged.empty:
        return []
    counts, near = count_judged(judged), judged.is_near_best.sum()
    text = (
        f"{counts['num_collapsed']} of {len(judged)} runs collapsed (Pass@1 ends at least 10 points below its start); "
        f"the monitor gave an alarm in {counts['num_detected']} of them, and in {counts['num_false_alarms']} of the "
        f"{counts['num_sound']} others. The evaluated step that `keep_best=label-free` would have kept (before the "
        "first alarm, the one where most responses give their problem's first label) is at most 2 points below the "
        f"start in {judged.is_safe.sum()} of {len(judged)} runs (goal: all), and at most 3 points below the best "
        f"evaluated step in {near} ({near / len(judged):.0%}; goal: 90 %)."
    )
    rows = [
        [
            run["cell"],
            "none" if pd.isna(run["alarm"]) else f"{run['alarm']:.0f}",
            str(run["step"]),
            *(f"{run[name]:.3f}" for name in ("start", "kept", "last", "best")),
        ]
        for run in judged.to_dict("records")
    ]
    title = f"## The collapse monitor, judged by Pass@1 on {results.experiment.evaluate_on[0]}"
    heads = ["run", "first alarm", "kept step", "start", "kept", "last", "best"]
    return [title, text, render_table(heads, rows)]


_SECTIONS: dict[str, Section] = {
    "map": _map,
    "arms": _picture("## Arms side by side", plots.draw_arms, "arms", "Pass@1 after the last step"),
    "curves": _curves,
    "lengths": _lengths,
    "entropies": _entropies,
    "phases": _phases,
    "varied": _picture("## One field at a time", plots.draw_varied, "varied", "Pass@1 by value"),
    "transfer": lambda results, folder: [tabulate_transfer(results)],
    "monitor": _monitor,
}
