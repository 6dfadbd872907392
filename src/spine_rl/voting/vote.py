"""The vote: keys of a problem's responses in, pseudo-label and rewards out (TTRL, arXiv 2504.16084). Pure Python.

- Abstentions (key None) never vote, never win and are rewarded 0.
- Ties go to the answer with the smallest hash of (problem id, answer), so that the winner depends neither on the order
  of the responses nor on an answer's letter or size.
- A problem abstains as a whole where its winner's share or margin is too small; then nothing is rewarded.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import fsum
from typing import cast

Key = str | None


@dataclass(frozen=True)
class VoteRule:
    """How a problem's label follows from its votes.

    Attributes:
        min_share: Least share of all responses, abstaining ones too, that the winner needs, in [0, 1].
        min_margin: Least lead over the second answer, as a share of all responses, in [0, 1].
        leave_one_out: Reward each response by the vote without its own.
    """

    min_share: float = 0.0
    min_margin: float = 0.0
    leave_one_out: bool = False


MAJORITY = VoteRule()


@dataclass(frozen=True)
class Ballot:
    """The outcome of one problem's vote.

    Attributes:
        problem_id: Whose vote.
        keys: Answers of the trained responses, in their order; None abstains.
        votes: Votes by answer, of trained and vote-only responses; sums of weights in a weighted vote.
        num_abstentions: Of all of them; in a weighted vote their weight.
        pseudo_label: The winner; None if everyone abstained, or the rule found its lead too small.
        rewards: Of the trained responses, in their order; the vote itself gives 0.0 or 1.0, a label rule others.
    """

    problem_id: str
    keys: Sequence[Key]
    votes: Mapping[str, float]
    num_abstentions: float
    pseudo_label: Key
    rewards: Sequence[float]

    @property
    def num_voters(self) -> float:
        """Responses asked, abstentions included."""
        return add_in_any_order([*self.votes.values(), self.num_abstentions])

    @property
    def majority_ratio(self) -> float:
        """The first answer's share of all responses asked; 0 if everyone abstained."""
        return compute_share_and_margin(self.votes, self.num_voters)[0]

    @property
    def margin(self) -> float:
        """The first answer's lead over the second, as a share of all responses asked; 0 if everyone abstained."""
        return compute_share_and_margin(self.votes, self.num_voters)[1]


def hold_vote(
    problem_id: str,
    keys: Sequence[Key],
    extra_keys: Sequence[Key] = (),
    *,
    rule: VoteRule = MAJORITY,
    weights: Sequence[float] | None = None,
) -> Ballot:
    """Elects a problem's pseudo-label and rewards agreement with it.

    Args:
        problem_id: Enters the tie rule.
        keys: Answers of the trained responses.
        extra_keys: Answers of responses that vote only (TTRL's M > G).
        rule: See `VoteRule`.
        weights: Of `keys` and then of `extra_keys`, each at least 0; by default everyone has one vote.

    Raises:
        ValueError: A weight is negative or not finite, or there are not as many as keys.
    """
    everyone = (*keys, *extra_keys)
    given = [1] * len(everyone) if weights is None else list(weights)
    if len(given) != len(everyone) or not all(0 <= weight < float("inf") for weight in given):
        raise ValueError(f"{problem_id}: {len(everyone)} votes need as many weights, finite and at least 0")
    # Exact, so that a vote that is taken away leaves no rounding error; fractions reckon as floats do.
    exact = given if weights is None else cast(list[float], [*map(Fraction, given)])
    votes = count_votes(everyone, exact)
    abstentions = add_in_any_order(weight for key, weight in zip(everyone, exact, strict=True) if key is None)
    label = decide(problem_id, votes, add_in_any_order([*votes.values(), abstentions]), rule)

    def label_for(key: str, weight: float) -> Key:
        return elect(problem_id, leave_out(votes, key, weight)) if rule.leave_one_out else label

    rewards = [
        float(label is not None and key is not None and key == label_for(key, weight))
        for key, weight in zip(keys, exact, strict=False)
    ]
    if weights is not None:
        votes, abstentions = {key: float(count) for key, count in votes.items()}, float(abstentions)
    return Ballot(problem_id, tuple(keys), votes, abstentions, label, rewards)


def count_votes(keys: Iterable[Key], weights: Iterable[float]) -> dict[str, float]:
    """Votes by answer; abstentions left out. The sums do not depend on the order."""
    by_key: dict[str, list[float]] = defaultdict(list)
    for key, weight in zip(keys, weights, strict=True):
        if key is not None:
            by_key[key].append(weight)
    return {key: add_in_any_order(terms) for key, terms in by_key.items()}


def leave_out(votes: Mapping[str, float], key: str, weight: float = 1) -> dict[str, float]:
    """The votes without one response's."""
    return {**votes, key: votes[key] - weight}


def add_in_any_order(terms: Iterable[float]) -> float:
    """The sum, whatever the order of the terms; whole votes stay whole numbers, and fractions exact."""
    terms = list(terms)
    return fsum(terms) if any(isinstance(term, float) for term in terms) else sum(terms)


def decide(problem_id: str, votes: Mapping[str, float], num_voters: float, rule: VoteRule = MAJORITY) -> Key:
    """The winner, or None where the rule finds its share or margin too small."""
    share, margin = compute_share_and_margin(votes, num_voters)
    if share < rule.min_share or margin < rule.min_margin:
        return None
    return elect(problem_id, votes)


def elect(problem_id: str, votes: Mapping[str, float]) -> Key:
    """The answer with most votes, by the tie rule above; None without votes."""
    most = max(votes.values(), default=0)
    tied = [key for key, count in votes.items() if count == most and count > 0]
    return min(tied, key=lambda key: rank_tie(problem_id, key), default=None)


def compute_share_and_margin(votes: Mapping[str, float], num_voters: float) -> tuple[float, float]:
    """The first answer's share of all responses asked, and its lead over the second; 0 and 0 without votes."""
    counts = sorted(votes.values(), reverse=True)
    if not counts or num_voters == 0:
        return 0.0, 0.0
    return counts[0] / num_voters, (counts[0] - (counts[1] if len(counts) > 1 else 0)) / num_voters


def rank_tie(problem_id: str, key: str) -> tuple[bytes, str]:
    """Of answers with equally many votes the one of lowest rank wins."""
    return hashlib.blake2b(f"{problem_id}\0{key}".encode(errors="surrogatepass"), digest_size=8).digest(), key
