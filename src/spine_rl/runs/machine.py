"""What a result was made on and with."""

import os
import platform
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from spine_rl import __version__


def describe_machine() -> dict[str, Any]:
    """What measured figures depend on."""
    import torch  # here alone: who looks at a run's folder need not wait for it

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    return {
        "device": device,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    } | list_versions("torch", "transformers", "trl", "accelerate")


def to_words(machine: Mapping[str, Any]) -> str:
    """A description in one line."""
    units = {"device": "", "cores": "cores ", "threads": "threads ", "python": "Python "}
    return ", ".join(f"{units.get(name, f'{name} ')}{value}" for name, value in machine.items())


def list_versions(*packages: str) -> dict[str, str]:
    """This package's version, which need not be installed to be run, and those of others that are installed."""
    versions = {"spine-rl": __version__}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
