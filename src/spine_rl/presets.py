"""Named points of the one objective: a preset expands to explicit fields of `SpineConfig`; an explicit field wins."""

from collections.abc import Mapping
from types import MappingProxyType

from spine_rl.errors import ConfigError, suggest_nearest

Preset = Mapping[str, str]

FORK_FRACTION = 0.2  # the share of tokens that are forks, where nothing else is said: the paper's

_COMMON: Preset = {  # what a preset sets where it says nothing else
    "band_weight": "equal",
    "label_rule": "majority",
    "problem_rule": "all",
}
_ALL_TOKENS: Preset = {"fork_selector": "all", "band": "none"}
_SPINE: Preset = {"fork_selector": "top_fraction", "band": "quantile"}

# The methods, each on the one code path: a label rule makes rewards, a fork selector chooses tokens, a band holds their
# entropy, a problem rule chooses problems. `oracle` is the upper bound.
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "ttrl": _ALL_TOKENS,
        "spine": _SPINE,
        "spine-v2": {"fork_selector": "otsu", "band": "median_mad"},
        "spine-voted": {**_SPINE, "band_weight": "advantage"},
        "forks-only": {"fork_selector": "top_fraction", "band": "none"},
        "band-only": {"fork_selector": "all", "band": "quantile"},
        "soft-vote": {**_ALL_TOKENS, "label_rule": "soft-vote"},
        "confidence-vote": {**_ALL_TOKENS, "label_rule": "confidence-vote"},
        "scrl": {**_ALL_TOKENS, "label_rule": "scrl"},
        "dare": {**_ALL_TOKENS, "label_rule": "dare"},
        "evol": {**_ALL_TOKENS, "label_rule": "evol"},
        "self-certainty": {**_ALL_TOKENS, "label_rule": "self-certainty"},
        "entropy": {**_ALL_TOKENS, "label_rule": "entropy"},
        "flip-guard": {**_ALL_TOKENS, "problem_rule": "flip-guard"},
        "oracle": {**_ALL_TOKENS, "label_rule": "gold"},
    }
)

# For experiments, not for use: SPINE with one part replaced by one that should not help.
CONTROLS: Mapping[str, Preset] = MappingProxyType(
    {
        "entropy-min": {"fork_selector": "all", "band": "zero", "label_rule": "none"},
        "band-without-vote": {**_SPINE, "label_rule": "none"},
        "random-forks": {"fork_selector": "random_fraction", "band": "quantile"},
        "low-entropy-forks": {"fork_selector": "low_entropy", "band": "quantile"},
        "random-labels": {**_SPINE, "label_rule": "random"},
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
