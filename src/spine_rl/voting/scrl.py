"""SCRL (arXiv 2603.19880): a clear majority is rewarded, rare and uncertain answers are punished.

    ΔH(a) = mean entropy of the answer's responses − mean entropy of all readable ones
    r_i =  p − λ·ΔH              a is the first answer, p ≥ 0.375 and its lead over the second > 0.125
    r_i = −(0.125 − p) − λ·ΔH    p < 0.125 and ΔH ≥ 0
    r_i = −λ·ΔH                  else
    r_i = −1                     no answer;  p = n(a)/M, λ = 0.1

Assumes that a weak consensus is often wrong, and that a wrong answer is rarer and less certain than a right one.
Entropies are means over a response's tokens, of the trained responses; votes are of all M. A reward below −1 is −1,
so that no response does worse than one without an answer.
"""

from statistics import fmean

from spine_rl.voting.poll import Poll, reward
from spine_rl.voting.vote import Ballot


def reward_scrl(
    poll: Poll, *, min_share: float = 0.375, min_lead: float = 0.125, rare: float = 0.125, entropy_coef: float = 0.1
) -> Ballot:
    """
    Args:
        poll: Needs `mean_entropies`.
        min_share: Share of the votes that makes the first answer a positive label.
        min_lead: Its lead over the second must be larger.
        rare: Answers with a smaller share may be negative labels.
        entropy_coef: λ.
    """
    ballot = poll.hold_vote()
    by_answer: dict[str, list[float]] = {}
    for key, entropy in zip(poll.keys, poll.mean_entropies, strict=True):
        if key is not None:
            by_answer.setdefault(key, []).append(entropy)
    everyone = fmean(value for values in by_answer.values() for value in values) if by_answer else 0.0
    is_clear = ballot.majority_ratio >= min_share and ballot.margin > min_lead

    def value(key: str) -> float:
        share, excess = ballot.votes[key] / ballot.num_voters, fmean(by_answer[key]) - everyone
        if is_clear and key == ballot.pseudo_label:
            return share - entropy_coef * excess
        if share < rare and excess >= 0:
            return share - rare - entropy_coef * excess
        return -entropy_coef * excess

    return reward(ballot, [-1.0 if key is None else max(-1.0, value(key)) for key in poll.keys])
