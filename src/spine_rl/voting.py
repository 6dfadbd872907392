"""The vote: keys of a problem's responses in, pseudo-label and rewards out (TTRL, arXiv 2504.16084). Pure Python.

Abstentions (key None) never vote, never win and are rewarded 0. Ties go to the answer with the smallest hash of
(problem id, answer): a fixed rule that depends on no order and favours no letter and no magnitude.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

Key = str | None


@dataclass(frozen=True)
class Ballot:
    """The outcome of one problem's vote.

    Attributes:
        problem_id: Whose vote.
        keys: Answers of the trained responses, in their order; None abstains.
        votes: Votes by answer, of trained and vote-only responses.
        num_abstentions: Of all of them.
        pseudo_label: The winner; None if everyone abstained.
        rewards: Of the trained responses, in their order, 0.0 or 1.0.
    """

    problem_id: str
    keys: Sequence[Key]
    votes: Mapping[str, int]
    num_abstentions: int
    pseudo_label: Key
    rewards: Sequence[float]

    @property
    def num_voters(self) -> int:
        """Responses asked, abstentions included."""
        return sum(self.votes.values()) + self.num_abstentions

    @property
    def majority_ratio(self) -> float:
        """The winner's share of all responses asked; 0 if everyone abstained."""
        return self.votes[self.pseudo_label] / self.num_voters if self.pseudo_label is not None else 0.0


def hold_vote(
    problem_id: str, keys: Sequence[Key], extra_keys: Sequence[Key] = (), *, leave_one_out: bool = False
) -> Ballot:
    """Elects a problem's pseudo-label and rewards agreement with it.

    Args:
        problem_id: Enters the tie rule.
        keys: Answers of the trained responses.
        extra_keys: Answers of responses that vote only (TTRL's M > G).
        leave_one_out: Reward each response by the vote without its own.
    """
    votes = Counter(key for key in (*keys, *extra_keys) if key is not None)
    winner = elect(problem_id, votes)

    def label_for(key: Key) -> Key:
        return elect(problem_id, votes - Counter([key])) if leave_one_out and key is not None else winner

    rewards = [float(key is not None and key == label_for(key)) for key in keys]
    return Ballot(
        problem_id=problem_id,
        keys=tuple(keys),
        votes=dict(votes),
        num_abstentions=len(keys) + len(extra_keys) - votes.total(),
        pseudo_label=winner,
        rewards=rewards,
    )


def elect(problem_id: str, votes: Mapping[str, int]) -> Key:
    """The answer with most votes, by the tie rule above; None without votes."""
    most = max(votes.values(), default=0)
    tied = [key for key, count in votes.items() if count == most and count > 0]
    return min(tied, key=lambda key: _tie_rank(problem_id, key), default=None)


def _tie_rank(problem_id: str, key: str) -> tuple[bytes, str]:
    return hashlib.blake2b(f"{problem_id}\0{key}".encode(errors="surrogatepass"), digest_size=8).digest(), key


def summarize_ballots(ballots: Sequence[Ballot]) -> dict[str, float]:
    """Label-free statistics of a step's votes, each a mean over problems."""
    return {
        "majority_ratio": fmean(ballot.majority_ratio for ballot in ballots),
        "distinct_answers": fmean(len(ballot.votes) for ballot in ballots),
        "unanimous": fmean(ballot.majority_ratio == 1.0 for ballot in ballots),
        "abstained": fmean(ballot.num_abstentions / ballot.num_voters for ballot in ballots),
        "reward": fmean(fmean(ballot.rewards) for ballot in ballots),
    }


def judge_ballots(ballots: Iterable[Ballot], gold_keys: Mapping[str, Key]) -> dict[str, float]:
    """Against gold answers, for diagnosis only: problems without one are left out.

    Returns:
        `label_accuracy`: share of problems whose pseudo-label is right; `reward_accuracy`: share of responses rewarded
        as gold labels would. Empty where no problem has a gold answer.
    """
    judged = [ballot for ballot in ballots if gold_keys.get(ballot.problem_id) is not None]
    if not judged:
        return {}
    correct_rewards = [
        reward == float(key == gold_keys[ballot.problem_id])
        for ballot in judged
        for key, reward in zip(ballot.keys, ballot.rewards, strict=True)
    ]
    return {
        "label_accuracy": fmean(ballot.pseudo_label == gold_keys[ballot.problem_id] for ballot in judged),
        "reward_accuracy": fmean(correct_rewards),
    }
