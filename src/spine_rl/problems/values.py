"""Cells of a row that say which problem it is, how its answer is read, and what the gold answer is."""

import math
from typing import Any

from spine_rl.answers import ANSWER_TYPES
from spine_rl.answers.letters import LETTERS
from spine_rl.errors import DataError, suggest_nearest
from spine_rl.problems.read import Row
from spine_rl.problems.text_file import describe_kind

ID_COLUMNS = ("id", "problem_id", "unique_id", "pubid")


def get_cell(where: str, row: Row, column: str, option: str) -> Any:
    """A cell, whatever it holds.

    Raises:
        DataError: There is no such column; with the option that named it and the nearest name.
    """
    if column not in row:
        hint = suggest_nearest(column, row, f"name one with {option}")
        raise DataError(f"{where}: no column {column!r} ({option}); it has {list_columns(row)}; {hint}")
    return row[column]


def list_columns(row: Row) -> str:
    return ", ".join(map(str, row)) or "no columns"


def find_id_column(row: Row) -> str | None:
    """The first of `ID_COLUMNS` that a row has; None where it has none, and rows are numbered."""
    return next((name for name in ID_COLUMNS if name in row), None)


def read_id(where: str, row: Row, column: str) -> str:
    """Raises DataError where it is no text and no number, or empty: rows of different problems would share it."""
    value = get_cell(where, row, column, "id_column")
    if _says_nothing(value) or isinstance(value, bool) or not str(value).strip():
        got = "an empty one" if isinstance(value, str) else describe_kind(value)
        raise DataError(f"{where}: {column} must be text or a number, got {got}; give each problem its own")
    return str(value)


def _says_nothing(value: Any) -> bool:
    """Whether a cell has no text of its own: as text, `null`, `NaN`, bytes and lists would be the words for them."""
    if isinstance(value, float):
        return not math.isfinite(value)
    return value is None or isinstance(value, bytes | list | tuple | dict)


def read_options(where: str, row: Row) -> tuple[str, ...]:
    """Texts of the options, in the order of their letters.

    Raises:
        DataError: They are neither a list nor an object from the first letters, or more than there are letters, or one
            is no text.
    """
    options = row.get("options")
    if isinstance(options, dict):
        options = _order_options(where, options)
    if options is None or options == "":  # an empty cell of a CSV
        return ()
    if not isinstance(options, list | tuple):
        raise DataError(
            f"{where}: options must be a list of texts, or an object from letters to texts, got "
            f"{describe_kind(options)}; write them so, in a .jsonl file"
        )
    if len(options) > len(LETTERS):
        raise DataError(f"{where}: {len(options)} options; letters A to {LETTERS[-1]} are read, leave some out")
    wrong = next((option for option in options if _says_nothing(option)), "")
    if wrong != "":
        raise DataError(f"{where}: an option must be text or a number, got {describe_kind(wrong)}; write it as text")
    return tuple(map(str, options))


def _order_options(where: str, options: dict[Any, Any]) -> list[Any]:
    """Those of an object from letters; a null is the option that another row of the same table has more."""
    there = sorted((str(letter).strip().upper(), text) for letter, text in options.items() if text is not None)
    letters = "".join(letter for letter, _ in there)
    if not LETTERS.startswith(letters):
        named = ", ".join(map(str, options))
        raise DataError(f"{where}: options are named {named}; name them by the first letters, from A on")
    return [text for _, text in there]


def read_answer_type(where: str, row: Row) -> str | None:
    """Raises DataError where there is no such type."""
    answer_type = row.get("answer_type")
    if answer_type == "":  # an empty cell of a CSV
        return None
    if answer_type is not None and answer_type not in ANSWER_TYPES:
        raise DataError(f"{where}: answer_type {answer_type!r} must be one of {', '.join(ANSWER_TYPES)}")
    return answer_type


def read_gold(where: str, row: Row, column: str) -> str:
    """The gold answer as text; empty where the cell is.

    Raises:
        DataError: It is several: a problem has one, and a list as text would never be right; nor would `True`, `nan` or
            `b'4'`.
    """
    value = get_cell(where, row, column, "gold_column")
    if isinstance(value, list | tuple | dict):
        got = describe_kind(value)
        raise DataError(f"{where}: {column} must be one gold answer, got {got}; choose one, or write them as one text")
    if value is not None and (isinstance(value, bool) or _says_nothing(value)):
        raise DataError(f"{where}: {column} must be text or a number, got {describe_kind(value)}; write it as text")
    return "" if value is None else str(value)
