"""Whether a path may be written: the one place that decides it, for every command.

Nothing is written over what is read, by whatever name or link it goes, and nothing is replaced but what this program
made, of the kind that is to be written now; that only with `--overwrite`.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spine_rl.errors import RunFolderError
from spine_rl.runs.folder_lock import holds_nothing
from spine_rl.runs.kinds import Kind


@dataclass(frozen=True)
class Output:
    """Something that a command is asked to write.

    Attributes:
        path: Where; None is nothing.
        kind: What it will be.
        option: That named it, for messages.
        goes_on: Of a folder, whether the command goes on with what is there, or says itself why it does not.
    """

    path: Path | None
    kind: Kind
    option: str = "--out"
    goes_on: bool = False


def check_may_write(outputs: Sequence[Output], *, overwrite: bool, reads: Iterable[str | Path] = ()) -> None:
    """Looks at all that a command is to write, before it does anything; touches nothing.

    Args:
        outputs: All of them.
        overwrite: Whether what is there of the same kind may be replaced.
        reads: All that the command reads: paths, names of the hub, `name=path`, `-` for standard input.

    Raises:
        RunFolderError: One must not be written, or cannot be; with the remedy.
    """
    inputs = [*_find_inputs(reads)]
    named: list[tuple[Path, str]] = []
    for output in outputs:
        path = output.path
        if path is None:
            continue
        _check_name(path)
        for other, option in named:
            if _is_same(path, other):
                raise RunFolderError(f"{option} and {output.option} both name {path}; give each its own")
        named.append((path, output.option))
        if output.kind.list_own is None:
            _check_file(path, output, overwrite, inputs)
        else:
            _check_folder(path, output, overwrite, inputs)
        _check_place(path)


def remove_own(folder: Path, kind: Kind) -> None:
    """Removes from a folder what is of a kind that this program makes, and nothing else; its mark stays."""
    assert kind.list_own is not None
    for path in kind.list_own(folder):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _check_file(path: Path, output: Output, overwrite: bool, inputs: Sequence[Path]) -> None:
    if path.is_dir():
        raise RunFolderError(f"{path} is a folder; give the name of a file")
    if any(_is_same(path, read) for read in inputs):
        raise RunFolderError(f"{path} is what is read, and would be lost; give another name")
    if not path.is_file():  # nothing, or what keeps nothing, such as a pipe
        return
    if not overwrite:
        raise RunFolderError(f"{path} exists; give another name or --overwrite")
    if path.stat().st_size > 0 and not output.kind.is_ours(path):
        raise RunFolderError(f"{path} exists and is not {output.kind.name}: --overwrite keeps it; give another name")


def _check_folder(path: Path, output: Output, overwrite: bool, inputs: Sequence[Path]) -> None:
    kind = output.kind
    assert kind.list_own is not None
    if path.exists() and not path.is_dir():
        raise RunFolderError(f"{path} is a file; give another {output.option}")
    if not path.exists() or holds_nothing(path):
        return
    if not kind.is_ours(path):
        raise RunFolderError(
            f"{path} is not an empty folder and holds no {_bare(kind)} of ours; give another {output.option}"
        )
    if not (overwrite or output.goes_on):
        raise RunFolderError(f"{path} already holds {kind.name}; give another {output.option}, or --overwrite")
    for own in (*kind.list_own(path), path / kind.mark) if overwrite else ():
        read = next((read for read in inputs if _is_within(read, own) or _is_same(own.parent, read)), None)
        if read is not None:
            raise RunFolderError(f"{own} is read from, and --overwrite would remove it; give another {output.option}")


def _bare(kind: Kind) -> str:
    return kind.name.partition(" ")[2]


def _check_name(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = str(path).encode(errors="backslashreplace").decode()
        raise RunFolderError(f"{shown}: a name that is not UTF-8; give another") from None
    if "\0" in str(path):
        raise RunFolderError(f"{str(path)!r}: a name cannot have a null byte; give another")


def _check_place(path: Path) -> None:
    """The folder that it will stand in is there, or can be made."""
    place = path.absolute().parent
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise RunFolderError(f"{path.parent}: cannot be made (Not a directory: {place}); give another name")
    if not path.exists() and not os.access(place, os.W_OK | os.X_OK):
        raise RunFolderError(f"{place}: no right to write there; give another name")


def _find_inputs(reads: Iterable[str | Path]) -> Iterator[Path]:
    """Those that are here."""
    for read in reads:
        if str(read) == "-":
            yield Path(f"/dev/fd/{_stdin_descriptor()}")
            continue
        for name in {str(read), str(read).partition("=")[2]} - {""}:
            if _exists(Path(name)):
                yield Path(name)


def _stdin_descriptor() -> int:
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or a stand-in
        return 0


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long a name, a null byte
        return False


def _is_same(path: Path, other: Path) -> bool:
    """One file, or one that will be: hard links and links are seen."""
    try:
        if path.exists() and other.exists():
            return path.samefile(other)
    except OSError:
        return False
    return os.path.realpath(path) == os.path.realpath(other)


def _is_within(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
