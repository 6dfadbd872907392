"""Files of JSON rows that grow step by step: a resumed run drops those after its checkpoint."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from spine_rl.errors import DataError
from spine_rl.runs.run_folder import METRICS_FILE
from spine_rl.runs.whole_file import naming, write_whole

_SUMMARY = "train_runtime"  # of the row that closes a run: one that is resumed is not closed


def append_rows(path: Path, rows: list[Mapping[str, Any]]) -> None:
    """All of them or, where the disk is full, an end that `drop_rows_after` drops."""
    text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    with naming(path), path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(text)


def drop_rows_after(path: Path, step: int, *, without: str | None = None) -> None:
    """Keeps the rows up to a step that have no such field; a last one that was cut off while it was written is dropped.

    Raises:
        DataError: A row in between is none.
    """
    if not path.exists():
        return
    kept = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            row = json.loads(line)
            if row["step"] <= step and without not in row:
                kept.append(line.decode() + "\n")
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{path}, line {number}: not a row of a run; mend or remove the line") from None
    write_whole(path, "".join(kept))


class MetricsFile(TrainerCallback):
    """Appends every log entry to `metrics.jsonl`; what is no finite number has no place in JSON, and is left out."""

    def __init__(self, folder: Path):
        self._path = folder / METRICS_FILE

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            drop_rows_after(self._path, state.global_step, without=_SUMMARY)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero and logs:
            finite = {name: value for name, value in logs.items() if _is_finite(value)}
            append_rows(self._path, [{"step": state.global_step, **finite}])


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
