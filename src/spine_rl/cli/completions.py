"""Completions from any system, streamed: one a row, or all of a problem's in a row."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from spine_rl.answers import ANSWER_TYPES
from spine_rl.errors import DataError, RunFolderError


@dataclass(frozen=True)
class Completion:
    """A completion as its row has it.

    Attributes:
        problem_id: Its problem's.
        text: What was generated.
        options: Texts of the problem's options, if the row has them.
        answer_type: The problem's, if the row has it.
        truncated: Whether the length limit cut it off; None if the row does not say.
        weight: Of its vote; None if the row does not say.
    """

    problem_id: str
    text: str
    options: tuple[str, ...]
    answer_type: str | None
    truncated: bool | None
    weight: float | None


def read_completions(source: str) -> Iterator[Completion]:
    """Completions of a JSONL file, or of standard input for `-`, one line in memory at a time.

    A row has `id` and `completion` (text), or `id` and `completions` (a list of texts); further `options`,
    `answer_type`, `truncated` or `finish_reason` ("length"), and `weight` or `weights`.

    Raises:
        DataError: Naming file, line and remedy.
    """
    if source == "-":
        yield from _read_lines("standard input", sys.stdin)
        return
    path = Path(source)
    if not path.is_file():
        raise DataError(f"{source}: no such file; check the path, or give - for standard input")
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
        yield from _read_lines(source, lines)


def check_writable(path: Path | None, *, overwrite: bool) -> None:
    """Makes the file's folder, before there is work to lose.

    Raises:
        RunFolderError: There is something that must not be overwritten, or the folder cannot be made.
    """
    if path is None:
        return
    if path.exists() and not overwrite:
        raise RunFolderError(f"{path} exists; give another name or --overwrite")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"{path.parent}: cannot be made ({error.strerror}); give another name") from None


def dump(row: dict[str, Any]) -> str:
    """A line of JSON; ASCII, so that no byte of a completion can harm a terminal or a file."""
    return json.dumps(row) + "\n"


def read_format(place: str, row: dict[str, Any]) -> tuple[tuple[str, ...], str | None]:
    """A row's options, in the order of their letters, and its answer type.

    Raises:
        DataError: They are not what they should be.
    """
    options, answer_type = row.get("options"), row.get("answer_type")
    if isinstance(options, dict):
        options = [text for _, text in sorted(options.items())]
    if options is not None and not isinstance(options, list | tuple):
        raise DataError(f"{place}: options must be a list of texts, or an object from letters to texts")
    if answer_type is not None and answer_type not in ANSWER_TYPES:
        raise DataError(f"{place}: answer_type {answer_type!r} must be one of {', '.join(ANSWER_TYPES)}")
    return tuple(map(str, options or ())), answer_type


def _read_lines(name: str, lines: TextIO) -> Iterator[Completion]:
    empty = True
    for number, line in enumerate(lines, start=1):
        if line.strip():
            empty = False
            yield from _read_row(f"{name}, line {number}", line)
    if empty:
        raise DataError(f"{name}: no rows; give lines with id and completion")


def _read_row(place: str, line: str) -> Iterator[Completion]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not valid JSON ({type(error).__name__}); mend or remove the line") from None
    if not isinstance(row, dict) or "id" not in row or not {"completion", "completions"} & row.keys():
        raise DataError(f"{place}: expected an object with id and completion (or completions); mend or remove the line")
    texts = row["completions"] if "completions" in row else [row["completion"]]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{place}: completion must be text, completions a list of texts")
    options, answer_type = read_format(place, row)
    truncated = row.get("truncated", row["finish_reason"] == "length" if "finish_reason" in row else None)
    weights = _read_weights(place, row, len(texts))
    for text, weight, cut in zip(texts, weights, _spread(place, truncated, len(texts)), strict=True):
        yield Completion(str(row["id"]), text, options, answer_type, None if cut is None else bool(cut), weight)


def _read_weights(place: str, row: dict[str, Any], count: int) -> list[float | None]:
    weights = _spread(place, row.get("weights", row.get("weight")), count)
    for weight in weights:
        if weight is not None and (not isinstance(weight, int | float) or not 0 <= weight < float("inf")):
            raise DataError(f"{place}: a weight must be a number of at least 0, got {weight!r}")
    return weights


def _spread(place: str, value: Any, count: int) -> list[Any]:
    """One value a completion: a list as it is, anything else for each."""
    if not isinstance(value, list):
        return [value] * count
    if len(value) != count:
        raise DataError(f"{place}: {count} completions, but a list of {len(value)} beside them")
    return value
