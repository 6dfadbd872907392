"""What the pages of all experiments have in common: file names, machines, and the part that a person writes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from spine_rl.lab.experiments.records import Record

RESULTS_FILE, CSV_FILE, JSON_FILE, FINDINGS_FILE = "results.md", "results.csv", "results.json", "findings.md"

_UNITS = {"device": "", "cores": "cores ", "threads": "threads ", "python": "Python "}


def read_findings(folder: Path) -> str:
    """What the figures mean is a person's to write: the text of `findings.md` beside the page, as a part of it."""
    path = folder / FINDINGS_FILE
    return f"## What they say\n\n{path.read_text(encoding='utf-8').strip()}" if path.is_file() else ""


def list_machines(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Each machine and set of versions once, without the dates."""
    machines = [{name: value for name, value in record["machine"].items() if name != "date"} for record in records]
    return [machine for index, machine in enumerate(machines) if machine not in machines[:index]]


def describe_machines(records: Sequence[Record]) -> str:
    """In words."""
    return "; ".join(
        ", ".join(f"{_UNITS.get(name, f'{name} ')}{value}" for name, value in machine.items())
        for machine in list_machines(records)
    )
