"""What a model's folder holds, seen without torch."""

from pathlib import Path

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
