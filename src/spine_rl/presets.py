"""Named points of the one objective: a preset expands to explicit fields of `SpineConfig`; an explicit field wins."""

from collections.abc import Mapping
from types import MappingProxyType

from spine_rl.errors import ConfigError, suggest_nearest

Preset = Mapping[str, str]

FORK_FRACTION = 0.2  # the share of tokens that are forks, where nothing else is said: the paper's

_COMMON: Preset = {"band_weight": "equal"}  # what a preset sets where it says nothing else

# The methods, each on the one code path; `oracle` is the upper bound.
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "ttrl": {"fork_selector": "all", "band": "none", "reward_source": "vote"},
        "spine": {"fork_selector": "top_fraction", "band": "quantile", "reward_source": "vote"},
        "spine-v2": {"fork_selector": "otsu", "band": "median_mad", "reward_source": "vote"},
        "spine-voted": {
            "fork_selector": "top_fraction",
            "band": "quantile",
            "band_weight": "advantage",
            "reward_source": "vote",
        },
        "forks-only": {"fork_selector": "top_fraction", "band": "none", "reward_source": "vote"},
        "band-only": {"fork_selector": "all", "band": "quantile", "reward_source": "vote"},
        "oracle": {"fork_selector": "all", "band": "none", "reward_source": "gold"},
    }
)

# For experiments, not for use: SPINE with one part replaced by one that should not help.
CONTROLS: Mapping[str, Preset] = MappingProxyType(
    {
        "entropy-min": {"fork_selector": "all", "band": "zero", "reward_source": "none"},
        "band-without-vote": {"fork_selector": "top_fraction", "band": "quantile", "reward_source": "none"},
        "random-forks": {"fork_selector": "random_fraction", "band": "quantile", "reward_source": "vote"},
        "low-entropy-forks": {"fork_selector": "low_entropy", "band": "quantile", "reward_source": "vote"},
        "random-labels": {"fork_selector": "top_fraction", "band": "quantile", "reward_source": "random"},
    }
)


def get_preset(name: str) -> Preset:
    """The fields that a preset or a control sets.

    Raises:
        ConfigError: There is none of that name.
    """
    known = {**PRESETS, **CONTROLS}
    if name not in known:
        raise ConfigError(f"preset={name!r}: unknown; {suggest_nearest(name, known)}")
    return {**_COMMON, **known[name]}
