"""Cells of a row that say which problem it is, how its answer is read, and what the gold answer is."""

import math
from typing import Any

from spine_rl.answers import ANSWER_TYPES
from spine_rl.errors import DataError, suggest_nearest
from spine_rl.problems.read import Row

ID_COLUMNS = ("id", "problem_id", "unique_id", "pubid")


def get_cell(where: str, row: Row, column: str, option: str) -> Any:
    """A cell, whatever it holds.

    Raises:
        DataError: There is no such column; with the option that named it and the nearest name.
    """
    if column not in row:
        raise DataError(
            f"{where}: no column {column!r} ({option}); it has {list_columns(row)}; {suggest_nearest(column, row)}"
        )
    return row[column]


def list_columns(row: Row) -> str:
    return ", ".join(map(str, row)) or "no columns"


def find_id_column(row: Row) -> str | None:
    """The first of `ID_COLUMNS` that a row has; None where it has none, and rows are numbered."""
    return next((name for name in ID_COLUMNS if name in row), None)


def read_id(where: str, row: Row, column: str) -> str:
    """Raises DataError where it is neither text nor a number: rows of different problems would share it."""
    value = get_cell(where, row, column, "id_column")
    if value is None or isinstance(value, bool | list | tuple | dict):
        raise DataError(
            f"{where}: {column} must be text or a number, got {_describe(value)}; give each problem its own"
        )
    return str(value)


def read_options(where: str, row: Row) -> tuple[str, ...]:
    """Texts of the options, in the order of their letters.

    Raises:
        DataError: They are neither a list nor an object.
    """
    options = row.get("options")
    if isinstance(options, dict):
        options = [text for _, text in sorted(options.items())]
    if options is None:
        return ()
    if not isinstance(options, list | tuple):
        raise DataError(
            f"{where}: options must be a list of texts, or an object from letters to texts, got {_describe(options)}"
        )
    return tuple(map(str, options))


def read_answer_type(where: str, row: Row) -> str | None:
    """Raises DataError where there is no such type."""
    answer_type = row.get("answer_type")
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
    if isinstance(value, bool | bytes) or (isinstance(value, float) and not math.isfinite(value)):
        raise DataError(f"{where}: {column} must be text or a number, got {_describe(value)}; write it as text")
    if isinstance(value, list | tuple | dict):
        raise DataError(
            f"{where}: {column} must be one gold answer, got {_describe(value)}; choose one, or write them as one text"
        )
    return "" if value is None else str(value)


def _describe(value: Any) -> str:
    """What a JSON file calls it."""
    if value is None:
        return "null"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    names = {bool: "true or false", str: "text", int: "a number", float: "a number", dict: "an object"}
    return names.get(type(value), "a list" if isinstance(value, list | tuple) else type(value).__name__)
