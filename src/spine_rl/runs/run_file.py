"""What `spine train` says of a run in its folder, as everything that reads it finds it."""

import json
from pathlib import Path
from typing import Any

from spine_rl.errors import ConfigError
from spine_rl.runs.checkpoints import PREFIX

RUN_FILE = "spine_config.json"
LAST_FOLDER = "last"  # the weights after the last step, where the model is that of an earlier one


def read_run(folder: Path) -> dict[str, Any] | None:
    """The content of a run's `spine_config.json`; None where the folder is no run's.

    Raises:
        ConfigError: It is one, and cannot be read.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{path}: not valid JSON ({error}); mend it, or remove it to make this a model alone"
        ) from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected an object; mend it, or remove it to make this a model alone")
    return content


def read_resolved(model: str) -> dict[str, Any] | None:
    """What a run resolved every field to, by group; None where a model is no run's folder, `last` or checkpoint.

    Raises:
        ConfigError: It is one, and its file cannot be read.
    """
    folder = Path(model)
    content = read_run(folder)
    if content is None and (folder.name == LAST_FOLDER or folder.name.startswith(PREFIX)):
        content = read_run(folder.parent)
    return None if content is None else content.get("resolved", {})
