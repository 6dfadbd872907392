"""Which tokens are forks where nothing is trained: as in the run whose model is looked at, unless told otherwise."""

from dataclasses import dataclass

from spine_rl.diagnose.token_scores import TokenScores
from spine_rl.presets import FORK_FRACTION, get_preset
from spine_rl.runs.run_file import read_resolved


@dataclass(frozen=True)
class ForkRule:
    """How forks are picked.

    Attributes:
        selector: One of `spine_rl.objective.FORK_SELECTORS`.
        fraction: The share that the selectors of a fraction pick.
        preset: The method that it is from, for titles.
    """

    selector: str = "top_fraction"
    fraction: float = FORK_FRACTION
    preset: str = "spine"

    def select(self, scores: TokenScores):
        """(T,) bool: a response's forks."""
        return scores.select(self.selector, self.fraction)


def settle_forks(
    model: str, *, preset: str | None = None, selector: str | None = None, fraction: float | None = None
) -> ForkRule:
    """Fills what was not given: the selector from a preset that was, else from the model's run; the share from the run.

    Raises:
        ConfigError: There is no such preset.
    """
    run = (read_resolved(model) or {}).get("training", {})
    if preset is not None:
        selector = selector or get_preset(preset)["fork_selector"]
    name: str = preset or run.get("preset") or "spine"
    rule: str = selector or run.get("fork_selector") or get_preset(name)["fork_selector"]
    return ForkRule(rule, fraction or run.get("fork_fraction") or FORK_FRACTION, name)
