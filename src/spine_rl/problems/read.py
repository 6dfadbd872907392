"""Rows of a data file or a hub data set; what cannot be read is reported with its row."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spine_rl.errors import DataError, shorten
from spine_rl.problems.text_file import describe_kind, parse_json, read_lines, read_text

Row = dict[str, Any]
_CSV_REASONS = {  # in words, where the library's are about its own use
    "end of data": "a quote is not closed",
    "new-line character": "lines end in a carriage return alone",
}
_OTHER_COMMA = re.compile(r"[;\t|]")
csv.field_size_limit(2**31 - 1)  # a cell may hold a picture; more than this no platform takes


def read_rows(source: str, split: str | None = None, revision: str | None = None) -> Iterator[tuple[str, Row]]:
    """Rows of a `.jsonl`, `.json`, `.csv` or `.parquet` file, or of a data set of the hub.

    Args:
        source: A path, or a hub id such as `openai/gsm8k`, with `:config` after it where it has several.
        split: Of a hub data set.
        revision: Of a hub data set; by default its newest.

    Yields:
        Where a row stands, for messages, and the row.

    Raises:
        DataError: It is missing, empty, or not what its name says.
    """
    path = Path(source)
    reader = _READERS.get(path.suffix.lower())
    if reader is not None:
        if split is not None:
            raise DataError(f"{source}: a file has no splits; leave split={split!r} out, or give a hub data set")
        if path.is_dir():
            raise DataError(f"{source} is a folder; give a file in it")
        if not path.is_file():
            raise DataError(f"{source}: no such file; check the path (now in {Path.cwd()})")
        rows = reader(path)
    elif path.is_dir():
        raise DataError(f"{path} is a folder; give a file in it")
    elif path.exists():
        raise DataError(f"{source}: unknown kind of file; use {', '.join(_READERS)} or a hub data set id")
    elif is_path(source):
        raise DataError(f"{source}: no such file; check the path (now in {Path.cwd()})")
    else:
        rows = _read_hub(source, split, revision)
    empty = True
    for where, row in rows:
        empty = False
        if not isinstance(row, dict):
            raise DataError(f"{where}: expected an object with columns, got {describe_kind(row)}; give one a row")
        yield where, row
    if empty:
        raise DataError(f"{source}: no rows; give a file with at least one problem")


def is_path(source: str) -> bool:
    """Whether a source that is not there can be no name of the hub."""
    return source.startswith(("-", ".", "/", "~")) or source.partition(":")[0].count("/") > 1


def _read_jsonl(path: Path) -> Iterator[tuple[str, Row]]:
    for where, line in read_lines(path):
        if line.strip():
            try:
                row = parse_json(where, line)
            except DataError as error:
                if line.strip() not in ("[", "[{"):
                    raise
                raise DataError(f"{where}: a list over several lines; for a list of objects name it .json") from error
            yield where, row


def _read_json(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        rows = parse_json(str(path), read_text(path))
    except DataError as error:
        if "Extra data" not in str(error):
            raise
        raise DataError(f"{path}: several JSON values; for one object a line name it .jsonl") from error
    if not isinstance(rows, list):
        raise DataError(f"{path}: expected a JSON list of objects; for one object a line name it .jsonl")
    for number, row in enumerate(rows, start=1):
        yield f"{path}, item {number}", row


def _read_csv(path: Path) -> Iterator[tuple[str, Row]]:
    """Quotes that are not closed would swallow rows, and of two columns of one name the last would win: both raise."""
    reader = csv.DictReader((line for _, line in read_lines(path)), strict=True)
    try:
        if reader.fieldnames == []:
            raise DataError(f"{path}, line 1: an empty line; begin with the names of the columns")
        twice = [name for name, count in Counter(reader.fieldnames or ()).items() if count > 1]
        if twice:
            raise DataError(f"{path}, line 1: the column {twice[0]!r} stands twice; rename one")
        if len(reader.fieldnames or ()) == 1 and (other := _OTHER_COMMA.search((reader.fieldnames or "")[0])):
            raise DataError(f"{path}, line 1: columns are parted by {other.group()!r}; save it with commas")
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if None in row or None in row.values():
                raise DataError(f"{where}: {len(reader.fieldnames or ())} columns expected; mend or remove the line")
            yield where, row
    except csv.Error as error:
        reason = next((words for part, words in _CSV_REASONS.items() if part in str(error)), str(error))
        raise DataError(f"{path}, line {reader.line_num}: not valid CSV ({reason}); mend the line") from None


def _read_parquet(path: Path) -> Iterator[tuple[str, Row]]:
    import pyarrow
    import pyarrow.parquet

    try:
        batches = pyarrow.parquet.ParquetFile(path).iter_batches()  # so that the first rows of a large file come soon
        for number, row in enumerate((row for batch in batches for row in batch.to_pylist()), start=1):
            yield f"{path}, row {number}", row
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: not a Parquet file that can be read ({shorten(error, 200)})") from None


def _read_hub(source: str, split: str | None, revision: str | None) -> Iterator[tuple[str, Row]]:
    import datasets

    name, _, config = source.partition(":")
    try:
        dataset = datasets.load_dataset(name, config or None, split=split or "train", revision=revision)
    except Exception as error:  # the hub's client raises dozens of kinds; each is the user's to act on
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{source}: neither a file here nor a hub data set that can be loaded ({reason})") from None
    for number, row in enumerate(dataset, start=1):
        yield f"{source}, row {number}", dict(row)


_READERS: dict[str, Callable[[Path], Iterator[tuple[str, Row]]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
