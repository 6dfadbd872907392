"""Completions from any system, streamed: one a row, or all of a problem's in a row."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from spine_rl.answers import canonical_key, extract_answer
from spine_rl.errors import DataError
from spine_rl.problems.text_file import check_kind, parse_json
from spine_rl.problems.values import read_answer_type, read_id, read_options
from spine_rl.voting import Key


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

    def read(self, answer_type: str, options: tuple[str, ...]) -> tuple[str | None, Key]:
        """Its answer, as it is written and as votes and grades compare it; None where it has none."""
        text = extract_answer(self.text, answer_type, options, complete=not self.truncated)
        return text, None if text is None else canonical_key(text, answer_type, options)


def read_completions(source: str) -> Iterator[Completion]:
    """Completions of a JSONL file or pipe, or of standard input for `-`, one line in memory at a time.

    A row has `id` and `completion` (text), or `id` and `completions` (a list of texts); further `options`,
    `answer_type`, `truncated` or `finish_reason` ("length"), and `weight` or `weights`. A list of one of the last four
    has an entry a completion; anything else holds for each.

    Raises:
        DataError: Naming file, line and remedy.
    """
    if source == "-":
        if isinstance(sys.stdin, TextIOWrapper):  # whatever the terminal's encoding
            sys.stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape")
        yield from _read_lines("standard input", sys.stdin)
        return
    path = Path(source)
    if not path.exists():
        raise DataError(f"{source}: no such file; check the path, or give - for standard input")
    if path.is_dir():
        raise DataError(f"{source} is a folder; give a file of completions in it")
    if path.is_file():  # what is a pipe is read once
        check_kind(path)
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
        yield from _read_lines(source, lines)


def dump(row: dict[str, Any]) -> str:
    """A line of JSON; ASCII, so that no byte of a completion can harm a terminal or a file."""
    return json.dumps(row) + "\n"


def _read_lines(name: str, lines: TextIO) -> Iterator[Completion]:
    empty = True
    for number, line in enumerate(lines, start=1):
        if line.strip():
            empty = False
            yield from _read_row(f"{name}, line {number}", line)
    if empty:
        raise DataError(f"{name}: no rows; give lines with id and completion")


def _read_row(where: str, line: str) -> Iterator[Completion]:
    row = parse_json(where, line, halves=True)
    if not isinstance(row, dict) or "id" not in row or not {"completion", "completions"} & row.keys():
        raise DataError(f"{where}: expected an object with id and completion (or completions); mend or remove the line")
    if "completions" in row and row.get("completion") is not None:
        raise DataError(f"{where}: both completion and completions; give one of them")
    texts = row["completions"] if "completions" in row else [row["completion"]]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where}: completion must be text, completions a list of texts")
    if not texts:
        raise DataError(f"{where}: completions is empty; give at least one, or remove the line")
    problem_id, options, answer_type = read_id(where, row, "id"), read_options(where, row), read_answer_type(where, row)
    cuts, weights = _read_truncated(where, row, len(texts)), _read_weights(where, row, len(texts))
    for text, cut, weight in zip(texts, cuts, weights, strict=True):
        yield Completion(problem_id, text, options, answer_type, cut, weight)


def _read_truncated(where: str, row: dict[str, Any], count: int) -> list[bool | None]:
    if row.get("truncated") is not None:
        truncated = _spread(where, row["truncated"], count)
        for cut in truncated:
            if cut is not None and not isinstance(cut, bool):
                raise DataError(f"{where}: truncated must be true, false or null, got {cut!r}")
        return truncated
    reasons = _spread(where, row.get("finish_reason"), count)
    for reason in reasons:
        if reason is not None and not isinstance(reason, str):
            raise DataError(f"{where}: finish_reason must be text or null, got {reason!r}")
    return [None if reason is None else reason == "length" for reason in reasons]


def _read_weights(where: str, row: dict[str, Any], count: int) -> list[float | None]:
    weights = _spread(where, row.get("weights", row.get("weight")), count)
    for weight in weights:
        if weight is None:
            continue
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise DataError(f"{where}: a weight must be a number of at least 0, got {weight!r}")
    return weights


def _spread(where: str, value: Any, count: int) -> list[Any]:
    """One value a completion: a list as it is, anything else for each."""
    if not isinstance(value, list):
        return [value] * count
    if len(value) != count:
        raise DataError(f"{where}: {count} completions, but a list of {len(value)} beside them")
    return value
