"""The results of an experiment, from its finished cells alone: tables as CSV and JSON, pictures, a Markdown page."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from spine_rl.lab.experiments.cells import show
from spine_rl.lab.experiments.fields import get_value
from spine_rl.lab.experiments.frame import Results
from spine_rl.lab.experiments.markdown import Table
from spine_rl.lab.experiments.monitoring import judge_records
from spine_rl.lab.experiments.sections import Part, list_parts
from spine_rl.lab.experiments.spec import Experiment
from spine_rl.lab.experiments.store import Record
from spine_rl.lab.experiments.tables import tabulate_after, tabulate_differences, tabulate_fall
from spine_rl.runs.machine import to_words
from spine_rl.runs.whole_file import write_whole

RESULTS_FILE, CSV_FILE, JSON_FILE = "results.md", "results.csv", "results.json"


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
    results = Results(experiment, records)
    content: dict[str, Any] = {
        "cells": {"finished": len(records), "all": num_cells},
        "machines": list_machines(records),
    }
    if "monitor" in experiment.sections:
        content["monitor"] = _list_rows(judge_records(records))
    setting = _describe_setting(experiment, records, num_cells, command)
    parts = [*_list_tables(results), *list_parts(results, folder)]
    frame = results.frame.drop(columns="group")
    write_page(folder, experiment, setting, parts, frame, {"command": command, **content})


def write_page(
    folder: Path, experiment: Any, setting: str, parts: Sequence[Part], frame: pd.DataFrame, content: Mapping[str, Any]
) -> None:
    """The page of an experiment of any kind, with what a person has written on it, and its figures as CSV and JSON.

    Args:
        folder: Of the results.
        experiment: Gives title and question.
        setting: How the figures came about.
        parts: Of the page; the JSON has the tables, too.
        frame: Of the CSV; the JSON has it, too.
        content: What else the JSON has.
    """
    findings = read_findings(folder / RESULTS_FILE)
    shown = [part.to_markdown() if isinstance(part, Table) else part for part in parts]
    page = "\n\n".join(filter(None, [f"# {experiment.title}", experiment.question, setting, findings, *shown]))
    tables = {part.heading: part.to_json() for part in parts if isinstance(part, Table)}
    figures = {"title": experiment.title, **content, "tables": tables, "rows": _list_rows(frame)}
    write_whole(folder / RESULTS_FILE, f"{page}\n")
    write_whole(folder / CSV_FILE, frame.to_csv(index=False, lineterminator="\n"))
    write_whole(folder / JSON_FILE, json.dumps(figures, ensure_ascii=False) + "\n")


def _list_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


_FINDINGS = re.compile(r"<!-- findings: .*?-->\n(.*?)\n<!-- end of findings -->", re.DOTALL)
_NO_FINDINGS = "<!-- findings: what you write here stays when the page is written anew -->\n\n<!-- end of findings -->"


def read_findings(page: Path) -> str:
    """What the figures mean is a person's to write: that part of the page as it stands, or room for it."""
    found = _FINDINGS.search(page.read_text(encoding="utf-8")) if page.is_file() else None
    return found[0] if found else _NO_FINDINGS


def list_machines(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Each machine and set of versions once, without the dates."""
    machines = [{name: value for name, value in record["machine"].items() if name != "date"} for record in records]
    return [machine for index, machine in enumerate(machines) if machine not in machines[:index]]


def describe_machines(records: Iterable[Record]) -> str:
    """In words."""
    return "; ".join(map(to_words, list_machines(records)))


def _describe_setting(experiment: Experiment, records: Sequence[Record], num_cells: int, command: str) -> str:
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
        f"The command writes every evaluation to {CSV_FILE} and every figure to {JSON_FILE}."
    )


def _list_values(values: Iterable[float]) -> str:
    return " or ".join(show(float(value)) for value in sorted(set(values)))


def _list_tables(results: Results) -> list[Part]:
    experiment, tables = results.experiment, []
    for task in results.tasks:
        tables += [tabulate_after(results, task, problem_set) for problem_set in experiment.evaluate_on]
        if experiment.evaluate_every < experiment.steps:
            tables.append(tabulate_fall(results, task))
    differences = (tabulate_differences(results, task) for task in results.tasks)
    return [*tables, *filter(None, differences)]
