"""An evaluation's folder: how its responses were drawn, the responses, and the report; made to be interrupted.

- `settings.json`: model, data, decoding, seed, versions, written first; an evaluation goes on only with the same
- `greedy.jsonl`, `samples.jsonl`: a row a response (`ResponseRow`), appended batch by batch; `spine grade` reads them
- `evaluation.json`: the report, written last; with it the evaluation is finished
- of an evaluation in shards (`shards`) a folder has a part of the rows, and no report
- `baseline/`: the other model's evaluation, where one was drawn beside it
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spine_rl.errors import DataError, RunFolderError, show_setting
from spine_rl.problems.text_file import read_lines
from spine_rl.runs.kinds import folder_kind, json_kind
from spine_rl.runs.may_write import Output, check_may_write, remove_own
from spine_rl.runs.whole_file import naming, write_whole

SETTINGS_FILE, GREEDY_FILE, SAMPLES_FILE, REPORT_FILE = (
    "settings.json",
    "greedy.jsonl",
    "samples.jsonl",
    "evaluation.json",
)
BASELINE_FOLDER = "baseline"
_ROWS_AND_REPORT = (GREEDY_FILE, SAMPLES_FILE, REPORT_FILE)
EVALUATION = folder_kind(
    "an evaluation",
    SETTINGS_FILE,
    (*_ROWS_AND_REPORT, *(f"{BASELINE_FOLDER}/{name}" for name in (*_ROWS_AND_REPORT, SETTINGS_FILE))),
)
REPORT = json_kind("a report of spine eval", "n_problems", "settings")
_SETTINGS = {
    "model": str,
    "problems": dict,
    "prompt": dict,
    "decoding": dict,
    "num_samples": int,
}  # of every evaluation
_ROW = {"id": str, "sample": int, "completion": str, "num_tokens": int, "truncated": bool}
COMPARISON = "comparison"  # of the settings, the part that does not decide which responses are drawn
SHARD = "shard"  # of the settings, where the folder holds a part of an evaluation: `2/4`


@dataclass(frozen=True)
class ResponseRow:
    """A response as it is kept.

    Attributes:
        id: The problem's.
        sample: Its number among the problem's samples, from 0.
        completion: Its text.
        num_tokens: Its length, the end token included.
        truncated: Whether it ran into the length limit.
        entropy: Mean nats a token at the sampling temperature; None where it was not measured.
    """

    id: str
    sample: int
    completion: str
    num_tokens: int
    truncated: bool
    entropy: float | None = None


@dataclass(frozen=True)
class Recorded:
    """A model's responses to a problem set, in the problems' order, and the settings they were drawn with."""

    settings: Mapping[str, Any]
    greedy: list[ResponseRow]
    samples: list[list[ResponseRow]]


def claim_folder(folder: Path, settings: Mapping[str, Any], *, overwrite: bool = False, again: bool = False) -> None:
    """Opens a folder for an evaluation with these settings: fresh, interrupted, or finished (`again`).

    Raises:
        RunFolderError: It holds a finished evaluation, one with other settings, or something else.
    """
    check_may_write([Output(folder, EVALUATION, goes_on=True)], overwrite=overwrite)
    if EVALUATION.is_ours(folder):
        if overwrite:
            remove_own(folder, EVALUATION)
            with suppress(OSError):  # there is none, or something of another's is in it
                (folder / BASELINE_FOLDER).rmdir()
        elif (folder / REPORT_FILE).exists() and not again:
            raise RunFolderError(f"{folder} already holds an evaluation; give another --out, or --overwrite")
        elif any((folder / name).exists() for name in (GREEDY_FILE, SAMPLES_FILE)):
            _check_same(folder, settings)
    write_whole(folder / SETTINGS_FILE, json.dumps(settings, indent=2) + "\n")


def read_settings(folder: Path) -> dict[str, Any]:
    """Raises DataError where there is no evaluation."""
    try:
        settings = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        settings = None
    if not (isinstance(settings, dict) and all(isinstance(settings.get(key), kind) for key, kind in _SETTINGS.items())):
        raise DataError(f"{folder}: no evaluation, {SETTINGS_FILE} cannot be read; give a folder that spine eval wrote")
    return settings


def first_difference(before: Any, now: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """The first field in which two settings differ, with both values; nested fields are joined by dots."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys((*before, *now)):
            found = first_difference(before.get(key), now.get(key), f"{name}.{key}".lstrip("."))
            if found is not None:
                return found
        return None
    return None if before == now else (name, before, now)


def _check_same(folder: Path, settings: Mapping[str, Any]) -> None:
    before, now = (
        {name: value for name, value in fields.items() if name != COMPARISON}
        for fields in (read_settings(folder), settings)
    )
    difference = first_difference(before, now)
    if difference is not None:
        name, was, is_now = difference
        raise RunFolderError(
            f"{folder} holds an interrupted evaluation with another {name} ({show_setting(was)} before, "
            f"{show_setting(is_now)} now); give the same to go on with it, another --out, or --overwrite"
        )


def keep_whole_batches(path: Path, batch_size: int, num_rows: int) -> int:
    """Drops what an interruption left of a batch, so that it is drawn again whole; returns the rows that stay."""
    if not path.exists():
        return 0
    with naming(path), path.open("r+b") as file:
        ends = [0]
        for line in file:
            if line.endswith(b"\n"):
                ends.append(ends[-1] + len(line))
        done = len(ends) - 1
        kept = done if done >= num_rows else done - done % batch_size
        file.truncate(ends[kept])
    return kept


def append_responses(path: Path, records: Sequence[ResponseRow]) -> None:
    """All of them or, where the disk is full, an end that `keep_whole_batches` drops."""
    with naming(path), path.open("a", encoding="utf-8", newline="\n") as file:
        file.write("".join(json.dumps(asdict(record)) + "\n" for record in records))


def load_recorded(folder: Path, problem_ids: Sequence[str]) -> Recorded:
    """Reads an evaluation's responses to these problems.

    Raises:
        DataError: There is no evaluation, or it has not as many responses to each problem as its settings say.
    """
    settings = read_settings(folder)
    if SHARD in settings:
        raise DataError(f"{folder}: shard {settings[SHARD]} of an evaluation; merge all of them with --merge first")
    greedy = _read_rows(folder / GREEDY_FILE, problem_ids, 1)
    return Recorded(
        settings, [row[0] for row in greedy], _read_rows(folder / SAMPLES_FILE, problem_ids, settings["num_samples"])
    )


def _read_rows(path: Path, problem_ids: Sequence[str], num_samples: int) -> list[list[ResponseRow]]:
    rows: dict[str, list[ResponseRow]] = {problem_id: [] for problem_id in problem_ids}
    try:
        for where, line in read_lines(path):
            record = _read_row(where, line)
            if record.id not in rows:
                raise DataError(f"{where}: problem {record.id!r} is not in the data; give its --data")
            rows[record.id].append(record)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); finish the evaluation first") from None
    for problem_id, records in rows.items():
        records.sort(key=lambda record: record.sample)
        if len(records) != num_samples:
            raise DataError(
                f"{path}: {len(records)} responses to problem {problem_id!r}, {num_samples} expected; finish the "
                "evaluation with the command that began it, or give the --data (and --limit) that it was of"
            )
    return list(rows.values())


def _read_row(where: str, line: str) -> ResponseRow:
    try:
        record = ResponseRow(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        record = None
    if record is None or not all(isinstance(getattr(record, name), kind) for name, kind in _ROW.items()):
        raise DataError(f"{where}: not a response of spine eval; mend or remove the evaluation")
    return record
