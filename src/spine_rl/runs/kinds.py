"""What this program writes, and how it is told from what others wrote: nothing else is ever replaced or removed."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

GENERATOR = "spine-rl"  # what pages and charts say of themselves
_HEAD = 4096  # bytes within which they say it


@dataclass(frozen=True)
class Kind:
    """A kind of file or folder.

    Attributes:
        name: With its article, for messages.
        is_ours: Whether a file or folder that is there is of this kind.
        list_own: Of a folder, what is there that this program made, but for the mark; None of a file.
        mark: Of a folder, the file by which it is known. It is never removed, but replaced, so that a folder that is
            being emptied is still ours when the process dies.
    """

    name: str
    is_ours: Callable[[Path], bool]
    list_own: Callable[[Path], list[Path]] | None = None
    mark: str = ""


def json_kind(name: str, *fields: str) -> Kind:
    """A JSON object that has these fields."""
    return Kind(name, lambda path: _has_fields(_read_json(path, whole=True), fields))


def rows_kind(name: str, *fields: str, **values: Any) -> Kind:
    """JSON objects, one a line, of which the first has these fields, and these values."""

    def is_ours(path: Path) -> bool:
        row = _read_json(path, whole=False)
        return _has_fields(row, (*fields, *values)) and values.items() <= row.items()

    return Kind(name, is_ours)


def folder_kind(name: str, mark: str, patterns: Sequence[str]) -> Kind:
    """A folder that has a file named `mark`; what else is ours in it has names of these patterns."""

    def list_own(folder: Path) -> list[Path]:
        return sorted(set(chain.from_iterable(folder.glob(pattern) for pattern in patterns)))

    return Kind(name, lambda folder: (folder / mark).is_file(), list_own, mark)


def _begins_with(*parts: str) -> Callable[[Path], bool]:
    def is_ours(path: Path) -> bool:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        return any(part.encode() in head for part in parts)

    return is_ours


PAGE = Kind("a page of spine", _begins_with(f'name="generator" content="{GENERATOR}'))
CHART = Kind("a chart of spine", _begins_with(f"Software\0{GENERATOR}", f"<dc:title>{GENERATOR}"))


def _has_fields(content: Any, fields: Sequence[str]) -> bool:
    return isinstance(content, dict) and all(field in content for field in fields)


def _read_json(path: Path, *, whole: bool) -> Any:
    try:
        with path.open(encoding="utf-8") as file:
            return json.loads(file.read() if whole else file.readline())
    except (OSError, ValueError, RecursionError):
        return None
