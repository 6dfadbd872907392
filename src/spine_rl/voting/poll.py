"""What a label rule reads of one problem: its responses' answers, and what is known of each response."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from spine_rl.voting.vote import MAJORITY, Ballot, Key, VoteRule, hold_vote

STATISTICS = ("mean_logps", "mean_entropies", "self_certainties")  # of `Poll`, that a pass over the tokens measures


@dataclass(frozen=True)
class Poll:
    """One problem's responses, in any order; what a rule does not say that it needs is left empty.

    Attributes:
        problem_id: Enters the tie rule.
        keys: Answers of the trained responses; None abstains.
        extra_keys: Answers of responses that vote only.
        rule: Share, margin and leave-one-out of the vote.
        lengths: Of the trained responses, in tokens.
        tokens: Token ids of each trained response.
        mean_logps: Mean log-probability of each trained response's tokens, in nats, ≤ 0.
        mean_entropies: Mean entropy of their distributions, in nats, ≥ 0.
        self_certainties: Mean KL divergence from the uniform distribution to theirs, in nats, ≥ 0.
        gold_key: The gold answer's, for the rule `gold` alone.
        draw: Names the random draws of a step.
    """

    problem_id: str
    keys: Sequence[Key]
    extra_keys: Sequence[Key] = ()
    rule: VoteRule = MAJORITY
    lengths: Sequence[int] = ()
    tokens: Sequence[Sequence[int]] = ()
    mean_logps: Sequence[float] = ()
    mean_entropies: Sequence[float] = ()
    self_certainties: Sequence[float] = ()
    gold_key: Key = None
    draw: str = ""

    def hold_vote(self) -> Ballot:
        """The plain vote: one response, one vote; agreement is rewarded with 1."""
        return hold_vote(self.problem_id, self.keys, self.extra_keys, rule=self.rule)


def reward(ballot: Ballot, rewards: Iterable[float]) -> Ballot:
    """The ballot with other rewards of its trained responses."""
    return replace(ballot, rewards=[*rewards])


def reward_answers_only(ballot: Ballot, scores: Sequence[float]) -> Ballot:
    """Rewards by a score a response that knows of no answers: one without an answer gets the lowest of the group."""
    lowest = min(scores, default=0.0)
    return reward(ballot, [lowest if key is None else score for key, score in zip(ballot.keys, scores, strict=True)])
