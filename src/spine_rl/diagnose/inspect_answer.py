"""The answer of `spine inspect` in words: is there something to learn, and where does the model branch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spine_rl.diagnose.fork_summary import ForkSummary
from spine_rl.diagnose.validate_forks import ForkValidation
from spine_rl.voting import Ballot


@dataclass(frozen=True)
class Answer:
    """Whether the problems can teach the model something, and the sentence that says so."""

    teaches: bool
    headline: str


def answer_ballots(ballots: Sequence[Ballot]) -> Answer:
    """Only a problem whose responses disagree rewards some of them and not others."""
    kinds = [classify_ballot(ballot) for ballot in ballots]
    divided, unanimous, unlabelled = (kinds.count(kind) for kind in ("divided", "unanimous", "none"))
    rest = {"unanimous": unanimous, "without a readable answer": unlabelled}
    others = ", ".join(f"{count} {name}" for name, count in rest.items() if count)
    learn = "There is something to learn" if divided else "There is nothing to learn"
    headline = f"{learn}: responses disagree on {divided or 'none'} of {len(ballots)} problems."
    return Answer(divided > 0, f"{headline} The others: {others}." if divided and others else headline)


def classify_ballot(ballot: Ballot) -> Literal["none", "unanimous", "divided"]:
    """`none`: the problem got no label."""
    if ballot.pseudo_label is None:
        return "none"
    return "unanimous" if ballot.majority_ratio == 1.0 else "divided"


def tell_forks(summary: ForkSummary | None, preset: str) -> list[str]:
    """How many forks there are, how much entropy they hold, and where they stand."""
    if summary is None:
        return []
    if summary.other_entropy is None:
        mean = f"their mean entropy is {summary.fork_entropy:.2f} nats"
        return [f"Preset {preset} updates all {summary.num_tokens:,} tokens; {mean}."]
    densest, kind = max(summary.positions), summary.kinds[0]
    start = summary.positions.index(densest) / len(summary.positions)
    end = start + 1 / len(summary.positions)
    return [
        f"Preset {preset} marks {summary.num_forks:,} of {summary.num_tokens:,} tokens as forks. They hold "
        f"{summary.entropy_share:.0%} of all entropy: {summary.fork_entropy:.2f} nats at a fork, "
        f"{summary.other_entropy:.2f} at another token, in the mean.",
        f"{kind.forks:.0%} of the forks are {kind.name}s, which are {kind.tokens:.0%} of all tokens. Forks stand "
        f"densest between {start:.0%} and {end:.0%} of a response's length: {densest:.0%} of those tokens are forks.",
    ]


def tell_validation(validation: ForkValidation | None) -> list[str]:
    """What the test of forks found, in its lowest and its highest tenth of entropy."""
    if validation is None:
        return []
    low, high = validation.bins[0], validation.bins[-1]
    return [
        f"The test drew {len(validation.trials)} tokens again, with all that follows. The final answer changed in "
        f"{high.resampled[0]:.0%} of the trials where entropy was highest, in {low.resampled[0]:.0%} where it was "
        f"lowest. With the token itself kept, it changed in {high.kept[0]:.0%} and {low.kept[0]:.0%}: only the "
        "difference is what the token decides."
    ]
