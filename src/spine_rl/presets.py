"""Named points of the one objective: a preset expands to explicit fields of `SpineConfig`; an explicit field wins."""

from collections.abc import Mapping
from types import MappingProxyType

from spine_rl.errors import ConfigError, suggest_nearest

Preset = Mapping[str, str]

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "ttrl": {"fork_selector": "all", "band": "none", "reward_source": "vote"},
        "spine": {"fork_selector": "top_fraction", "band": "quantile", "reward_source": "vote"},
        "spine-v2": {"fork_selector": "otsu", "band": "median_mad", "reward_source": "vote"},
        "forks-only": {"fork_selector": "top_fraction", "band": "none", "reward_source": "vote"},
        "band-only": {"fork_selector": "all", "band": "quantile", "reward_source": "vote"},
        "oracle": {"fork_selector": "all", "band": "none", "reward_source": "gold"},
    }
)


def get_preset(name: str) -> Preset:
    """The fields that a preset sets.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset={name!r}: unknown; {suggest_nearest(name, PRESETS)}")
    return PRESETS[name]
