"""SPINE: label-free test-time reinforcement learning at forking tokens, for language and vision-language models.

`import spine_rl` is light: the trainer and its configuration, which need TRL, are loaded when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from spine_rl.errors import SpineError
    from spine_rl.presets import PRESETS
    from spine_rl.problems import ProblemSet, load_problems
    from spine_rl.training import SpineConfig, SpineTrainer

__all__ = ["PRESETS", "ProblemSet", "SpineConfig", "SpineError", "SpineTrainer", "__version__", "load_problems"]

_HOMES = {
    "PRESETS": "spine_rl.presets",
    "ProblemSet": "spine_rl.problems",
    "SpineConfig": "spine_rl.training",
    "SpineError": "spine_rl.errors",
    "SpineTrainer": "spine_rl.training",
    "load_problems": "spine_rl.problems",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
