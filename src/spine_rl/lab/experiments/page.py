"""The results of an experiment, from its finished cells alone: tables as CSV and JSON, pictures, a Markdown page."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from spine_rl.lab.experiments import sections
from spine_rl.lab.experiments.cells import show
from spine_rl.lab.experiments.fields import get_value
from spine_rl.lab.experiments.findings import (
    CSV_FILE,
    JSON_FILE,
    RESULTS_FILE,
    describe_machines,
    list_machines,
    read_findings,
)
from spine_rl.lab.experiments.markdown import render_table
from spine_rl.lab.experiments.records import Record
from spine_rl.lab.experiments.spec import Experiment
from spine_rl.lab.experiments.tables import (
    SCORES,
    Difference,
    Estimate,
    Group,
    compare_arms,
    compare_varied,
    estimate,
    find_best,
    group_records,
    list_metrics,
    list_rows,
    summarize,
    tabulate,
    to_csv,
    to_json,
)


def write_results(
    experiment: Experiment, records: Sequence[Record], num_cells: int, folder: Path, command: str
) -> None:
    """Writes everything but the cells.

    Args:
        experiment: Whose.
        records: Its finished cells, at least one.
        num_cells: How many it has in all.
        folder: Of the results.
        command: That makes them, for the page.
    """
    groups = group_records(records)
    differences = [*compare_arms(experiment, groups), *compare_varied(experiment, groups)]
    columns = tabulate(list_rows(records))
    (folder / CSV_FILE).write_text(to_csv(columns), encoding="utf-8")
    content = {
        "title": experiment.title,
        "command": command,
        "cells": {"finished": len(records), "all": num_cells},
        "machines": list_machines(records),
        "summary": summarize(groups, experiment.evaluate_on, experiment.num_samples),
        "differences": [asdict(row) | {"estimate": to_json(row.estimate)} for row in differences],
        **sections.to_json(experiment, groups, records),
        "rows": columns,
    }
    (folder / JSON_FILE).write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
    parts = [
        f"# {experiment.title}",
        experiment.question,
        describe_setting(experiment, records, num_cells, command),
        read_findings(folder),
        *_render_summary(experiment, groups),
        *_render_differences(experiment, differences),
        *sections.render(experiment, groups, records, folder),
    ]
    (folder / RESULTS_FILE).write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")


def describe_setting(experiment: Experiment, records: Sequence[Record], num_cells: int, command: str) -> str:
    """How the figures came about, in one paragraph."""
    seeds = sorted({record["seed"] for record in records})
    hours = sum(record["seconds"]["all"] for record in records) / 3600
    common = ", ".join(f"{name} {show(value)}" for name, value in experiment.fields.items())
    temperatures = _list_values(get_value(record["settings"]["fields"], "temperature") for record in records)
    starts = [record["curve"][0] for record in records]
    sizes = _list_values(row["n_problems"] for start in starts for name, row in start.items() if name != "step")
    return (
        f"Command: `{command}`. {len(records)} of {num_cells} cells are finished, {hours:.1f} hours of one thread "
        f"each. {sizes} problems a set, {experiment.steps} steps"
        f"{f', {common}' if common else ''}; seeds {', '.join(map(str, seeds))} draw problems, their order and the "
        f"samples. Mean ± half-width of Student's 95 % interval over seeds; Pass@1 is of {experiment.num_samples} "
        f"samples at temperature {temperatures} unless it says greedy. Run with {describe_machines(records)}. "
        f"[{CSV_FILE}]({CSV_FILE}) has every evaluation, [{JSON_FILE}]({JSON_FILE}) every figure."
    )


def _list_values(values: Iterable[float]) -> str:
    return " or ".join(show(float(value)) for value in sorted(set(values)))


def _render_summary(experiment: Experiment, groups: Sequence[Group]) -> list[str]:
    parts = []
    for task in dict.fromkeys(group.task for group in groups):
        chosen = [group for group in groups if group.task == task]
        for problem_set in experiment.evaluate_on:
            parts += [
                f"## {task}: after the last step, on {problem_set}",
                _after_table(experiment, chosen, problem_set),
            ]
        if experiment.evaluate_every < experiment.steps:
            parts += [
                f"## {task}: best evaluated step, and the fall from it, on {experiment.evaluate_on[0]}",
                _fall_table(chosen, experiment.evaluate_on[0]),
            ]
    return parts


def _after_table(experiment: Experiment, groups: Sequence[Group], problem_set: str) -> str:
    """A row a group, after a row for the models before adaptation, one a seed."""
    metrics = list_metrics(experiment.num_samples)
    before = {seed: record for group in groups for seed, record in group.records.items()}
    base = Group(groups[0].task, "before", (), before)
    rows = [
        [
            group.label,
            *(_show(estimate([*group.values(problem_set, metric, index).values()]), metric) for metric in metrics),
            str(len(group.records)),
        ]
        for group, index in [(base, 0), *((group, -1) for group in groups)]
    ]
    return render_table(["", *metrics.values(), "seeds"], rows)


def _fall_table(groups: Sequence[Group], problem_set: str) -> str:
    heads = ["", *(f"{name}, {what}" for name in ("Pass@1 greedy", "Pass@1") for what in ("best", "fall")), "seeds"]
    rows = [
        [
            group.label,
            *(value.describe() for metric in SCORES for value in find_best(group, problem_set, metric)),
            str(len(group.records)),
        ]
        for group in groups
    ]
    return render_table(heads, rows)


def _render_differences(experiment: Experiment, differences: Sequence[Difference]) -> list[str]:
    parts = []
    for task in dict.fromkeys(row.task for row in differences):
        columns = [(problem_set, metric) for problem_set in experiment.evaluate_on for metric in SCORES]
        by_title: dict[str, dict[tuple[str, str], Estimate]] = {}
        for row in (row for row in differences if row.task == task):
            by_title.setdefault(row.title, {})[row.problem_set, row.metric] = row.estimate
        heads = [
            "",
            *(f"{'greedy ' if metric == SCORES[0] else ''}Pass@1, {name}" for name, metric in columns),
            "seeds",
        ]
        rows = [
            [
                title,
                *(values[column].describe(signed=True) for column in columns),
                str(next(iter(values.values())).num_seeds),
            ]
            for title, values in by_title.items()
        ]
        parts += [f"## {task}: differences after the last step, paired by seed", render_table(heads, rows)]
    return parts


def _show(value: Estimate, metric: str) -> str:
    return value.describe(digits=1 if metric == "response_length" else 3)
