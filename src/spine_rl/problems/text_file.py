"""Text and JSON of files that others wrote: what cannot be read is said in one line, with its place."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spine_rl.errors import DataError

# What files of another kind begin with, the longest first.
_BEGINNINGS = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"PK\x03\x04": "a spreadsheet or a ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet",
    b"PAR1": "Parquet",
    b"SQLite format": "a database",
}
_MAYBE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_text(path: Path) -> str:
    """A whole file, without its byte order mark.

    Raises:
        DataError: It is not UTF-8; with the byte that is not.
    """
    check_kind(path)
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _describe_encoding(path, data) from None


class _TwiceError(Exception):
    """A key stands twice in an object."""


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Where a line stands, and the line, one in memory at a time; as `read_text`."""
    check_kind(path)
    with path.open(encoding="utf-8-sig", newline="\n") as lines:
        try:
            for number, line in enumerate(lines, start=1):
                yield f"{path}, line {number}", line
        except UnicodeDecodeError:
            raise _describe_encoding(path, path.read_bytes()) from None


def check_kind(path: Path) -> None:
    """Refuses what is no text, or no UTF-8, by how it begins: "byte 1 is 0x8b" tells nobody that a file is compressed.

    Raises:
        DataError: With what it looks like.
    """
    with path.open("rb") as file:
        start = file.read(64)
    kind = next((kind for beginning, kind in _BEGINNINGS.items() if start.startswith(beginning)), None)
    if kind is None and b"\0" in (start[:1], start[1:2]):
        kind = "UTF-16"
    if kind is not None:
        remedy = "save it as UTF-8" if kind.startswith("UTF") else "give the text that it was made of"
        raise DataError(f"{path}: not UTF-8 text (it looks like {kind}); {remedy}")


def parse_json(where: str, text: str, *, halves: bool = False) -> Any:
    """A JSON value.

    Args:
        where: Where the text stands.
        text: The text.
        halves: Whether half a character may stand alone, as models write them.

    Raises:
        DataError: It is none, holds what Python cannot hold, or text that is none.
    """
    try:
        value = json.loads(text, object_pairs_hook=_build_object)
        if not halves and _MAYBE_SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except _TwiceError as error:
        raise DataError(f"{where}: the key {str(error)!r} stands twice in one object; remove one") from None
    except json.JSONDecodeError as error:
        place = where if "\n" not in text.rstrip("\n") else f"{where}, line {error.lineno}"
        raise DataError(f"{place}: not valid JSON ({error.msg}, column {error.colno}); mend or remove it") from None
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])
        raise DataError(f"{where}: {half} is half of a character, which is no text; mend or remove it") from None
    except ValueError:  # Python's own bound, against numbers that take for ever
        raise DataError(f"{where}: an integer of thousands of digits; write it as text, or remove it") from None
    except RecursionError:
        raise DataError(f"{where}: not valid JSON (nested too deep); mend or remove it") from None
    return value


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values of one key the last would win, unsaid."""
    built = dict(pairs)
    if len(built) < len(pairs):
        raise _TwiceError(next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1))
    return built


def _describe_encoding(path: Path, data: bytes) -> DataError:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"byte {error.start} is 0x{data[error.start]:02x}"
        return DataError(f"{path}, line {line}: not UTF-8 text ({what}); save it as UTF-8")
    return DataError(f"{path}: not UTF-8 text, or changed while it was read; save it as UTF-8")


def describe_kind(value: Any) -> str:
    """What a JSON file calls it."""
    if value is None:
        return "null"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    names = {bool: "true or false", str: "text", int: "a number", float: "a number", dict: "an object"}
    return names.get(type(value), "a list" if isinstance(value, list | tuple) else type(value).__name__)
