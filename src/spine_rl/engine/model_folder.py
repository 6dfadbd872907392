"""What a model's folder holds, seen without torch."""

import json
import os
from pathlib import Path
from typing import Any

from spine_rl.errors import ModelError

ADAPTER_FILE = "adapter_config.json"


def list_configs(name_or_path: str) -> list[Path]:
    """Of a folder here the files that say what it is: a model, an adapter; of any other name none.

    Raises:
        ModelError: The folder has neither.
    """
    folder = Path(name_or_path)
    found = [folder / name for name in ("config.json", ADAPTER_FILE) if (folder / name).is_file()]
    if folder.is_dir() and not found:
        raise ModelError(f"{name_or_path}: no model folder, it has no config.json; give one saved by save_pretrained")
    return found


def read_config(config: Path) -> dict[str, Any]:
    """One of `list_configs`.

    Raises:
        ModelError: It is no JSON object.
    """
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{config}: not valid JSON ({error}); save the model again") from None
    if not isinstance(content, dict):
        raise ModelError(f"{config}: not an object; save the model again")
    return content


def find_base(name_or_path: str) -> str | None:
    """Of an adapter's folder the model that it is for; None of what is no adapter.

    Raises:
        ModelError: The adapter names none, or one that is not here or an adapter too.
    """
    config = Path(name_or_path) / ADAPTER_FILE
    if not config.is_file():
        return None
    base = read_config(config).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ModelError(f"{config}: names no model that the adapter is for; fill in base_model_name_or_path")
    if looks_like_path(base) and not os.path.exists(base):
        raise ModelError(f"{config}: the adapter is for {base}, which is not here; mend base_model_name_or_path")
    if (Path(base) / ADAPTER_FILE).is_file():
        raise ModelError(f"{config}: the adapter is for {base}, an adapter too; merge that into its model first")
    return base


def looks_like_path(name: str) -> bool:
    """Whether a name that is not here can be none of the hub."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1
