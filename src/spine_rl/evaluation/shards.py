"""An evaluation in shards, on several machines: each draws every n-th batch of the whole, and they are merged into it.

A batch's random state follows from its place in the whole, so that the merged folder has the rows of an evaluation that
one process drew. Merging needs no model.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from spine_rl.errors import ConfigError, DataError
from spine_rl.evaluation.responses import (
    GREEDY_FILE,
    SAMPLES_FILE,
    SHARD,
    claim_folder,
    first_difference,
    read_settings,
)
from spine_rl.runs.whole_file import naming, writing_aside


@dataclass(frozen=True)
class Shard:
    """One of `count`, from 1."""

    index: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def list_starts(self, num_rows: int, batch_size: int) -> range:
        """The first rows of its batches, in the order of the whole."""
        return range(0, num_rows, batch_size)[self.index - 1 :: self.count]

    def count_rows(self, num_rows: int, batch_size: int) -> int:
        """How many rows it has of so many."""
        return sum(min(batch_size, num_rows - start) for start in self.list_starts(num_rows, batch_size))


WHOLE = Shard()


def parse_shard(text: str) -> Shard:
    """Of `2/4`.

    Raises:
        ConfigError: It is of another form, or there is no such shard.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"shard={text!r}: must be i/n, such as 2/4: the second of four")
    return Shard(int(match[1]), int(match[2]))


def merge_shards(folders: Sequence[Path], out: Path, *, overwrite: bool = False) -> None:
    """Writes the responses of all shards into a folder, as one process would have drawn them; it lacks the report.

    Args:
        folders: The shards', in any order.
        out: The whole's.
        overwrite: Replace an earlier evaluation there.

    Raises:
        DataError: A shard is missing, stands twice, is not finished, or was drawn with other settings.
        RunFolderError: `out` must not be written.
    """
    found = {folder: read_settings(folder) for folder in folders}
    ordered = _order(found)
    settings = {name: value for name, value in found[ordered[0]].items() if name != SHARD}
    for folder in ordered[1:]:
        others = {name: value for name, value in found[folder].items() if name != SHARD}
        difference = first_difference(settings, others)
        if difference is not None:
            name, was, other = difference
            raise DataError(
                f"{folder}: a shard with another {name} than {ordered[0]} ({other!r} and {was!r}); draw it again with "
                "the same"
            )
    parts = {GREEDY_FILE: 1, SAMPLES_FILE: settings["num_samples"]}
    sizes = {name: number * settings["problems"]["number"] for name, number in parts.items()}
    batch_size = settings["decoding"]["batch_size"]
    for name, num_rows in sizes.items():
        for index, folder in enumerate(ordered, start=1):
            _check_finished(folder / name, Shard(index, len(ordered)).count_rows(num_rows, batch_size))
    claim_folder(out, settings, overwrite=overwrite)
    for name, num_rows in sizes.items():
        with naming(out / name), writing_aside(out / name) as new, new.open("wb") as file:
            file.writelines(_interleave([folder / name for folder in ordered], num_rows, batch_size))


def _order(found: dict[Path, dict[str, Any]]) -> list[Path]:
    """The folders by their shards, none missing and none twice."""
    shards: dict[Shard, Path] = {}
    for folder, settings in found.items():
        if SHARD not in settings:
            raise DataError(f"{folder}: a whole evaluation, no shard of one; leave it out")
        shard = parse_shard(settings[SHARD])
        if shard in shards:
            raise DataError(f"{folder}: shard {shard} again, {shards[shard]} has it; leave one out")
        shards[shard] = folder
    (first, where), *_ = shards.items()
    for shard, folder in shards.items():
        if shard.count != first.count:
            raise DataError(f"{folder}: shard {shard}, but {where} is shard {first}; give shards of one evaluation")
    wanted = [Shard(index, first.count) for index in range(1, first.count + 1)]
    missing = [str(shard) for shard in wanted if shard not in shards]
    if missing:
        raise DataError(f"shard {', '.join(missing)} is missing; draw it with --shard, and give its folder")
    return [shards[shard] for shard in wanted]


def _check_finished(path: Path, num_rows: int) -> None:
    try:
        with path.open("rb") as file:
            found = sum(line.endswith(b"\n") for line in file)
    except FileNotFoundError:
        found = 0
    if found != num_rows:
        raise DataError(f"{path}: {found} of {num_rows} responses; finish the shard with the command that began it")


def _interleave(paths: Sequence[Path], num_rows: int, batch_size: int) -> Iterator[bytes]:
    """Lines in the order of the whole: a batch of each shard in turn. A shard without a batch has no file."""
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("rb")) if path.exists() else iter(()) for path in paths]
        for batch, _ in enumerate(range(0, num_rows, batch_size)):
            yield from islice(files[batch % len(files)], batch_size)
