"""A folder's list of its files with their digests, by which it is known to be whole."""

import hashlib
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from spine_rl.runs.whole_file import flush, write_whole

MANIFEST_FILE = "spine_manifest.json"


def write_manifest(folder: Path) -> None:
    """Lists a folder's files, those in folders within it too, once they are on the disk."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST_FILE]
    for path in paths:
        flush(path)
    with ThreadPoolExecutor() as pool:  # hashing lets other threads run
        digests = [*pool.map(digest_file, paths)]
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": digest}
        for path, digest in zip(paths, digests, strict=True)
    }
    write_whole(folder / MANIFEST_FILE, json.dumps({"files": files}, indent=1) + "\n")


def find_damage(folder: Path) -> str | None:
    """What is not as the manifest says, in words; None of a folder that is whole."""
    files = read_manifest(folder)
    if files is None:
        return f"{MANIFEST_FILE} is missing or damaged" if folder.is_dir() else "it is missing"
    for name, entry in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != entry["bytes"]:
            return f"{name} has {path.stat().st_size} of {entry['bytes']} bytes"
    paths = [folder / name for name in files]
    with ThreadPoolExecutor() as pool:
        digests = pool.map(digest_file, paths)
        for (name, entry), digest in zip(files.items(), digests, strict=True):
            if digest != entry["sha256"]:
                return f"{name} is not what was written"
    return None


def read_manifest(folder: Path) -> dict[str, dict[str, Any]] | None:
    """File → `bytes` and `sha256`; None where there is no manifest that can be read."""
    try:
        files = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))["files"]
        if all(_is_within(name) and {"bytes", "sha256"} <= entry.keys() for name, entry in files.items()):
            return files
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return None


def digest_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_texts(texts: Iterable[str]) -> str:
    """Of texts in their order; lone surrogates have a digest too."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode(errors="surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def digest_samples(files: Iterable[Path], list_starts: Callable[[int], Iterable[int]], length: int) -> str:
    """Of files' names, sizes and some of their bytes, where reading the whole would take long.

    Args:
        files: In their order.
        list_starts: A file's size → where in it to read.
        length: Bytes to read at each.
    """
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name} {size} ".encode())
        with file.open("rb") as content:
            for start in list_starts(size):
                content.seek(start)
                digest.update(content.read(length))
    return digest.hexdigest()


def _is_within(name: str) -> bool:
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts
