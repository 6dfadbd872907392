"""The registry of label rules: named functions that turn a problem's responses into rewards."""

from collections.abc import Callable
from dataclasses import dataclass

from spine_rl.errors import ConfigError, suggest_nearest
from spine_rl.voting.certainty import reward_low_entropy, reward_self_certainty
from spine_rl.voting.confidence_vote import reward_confidence_vote
from spine_rl.voting.dare import reward_dare
from spine_rl.voting.evol import reward_evol
from spine_rl.voting.labels import reward_gold, reward_majority, reward_none, reward_random
from spine_rl.voting.poll import Poll
from spine_rl.voting.scrl import reward_scrl
from spine_rl.voting.soft_vote import reward_soft_vote
from spine_rl.voting.vote import Ballot


@dataclass(frozen=True)
class LabelRule:
    """A rule and what it is to be given.

    Attributes:
        reward: A pure function: the ballot that it returns has the label and a reward a trained response, in order.
        needs: Fields of `Poll` beside answers and lengths: `tokens`, `gold_key`, or of `STATISTICS`.
        counts_extra: Responses that vote only may be given.
        reads_label_alone: Of the votes only the label decides: no more are drawn once nothing can change it.
        leaves_one_out: Knows the vote without a response's own.
        learns: Whether any reward can differ from another.
    """

    reward: Callable[[Poll], Ballot]
    needs: tuple[str, ...] = ()
    counts_extra: bool = False
    reads_label_alone: bool = False
    leaves_one_out: bool = False
    learns: bool = True


# A rule of one's own is added under a name of its own, before the configuration that names it is made.
LABEL_RULES: dict[str, LabelRule] = {
    "majority": LabelRule(reward_majority, counts_extra=True, reads_label_alone=True, leaves_one_out=True),
    "soft-vote": LabelRule(reward_soft_vote, counts_extra=True, leaves_one_out=True),
    "confidence-vote": LabelRule(reward_confidence_vote, needs=("mean_logps",), leaves_one_out=True),
    "scrl": LabelRule(reward_scrl, needs=("mean_entropies",), counts_extra=True),
    "dare": LabelRule(reward_dare, needs=("mean_entropies",)),
    "evol": LabelRule(reward_evol, needs=("tokens",), counts_extra=True, reads_label_alone=True, leaves_one_out=True),
    "self-certainty": LabelRule(reward_self_certainty, needs=("self_certainties",)),
    "entropy": LabelRule(reward_low_entropy, needs=("mean_entropies",)),
    "gold": LabelRule(reward_gold, needs=("gold_key",)),
    "random": LabelRule(reward_random),
    "none": LabelRule(reward_none, learns=False),
}


def get_label_rule(name: str) -> LabelRule:
    """The rule of that name.

    Raises:
        ConfigError: There is none.
    """
    if name not in LABEL_RULES:
        raise ConfigError(f"label_rule={name!r}: unknown; {suggest_nearest(name, LABEL_RULES)}")
    return LABEL_RULES[name]
