"""Adaptation on top of TRL: the configuration, the trainer, and what a run shows and keeps.

The package itself is light, so that `spine_rl.training.options` is; configuration and trainer are loaded when used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spine_rl.training.config import SpineConfig
    from spine_rl.training.trainer import SpineTrainer

__all__ = ["SpineConfig", "SpineTrainer"]

_HOMES = {"SpineConfig": "spine_rl.training.config", "SpineTrainer": "spine_rl.training.trainer"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
