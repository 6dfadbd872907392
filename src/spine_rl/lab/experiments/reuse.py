"""Cells that other experiments have finished: the same settings and seed are the same run, and are not run again."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spine_rl.errors import RunFolderError
from spine_rl.lab.experiments.cells import Cell
from spine_rl.lab.experiments.records import CELLS_FOLDER, find_cell_path, read_record, write_record


def reuse_finished(cells: Iterable[Cell], folder: Path, sources: Sequence[Path]) -> None:
    """Copies cells that are missing in a folder and finished in others; a copy says as what it was run.

    Args:
        cells: Of the experiment.
        folder: Of its results.
        sources: Folders of other experiments' results.

    Raises:
        RunFolderError: A source has no cells.
        DataError: A source's cell cannot be read.
    """
    finished = {}
    for path in (path for source in sources for path in _list_cells(source)):
        record = read_record(path)
        finished[identify(record["settings"], record.get("seed"))] = path, record
    for cell in cells:
        path, key = find_cell_path(folder, cell), identify(cell.settings, cell.seed)
        if key in finished and not path.exists():
            origin, record = finished[key]
            labels = {"arm": cell.arm, "point": dict(cell.point), "run_as": f"{origin.parents[1].name}: {origin.stem}"}
            write_record(path, record | labels)


def identify(settings: Mapping[str, Any], seed: int | None) -> str:
    """The same for the same run, whichever experiment it belongs to."""
    return json.dumps([settings, seed], sort_keys=True)


def _list_cells(source: Path) -> list[Path]:
    paths = sorted((source / CELLS_FOLDER).glob("*.json"))
    if not paths:
        raise RunFolderError(f"--reuse {source}: holds no cells; give the --out folder of another experiment")
    return paths
