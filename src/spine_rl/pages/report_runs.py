"""What a run's folder tells, and which runs differ by nothing but their seed."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from spine_rl.errors import DataError
from spine_rl.problems.text_file import describe_kind, parse_json, read_lines, read_text
from spine_rl.runs.run_file import RUN_FILE
from spine_rl.runs.run_folder import METRICS_FILE, SAMPLES_FILE

Row = Mapping[str, Any]

# Fields in which runs of one configuration may differ: the seed, and where and how the run is kept and shown.
_OF_ONE_RUN = {"seed", "data_seed", "output_dir", "run_name", "logging_dir", "overwrite", "resume", "report_to"}


@dataclass(frozen=True)
class Run:
    """A run as it was recorded.

    Attributes:
        name: Its folder's.
        rows: Logged steps, by the names of metrics.jsonl.
        config: Group of fields → field → value, as resolved.
        versions: Of the libraries.
        samples: Rows of samples.jsonl; none in a run of an earlier version.
        kept: Which weights are in its folder, and why: `step`, `reason`; empty while it is not finished.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    samples: Sequence[Mapping[str, Any]] = ()
    kept: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seed(self) -> Any:
        return self.config.get("training", {}).get("seed")

    @property
    def fields(self) -> dict[str, Any]:
        """All fields but those in which runs of one configuration differ."""
        return {
            name: value for group in self.config.values() for name, value in group.items() if name not in _OF_ONE_RUN
        }


@dataclass(frozen=True)
class RunGroup:
    """Runs of one configuration but for the seed."""

    label: str
    runs: Sequence[Run]


def load_run(folder: Path) -> Run:
    """Reads a run's folder, finished or not.

    Raises:
        DataError: It holds no run, no logged step, or a file that cannot be read.
    """
    if not (folder / RUN_FILE).is_file():
        raise DataError(f"{folder}: no run's folder, it has no {RUN_FILE}; give an output_dir of spine train")
    config = _read_object(folder / RUN_FILE)
    rows = [row for row in _read_metrics(folder / METRICS_FILE) if "vote/majority_ratio" in row]
    if not rows:
        raise DataError(f"{folder}: no step is logged yet in {METRICS_FILE}; wait for the first one")
    return Run(
        folder.resolve().name,
        rows,
        _take_objects(config, folder / RUN_FILE),
        _take_object(config, "versions", folder / RUN_FILE),
        _read_samples(folder / SAMPLES_FILE),
        _take_kept(config, folder / RUN_FILE),
    )


def group_runs(runs: Iterable[Run]) -> list[RunGroup]:
    """Groups in order of first appearance, named by what sets them apart; runs without a configuration stay alone."""
    members: dict[str, list[Run]] = {}
    for run in runs:
        key = json.dumps(run.fields, sort_keys=True, default=str) if run.config else f"{run.name} {len(members)}"
        members.setdefault(key, []).append(run)
    groups = list(members.values())
    return [RunGroup(_label(group, groups), group) for group in groups]


def _label(group: Sequence[Run], groups: Sequence[Sequence[Run]]) -> str:
    names = [name for name in group[0].fields if len({str(other[0].fields.get(name)) for other in groups}) > 1]
    if len(groups) == 1 or not names or len(names) > 3:
        label = group[0].name
    else:
        label = ", ".join(f"{name}={group[0].fields[name]}" for name in names)
    return f"{label} ({len(group)} seeds)" if len(group) > 1 else label


def _read_object(path: Path) -> dict[str, Any]:
    content = parse_json(str(path), read_text(path), halves=True)
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected an object; mend or remove it")
    return content


def _take_object(content: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    """A field that is an object, empty where it is missing."""
    value = content.get(name) or {}
    if not isinstance(value, dict):
        raise DataError(f"{path}: {name} must be an object, got {describe_kind(value)}; mend or remove it")
    return value


def _take_objects(content: Mapping[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    groups = _take_object(content, "resolved", path)
    return {name: _take_object(groups, name, path) for name in groups}


def _take_kept(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    kept = _take_object(_take_object(content, "finished", path), "kept", path)
    if kept and not (isinstance(kept.get("step"), int) and isinstance(kept.get("reason"), str)):
        raise DataError(f"{path}: kept must say a step and a reason; mend or remove it")
    return kept


def _read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where a row of a JSONL file stands, and the row; none if there is no file. A last line that a running process is
    still writing is left."""
    if not path.is_file():
        return
    for where, line in read_lines(path):
        if not line.endswith("\n"):
            return
        row = parse_json(where, line, halves=True)
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            raise DataError(f"{where}: not a row of a run, it has no step; mend or remove the line")
        yield where, row


def _read_metrics(path: Path) -> list[dict[str, Any]]:
    """Logged steps, without what is not finite, as earlier versions wrote it; raises DataError at what is no number."""
    rows = []
    for where, row in _read_rows(path):
        wrong = next((name for name, value in row.items() if not _is_number(value)), None)
        if wrong is not None:
            got = describe_kind(row[wrong])
            raise DataError(f"{where}: {wrong} must be a number, got {got}; mend or remove the line")
        rows.append({name: value for name, value in row.items() if _is_finite(value)})
    return rows


def _read_samples(path: Path) -> list[dict[str, Any]]:
    """Raises DataError where one has not what a page shows of it."""
    rows = []
    for where, row in _read_rows(path):
        if not _is_sample(row):
            raise DataError(f"{where}: not a sample of a run; mend or remove the line")
        rows.append(row)
    return rows


def _is_sample(row: Row) -> bool:
    tokens, entropies, forks, band = (row.get(name) for name in ("tokens", "entropies", "forks", "band"))
    if not (isinstance(tokens, list) and isinstance(entropies, list) and isinstance(forks, list)):
        return False
    return (
        len(tokens) == len(entropies)
        and all(isinstance(text, str) for text in (row.get("prompt"), *tokens))
        and all(_is_number(value) and _is_finite(value) for value in (row.get("advantage"), *entropies, *forks))
        and (band is None or (isinstance(band, list) and len(band) == 2 and all(map(_is_number, band))))
    )


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(value: float) -> bool:
    """Of what Python can draw: an integer of hundreds of digits is no `float`."""
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 2**63
