"""Finished cells: one JSON file each, written whole or not at all, and read only for the experiment it was run for."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spine_rl.errors import DataError, RunFolderError

if TYPE_CHECKING:  # a worker writes records, and stays light
    from spine_rl.lab.experiments.cells import Named

Record = dict[str, Any]  # as `adaptation.run_cell` makes it
CELLS_FOLDER = "cells"


def find_cell_path(folder: Path, cell: "Named") -> Path:
    return folder / CELLS_FOLDER / f"{cell.name}.json"


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Written beside, then renamed: a file of this name is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(new, path)


def load_records(folder: Path, cells: "Iterable[Named]") -> list[Record]:
    """The finished ones among these cells, in their order.

    Raises:
        DataError: A file cannot be read.
        RunFolderError: A cell was run with other settings than the experiment has now.
    """
    records = []
    for cell in cells:
        path = find_cell_path(folder, cell)
        if path.exists():
            record = read_record(path)
            _check_same(path, record["settings"], cell.settings)
            records.append(record)
    return records


def read_record(path: Path) -> Record:
    """One finished cell.

    Raises:
        DataError: The file cannot be read, or is no cell.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it, and it is run again") from None
    if not isinstance(record, dict) or "settings" not in record:
        raise DataError(f"{path}: no cell of an experiment, it has no settings; remove it")
    return record


def _check_same(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    before, now = _flatten(before), _flatten(json.loads(json.dumps(now)))
    for name in dict.fromkeys((*now, *before)):
        if before.get(name) != now.get(name):
            raise RunFolderError(
                f"{path} was run with another {name} ({before.get(name)!r} then, {now.get(name)!r} now); give another "
                "--out, or remove it"
            )


def _flatten(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {**settings.get("fields", {}), **{name: value for name, value in settings.items() if name != "fields"}}


# ---- logged steps

# What is kept of every step: what the collapse monitor reads, what gold says of it, and where time went.
_KEPT = ("vote/", "response_length/", "entropy/", "forks/", "band/", "loss/", "guard/", "seconds/", "kl")
_KEPT += ("tokens_generated", "learning_rate", "epoch")


def to_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Logged rows as columns, three significant digits; None where a row has no value."""
    names = dict.fromkeys(name for row in rows for name in row if name == "step" or name.startswith(_KEPT))
    return {
        name: [row.get(name) if name == "step" else round_value(row.get(name), 3) for row in rows] for name in names
    }


def to_rows(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The opposite: rows, without what was not logged."""
    return [
        {name: value for name, value in zip(columns, values, strict=True) if value is not None}
        for values in zip(*columns.values(), strict=True)
    ]


def round_value(value: float | None, digits: int) -> float | None:
    """To significant digits; what is whole then is an integer."""
    if value is None or isinstance(value, int):
        return value
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e6 else rounded
