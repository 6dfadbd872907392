"""From runs to the page: charts, verdicts, configurations, samples."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from spine_rl.pages import Chart, Mark, render_page, save_chart, to_inline_chart
from spine_rl.pages.report_panels import (
    KEY_PANELS,
    OTHER_PANELS,
    Panel,
    count_smoothed,
    list_lines,
    split_panels,
)
from spine_rl.pages.report_runs import Run, RunGroup, group_runs
from spine_rl.pages.report_verdict import answer_run

_SUMMARY = (
    ("vote/pass@1", "Pass@1 of samples"),
    ("vote/label_accuracy", "label accuracy"),
    ("vote/majority_ratio", "majority share"),
    ("vote/distinct_answers", "distinct answers"),
    ("vote/first_label_share", "first label"),
    ("vote/label_drift", "label drift"),
    ("response_length/mean", "length"),
    ("entropy/all", "entropy"),
    ("entropy/forks", "entropy at forks"),
)
_ENDINGS = ("png", "svg")
_MAX_SAMPLES = 24  # of a run on the page; evenly over the steps that were recorded


def build_report(runs: Sequence[Run], title: str = "SPINE report") -> str:
    """One self-contained HTML page.

    Args:
        runs: At least one; those that differ by their seed alone are drawn as one line with a band.
        title: Heading.
    """
    groups = group_runs(runs)
    summary = [(name, label) for name, label in _SUMMARY if any(name in row for run in runs for row in run.rows)]
    return render_page(
        "report.html.jinja",
        script=(files("spine_rl.pages") / "templates" / "charts.js").read_text(encoding="utf-8"),
        title=title,
        runs=[_view_run(run, [name for name, _ in summary]) for run in runs],
        groups=groups,
        differences=_list_differences(groups),
        key_charts=[to_inline_chart(chart) for _, chart in _draw(KEY_PANELS, groups, _mark_turns(groups))],
        other_charts=[to_inline_chart(chart) for _, chart in _draw(OTHER_PANELS, groups)],
        smoothed=max(count_smoothed(len(run.rows)) for run in runs),
        summary_titles=[label for _, label in summary],
    )


def save_plots(runs: Sequence[Run], folder: Path) -> None:
    """Every chart as PNG and as SVG."""
    for name, chart in _draw((*KEY_PANELS, *OTHER_PANELS), group_runs(runs)):
        for ending in _ENDINGS:
            save_chart(chart, folder / f"{name}.{ending}")


def list_plots(folder: Path) -> list[Path]:
    """All that `save_plots` may write there."""
    panels = (*KEY_PANELS, *OTHER_PANELS)
    names = [name for panel in panels for name in (panel.name, *(each.replace("/", "_") for each, _ in panel.series))]
    return [folder / f"{name}.{ending}" for name in dict.fromkeys(names) for ending in _ENDINGS]


def _draw(
    panels: Sequence[Panel], groups: Sequence[RunGroup], marks: Sequence[Mark] = ()
) -> Iterator[tuple[str, Chart]]:
    """Name and chart of every panel that a run logged something for."""
    for panel in split_panels(panels, groups):
        if lines := list_lines(panel, groups):
            alone = len(panel.series) > len(lines) == 1
            yield panel.name, Chart(f"{panel.title}: {lines[0].label}" if alone else panel.title, lines, marks)


def _mark_turns(groups: Sequence[RunGroup]) -> list[Mark]:
    """Where runs turned, in their group's colour."""
    return [
        Mark(turned_at, "alarm", colour)
        for colour, group in enumerate(groups)
        for run in group.runs
        if (turned_at := answer_run(run).turned_at) is not None
    ]


def _view_run(run: Run, summary: Sequence[str]) -> dict[str, Any]:
    return {
        "name": run.name,
        "seed": run.seed,
        "steps": run.rows[-1]["step"],
        "answer": answer_run(run),
        "summary": [(_show(run.rows[0].get(name)), _show(run.rows[-1].get(name))) for name in summary],
        "config": {group: dict(sorted(fields.items())) for group, fields in run.config.items()},
        "versions": run.versions,
        "samples": [_view_sample(sample) for sample in _thin_out(run.samples)],
    }


def _view_sample(sample: Mapping[str, Any]) -> dict[str, Any]:
    forks = set(sample["forks"])
    tokens = [
        {"text": text, "entropy": entropy, "fork": index in forks, "shade": min(entropy / 2.0, 1.0)}
        for index, (text, entropy) in enumerate(zip(sample["tokens"], sample["entropies"], strict=True))
    ]
    return {"band": None, **sample, "tokens": tokens}


def _thin_out(samples: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """All of them, or those of evenly spaced steps with the first and the last."""
    steps = sorted({sample["step"] for sample in samples})
    per_step = max(1, len(samples) // max(1, len(steps)))
    kept = max(2, _MAX_SAMPLES // per_step)
    if len(steps) > kept:
        steps = [steps[round(i * (len(steps) - 1) / (kept - 1))] for i in range(kept)]
    return [sample for sample in samples if sample["step"] in set(steps)]


def _list_differences(groups: Sequence[RunGroup]) -> list[tuple[str, list[str]]]:
    """Fields in which the groups' configurations differ, with each group's value."""
    fields = [group.runs[0].fields for group in groups]
    names = sorted({name for group in fields for name in group})
    rows = [(name, [str(group.get(name, "–")) for group in fields]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _show(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
