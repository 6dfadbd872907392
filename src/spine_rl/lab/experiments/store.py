"""Finished cells on disk: a JSON file each while an experiment runs, one compressed file of lines when it has ended.

`cells/NAME.json` is written whole or not at all. `cells.jsonl.gz` has a line a cell, `{"cell": NAME, ...record}`,
sorted by name; the same cells give the same bytes. Reading takes both, and a file goes before a line.
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spine_rl.errors import DataError, RunFolderError, show_setting
from spine_rl.runs.whole_file import write_whole, writing_aside

if TYPE_CHECKING:  # what stores cells stays light
    from spine_rl.lab.experiments.cells import Cell

Record = dict[str, Any]  # what a cell left: its identity, settings, and what was measured
CELLS_FOLDER, PACKED_FILE = "cells", "cells.jsonl.gz"


def find_cell_path(folder: Path, name: str) -> Path:
    return folder / CELLS_FOLDER / f"{name}.json"


def write_record(folder: Path, name: str, record: Mapping[str, Any]) -> None:
    """Of a cell that has just ended."""
    write_whole(find_cell_path(folder, name), _dump(record))


def read_records(folder: Path) -> dict[str, Record]:
    """All cells of an experiment's folder by name, in the order of their names.

    Raises:
        DataError: A file cannot be read, or holds something else.
    """
    packed = _unpack(folder / PACKED_FILE) if (folder / PACKED_FILE).exists() else {}
    files = {path.stem: _parse(path, path.read_bytes()) for path in (folder / CELLS_FOLDER).glob("*.json")}
    return dict(sorted({**packed, **files}.items()))


def load_records(folder: Path, cells: Iterable["Cell"]) -> dict[str, Record]:
    """The finished ones among these cells by name, in their order.

    Raises:
        DataError: A file cannot be read.
        RunFolderError: A cell was run with other settings than the experiment has now.
    """
    found = read_records(folder)
    finished = [cell for cell in cells if cell.name in found]
    for cell in finished:
        path = find_cell_path(folder, cell.name)
        where = path if path.exists() else f"{folder / PACKED_FILE}: {cell.name}"
        _check_same(where, found[cell.name]["settings"], cell.settings)
    return {cell.name: found[cell.name] for cell in finished}


def pack_records(folder: Path) -> None:
    """Moves the files into the packed one; stopped half-way, each cell is in one of them at least."""
    files = sorted((folder / CELLS_FOLDER).glob("*.json"))
    if files:
        packed = io.BytesIO()
        with gzip.GzipFile("", "wb", fileobj=packed, mtime=0) as lines:
            lines.writelines(_dump({"cell": name, **record}).encode() for name, record in read_records(folder).items())
        with writing_aside(folder / PACKED_FILE) as new:
            new.write_bytes(packed.getvalue())
        for path in files:
            path.unlink()
        if not any((folder / CELLS_FOLDER).iterdir()):
            (folder / CELLS_FOLDER).rmdir()


def _unpack(path: Path) -> dict[str, Record]:
    try:
        lines = gzip.decompress(path.read_bytes()).splitlines()  # of bytes: a line of text ends at U+2028, too
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); bring it back, or remove it and run its cells again"
        ) from None
    records = [_parse(f"{path}, line {number}", line) for number, line in enumerate(lines, start=1)]
    return {record.pop("cell"): record for record in records}


def _parse(where: Path | str, text: bytes) -> Record:
    try:
        record = json.loads(text)
    except ValueError as error:
        raise DataError(f"{where}: cannot be read ({error}); remove it, and it is run again") from None
    if not isinstance(record, dict) or "settings" not in record:
        raise DataError(f"{where}: no cell of an experiment, it has no settings; remove it")
    return record


def _dump(record: Mapping[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n"


def _check_same(where: Path | str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    before, now = _flatten(before), _flatten(json.loads(json.dumps(now)))
    for name in dict.fromkeys((*now, *before)):
        if before.get(name) != now.get(name):
            raise RunFolderError(
                f"{where} was run with another {name} ({show_setting(before.get(name))} then, "
                f"{show_setting(now.get(name))} now); give another --out, or remove it"
            )


def _flatten(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {**settings.get("fields", {}), **{name: value for name, value in settings.items() if name != "fields"}}


# ---- cells that other experiments have finished


def identify(record: Mapping[str, Any]) -> str:
    """The same for the same run, whichever experiment it belongs to and whatever it is called there."""
    return json.dumps([record["settings"], record.get("seed")], sort_keys=True)


def reuse_finished(cells: Iterable["Cell"], folder: Path, sources: Iterable[Path]) -> None:
    """Copies those of the cells that are finished in other experiments' folders; a copy says as what it was run.

    Raises:
        RunFolderError: A source has no cells.
        DataError: A source's cell cannot be read.
    """
    finished: dict[str, tuple[str, Record]] = {}
    for source in sources:
        found = read_records(source)
        if not found:
            raise RunFolderError(f"--reuse {source}: holds no cells; give the --out folder of another experiment")
        finished |= {identify(record): (f"{source.name}: {name}", record) for name, record in found.items()}
    for cell in cells:
        key = identify({**cell.identity, "settings": cell.settings})
        if key in finished:
            run_as, record = finished[key]
            write_record(folder, cell.name, dict(record) | dict(cell.identity) | {"run_as": run_as})
