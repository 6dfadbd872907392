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
        "spine-scrl": {**_SPINE, "label_rule": "scrl"},
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


# What each is, in a line, and where it is from.
ABOUT: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "ttrl": ("the majority's answer is the label", "arXiv 2504.16084"),
        "spine": ("the majority, at forking tokens, whose entropy a band holds", "arXiv 2511.17938 v1"),
        "spine-v2": ("the same, forks by Otsu's threshold, band by median and spread", "arXiv 2511.17938 v2"),
        "spine-voted": ("spine, with a band that ends where the vote is unanimous", "this project"),
        "spine-scrl": ("spine, with scrl's rewards for clear majorities and rare answers", "this project"),
        "forks-only": ("spine without its band", "arXiv 2506.01939"),
        "band-only": ("spine's band, on all tokens", "this project"),
        "soft-vote": ("an answer's share of the votes is its reward", "arXiv 2512.15146, 2601.21804"),
        "confidence-vote": ("votes count as much as their responses are likely", "arXiv 2512.15146"),
        "scrl": ("clear majorities are rewarded, rare uncertain answers punished", "arXiv 2603.19880"),
        "dare": ("shares weighted by certainty, a bonus for rare certain answers", "arXiv 2601.21804"),
        "evol": ("the majority sets a reward's sign, novelty its size", "arXiv 2509.15194"),
        "self-certainty": ("no vote: divergence from the uniform distribution (Intuitor)", "arXiv 2505.19590"),
        "entropy": ("no vote: low mean entropy (RENT)", "arXiv 2505.22660"),
        "flip-guard": ("ttrl, less often on problems whose label once changed", "arXiv 2605.19444"),
        "oracle": ("gold labels: an upper bound", "-"),
        "entropy-min": ("control: no label, entropy is driven down", "-"),
        "band-without-vote": ("control: spine without a label", "-"),
        "random-forks": ("control: spine at random tokens", "-"),
        "low-entropy-forks": ("control: spine at the tokens of lowest entropy", "-"),
        "random-labels": ("control: spine with a label drawn among the answers", "-"),
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
