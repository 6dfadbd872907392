"""What a task's files hold, in short: results of other data or weights must not be taken for results of these."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spine_rl.runs.manifest import digest_samples

_ENDS = 1 << 20  # bytes: training changes every weight, so both ends of a large file tell


def fingerprint_task(own: Mapping[str, Any]) -> dict[str, str]:
    """`model_files`, `data_files` and so on → digest, of those that lie on this machine; none of the lab's tasks."""
    paths = {name: Path(own[name]) for name in ("model", "data", "eval_data") if name in own}
    return {f"{name}_files": _digest(path) for name, path in paths.items() if path.exists()}


def _digest(path: Path) -> str:
    files = [path] if path.is_file() else sorted(each for each in path.iterdir() if each.is_file())
    return digest_samples(files, lambda size: (0, max(0, size - _ENDS)), _ENDS)[:16]
