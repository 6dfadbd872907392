"""A step's votes in a few numbers: without labels, and against gold answers for diagnosis."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from spine_rl.voting.chance import measure_chance_agreement
from spine_rl.voting.vote import Ballot, Key


def summarize_ballots(ballots: Sequence[Ballot]) -> dict[str, float]:
    """Label-free statistics of a step's votes, each a mean over problems, or over pairs of them."""
    chance = measure_chance_agreement([ballot.votes for ballot in ballots])
    return {
        "majority_ratio": fmean(ballot.majority_ratio for ballot in ballots),
        "margin": fmean(ballot.margin for ballot in ballots),
        "distinct_answers": fmean(len(ballot.votes) for ballot in ballots),
        "unanimous": fmean(ballot.majority_ratio == 1.0 for ballot in ballots),
        "abstained": fmean(ballot.num_abstentions / ballot.num_voters for ballot in ballots),
        "unlabelled": fmean(ballot.pseudo_label is None for ballot in ballots),
        "reward": fmean(fmean(ballot.rewards) for ballot in ballots),
        **({} if chance is None else {"chance_agreement": chance}),
    }


def judge_ballots(ballots: Iterable[Ballot], gold_keys: Mapping[str, Key]) -> dict[str, float]:
    """Against gold answers, for diagnosis only: problems without one are left out.

    Returns:
        `label_accuracy`: share of problems whose pseudo-label is right; `reward_accuracy`: share of responses rewarded
        as gold labels would, where rewards are 0 and 1; `pass@1`: share of the trained responses that are right.
        Empty where no problem has a gold answer.
    """
    judged = [ballot for ballot in ballots if gold_keys.get(ballot.problem_id) is not None]
    if not judged:
        return {}
    rewarded = [
        (reward, float(key == gold_keys[ballot.problem_id]))
        for ballot in judged
        for key, reward in zip(ballot.keys, ballot.rewards, strict=True)
    ]
    accuracy = {}
    if all(reward in (0.0, 1.0) for reward, _ in rewarded):
        accuracy["reward_accuracy"] = fmean(reward == right for reward, right in rewarded)
    return {
        "label_accuracy": fmean(ballot.pseudo_label == gold_keys[ballot.problem_id] for ballot in judged),
        **accuracy,
        "pass@1": fmean(right for _, right in rewarded),
    }
