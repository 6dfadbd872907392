"""Text and JSON of files that others wrote: what cannot be read is said in one line, with its place."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spine_rl.errors import DataError

_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_MAYBE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_text(path: Path) -> str:
    """A whole file, without its byte order mark.

    Raises:
        DataError: It is not UTF-8; with the byte that is not.
    """
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _describe_encoding(path, data) from None


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Where a line stands, and the line, one in memory at a time; as `read_text`."""
    with path.open(encoding="utf-8-sig", newline="\n") as lines:
        try:
            for number, line in enumerate(lines, start=1):
                yield f"{path}, line {number}", line
        except UnicodeDecodeError:
            raise _describe_encoding(path, path.read_bytes()) from None


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
        value = json.loads(text)
        if not halves and _MAYBE_SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
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


def _describe_encoding(path: Path, data: bytes) -> DataError:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        guess = _BOMS.get(data[:2], "")
        what = f"it looks like {guess}" if guess else f"byte {error.start} is 0x{data[error.start]:02x}"
        return DataError(f"{path}, line {line}: not UTF-8 text ({what}); save it as UTF-8")
    return DataError(f"{path}: not UTF-8 text, or changed while it was read; save it as UTF-8")
