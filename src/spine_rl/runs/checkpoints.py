"""A run's checkpoints: each is whole or absent, and the newest that is whole is gone on from."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from spine_rl.runs.manifest import find_damage, write_manifest
from spine_rl.runs.whole_file import TEMPORARY, flush

PREFIX = "checkpoint-"


@dataclass(frozen=True)
class Choice:
    """Which checkpoint is gone on from.

    Attributes:
        path: None where none is whole.
        passed_over: Newer ones, newest first, each with what is wrong with it.
    """

    path: Path | None
    passed_over: tuple[str, ...]


def list_checkpoints(folder: Path) -> list[Path]:
    """By their step, the newest last."""
    steps = {
        int(number): path
        for path in folder.glob(f"{PREFIX}*")
        if path.is_dir() and (number := path.name.removeprefix(PREFIX)).isdecimal() and number.isascii()
    }
    return [steps[step] for step in sorted(steps)]


def read_step(checkpoint: Path) -> int:
    """The step that a checkpoint's name says."""
    return int(checkpoint.name.removeprefix(PREFIX))


def choose_checkpoint(folder: Path) -> Choice:
    """The newest that verifies."""
    passed_over = []
    for path in reversed(list_checkpoints(folder)):
        damage = find_damage(path)
        if damage is None:
            return Choice(path, tuple(passed_over))
        passed_over.append(f"{path.name}: {damage}")
    return Choice(None, tuple(passed_over))


def publish(aside: Path, target: Path) -> None:
    """Gives a folder that was written aside its manifest and its name; one of that name is replaced."""
    write_manifest(aside)
    for folder in (*(path for path in aside.rglob("*") if path.is_dir()), aside):
        flush(folder)
    replaced = _put_aside(target) if target.exists() else None  # what takes long comes after the target is whole again
    os.replace(aside, target)
    flush(target.parent)
    if replaced is not None:
        shutil.rmtree(replaced, ignore_errors=True)


def rotate(folder: Path, limit: int | None, kept: Path) -> None:
    """Removes the oldest checkpoints beyond a number, never the one that was just written.

    Newer ones than that are of a way that was left, when a run went back to an older checkpoint, and go too.
    """
    found = list_checkpoints(folder)
    place = found.index(kept)
    for path in found[place + 1 :]:
        _remove(path)
    if limit is not None and limit > 0:
        for path in found[: place + 1][:-limit]:
            _remove(path)


def _remove(path: Path) -> None:
    """Whatever happens, no half of it keeps its name."""
    shutil.rmtree(_put_aside(path), ignore_errors=True)


def _put_aside(path: Path) -> Path:
    gone = path.with_name(f"{TEMPORARY}{path.name}-{os.getpid()}")
    shutil.rmtree(gone, ignore_errors=True)
    os.replace(path, gone)
    return gone
