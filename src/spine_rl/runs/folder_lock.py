"""One process at a time owns a folder that results are written into.

The lock is the system's and ends with the process, however that ends. On a file system without locks a file stands for
it, and the message to the next process says which file, and whose.
"""

import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from spine_rl.errors import RunFolderError
from spine_rl.runs.whole_file import naming, write_whole

LOCK_FILE, OWNER_FILE = ".spine.lock", ".spine.owner"


@contextmanager
def owning(folder: Path) -> Iterator[None]:
    """Makes the folder, if need be, and keeps other processes out of it; an empty one that was made goes again.

    Raises:
        RunFolderError: Another process owns it; with that process, and the lock's file.
        OSError: It cannot be made.
    """
    with naming(folder):
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_FILE, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise RunFolderError(
                f"{folder} is in use by {_describe_owner(folder)}; wait for its end, or give another folder (the lock "
                f"is {folder / LOCK_FILE}: remove it if that process is no more)"
            ) from None
    try:
        _say_who(folder)
        yield
    finally:
        with suppress(OSError):  # the folder may be gone
            (folder / OWNER_FILE).unlink(missing_ok=True)
            if is_new and os.listdir(folder) == [LOCK_FILE]:
                (folder / LOCK_FILE).unlink()
                folder.rmdir()
        lock.release()


def holds_nothing(folder: Path) -> bool:
    """Whether there is nothing in a folder but what this program leaves there while it works."""
    return all(path.name in (LOCK_FILE, OWNER_FILE) for path in folder.iterdir())


def _say_who(folder: Path) -> None:
    owner = {"pid": os.getpid(), "host": platform.node(), "command": sys.argv[1:2], "since": time.strftime("%F %T")}
    with suppress(OSError):  # a full disk: the lock holds all the same
        write_whole(folder / OWNER_FILE, json.dumps(owner) + "\n")


def _describe_owner(folder: Path) -> str:
    try:
        owner = json.loads((folder / OWNER_FILE).read_text(encoding="utf-8"))
        name = " ".join(("spine", *owner["command"]))
        return f"process {owner['pid']} on {owner['host']} ({name}, since {owner['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
