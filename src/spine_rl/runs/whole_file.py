"""Files that are whole or not there: written aside, brought to the disk, then renamed.

What is aside is named `.tmp-<pid>@<host>@<name>`, or where that is long by a digest of host and name; what a process
that died left there is removed by the next one of that host that writes the same file.
"""

import hashlib
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from spine_rl.errors import RunFolderError

TEMPORARY = ".tmp-"  # how names begin that are no results
_LONGEST_END = 100  # bytes; file systems take names of 255, a few of 143


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Of a failure of the system's, says which of the user's files it was about.

    The system names no path where writing fails half-way, and the file aside where opening does.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            error.filename, error.filename2 = str(path), None
        raise


@contextmanager
def writing_aside(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Gives the name of a file to write; where that goes well, it becomes `path`, else nothing has changed.

    A link is followed; what is no file (a pipe, `/dev/stdout`) is written as it is. Missing folders are made.

    Args:
        path: The file, as it will be.
        replace: Whether a file of that name may have come up in the meantime.

    Raises:
        RunFolderError: `replace` is not set, and another process has written the file.
        OSError: It cannot be written; `filename` is `path`.
    """
    with naming(path):
        if path.exists() and not path.is_file():
            yield path
            return
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(target)
        new = target.with_name(f"{TEMPORARY}{os.getpid()}{_name_end(target)}")
        try:
            yield new
            flush(new)
            if target.exists():
                shutil.copymode(target, new)
            _put(new, target, path, replace)
            flush(target.parent)
        finally:
            new.unlink(missing_ok=True)


@contextmanager
def open_whole(path: Path, *, replace: bool = True) -> Iterator[TextIO]:
    """A text file (UTF-8, lines end in `\\n`) to write; as `writing_aside`."""
    with writing_aside(path, replace=replace) as new, new.open("w", encoding="utf-8", newline="\n") as file:
        yield file


def write_whole(path: Path, text: str, *, replace: bool = True) -> None:
    """Writes a text file whole or not at all, whenever the process may be stopped; as `writing_aside`."""
    with open_whole(path, replace=replace) as file:
        file.write(text)


def flush(path: Path) -> None:
    """Waits until a file, or a folder's names, are on the disk; a system that cannot say so of a folder is believed."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(*([OSError] if path.is_dir() else [])):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put(new: Path, target: Path, path: Path, replace: bool) -> None:
    if not replace:
        try:
            os.link(new, target)
            return
        except FileExistsError:
            raise RunFolderError(
                f"{path} has come up in the meantime, and is not overwritten; give another name"
            ) from None
        except OSError:  # a file system without links: what is there is seen, if not so surely
            if target.exists():
                raise
    os.replace(new, target)


def _remove_left_behind(target: Path) -> None:
    """What processes of this host that are no more left aside of this file: of another host's nothing is known."""
    end = _name_end(target)
    for path in target.parent.glob(f"{TEMPORARY}*{_escape(end)}"):
        pid = path.name.removeprefix(TEMPORARY).removesuffix(end)
        if pid.isdecimal() and not _is_running(int(pid)):
            with suppress(OSError):
                path.unlink()


def _name_end(target: Path) -> str:
    """Short enough that a name aside is taken wherever the file's own is."""
    end = f"@{platform.node()}@{target.name}"
    data = os.fsencode(end)
    return end if len(data) <= _LONGEST_END else f"@{hashlib.sha256(data).hexdigest()[:32]}"


def _escape(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
