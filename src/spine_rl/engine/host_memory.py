"""The host memory that this process may still take: the machine's, or less where a control group limits it.

Containers and batch systems (Docker, Kubernetes, SLURM) set such limits; a process that exceeds one is killed.
"""

import ctypes
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import psutil

# Of a group's folder: its limit, what it uses, and what of that the system can take back (the second version of
# control groups, and the first).
_UNIFIED = ("memory.max", "memory.current", "inactive_file")
_LEGACY = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def measure_free_host_memory() -> int:
    """Bytes."""
    return min([psutil.virtual_memory().available, *list_group_rooms(Path("/"))])


def give_back_freed_memory() -> None:
    """Hands memory that was freed back to the system, where the C library is glibc and keeps it.

    Tensors of ever other sizes leave gaps between those that live on: gigabytes after some steps of a real model.
    """
    trim = _find_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _find_trim() -> Callable[[int], int] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def list_group_rooms(root: Path) -> list[int]:
    """Bytes left in each control group with a limit that this process is in; empty where there is none.

    Args:
        root: Of the file system that has `proc` and `sys`.
    """
    rooms = []
    for folder, (limit, usage, reclaimable) in _list_groups(root):
        try:
            most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            rooms.append(max(0, most - used + int(statistics.get(reclaimable, 0))))
        except (OSError, ValueError):  # no such group as seen from here, or no limit ("max")
            continue
    return rooms


def _list_groups(root: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """The folders of this process's groups up to the outermost, and the names of their files."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount, names = ("memory", _LEGACY) if controllers else ("", _UNIFIED)
        inside = PurePosixPath(path.lstrip("/"))
        for group in (inside, *inside.parents):
            yield root / "sys/fs/cgroup" / mount / group, names
