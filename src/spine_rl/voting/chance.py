"""Whether answers depend on the problem: agreement within problems beside agreement between them.

Where a model answers alike whatever it is asked, its vote knows nothing of the problem, however clear it is, and
reinforcing it makes one answer everybody's. Fleiss' kappa (Psychological Bulletin 76, 1971) tells the two apart:

    κ = (P − P_e) / (1 − P_e)

P is the chance that two responses to a problem agree, P_e that two responses to different problems do. 1 is full
agreement that follows the problem, 0 what chance gives. Where each problem has answers of its own P_e is about 0.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

Votes = Mapping[str, float]  # by answer, of one problem


def measure_chance_agreement(votes: Sequence[Votes]) -> float | None:
    """P_e, of responses with an answer; None with fewer than two problems that have one.

    No pair is of one problem, so the mean over steps of few problems is unbiased.

    Args:
        votes: Of each problem; they may be sums of weights.
    """
    shares = [_to_shares(each) for each in votes if sum(each.values()) > 0]
    if len(shares) < 2:
        return None
    together = Counter[str]()
    for each in shares:
        together.update(each)
    same = sum(share**2 for each in shares for share in each.values())
    pairs = len(shares) * (len(shares) - 1)
    return min(1.0, max(0.0, (sum(total**2 for total in together.values()) - same) / pairs))


def measure_kappa(votes: Sequence[Votes]) -> float | None:
    """κ, over problems with two answers or more; None with fewer than two of them. 0 where all answers are the same.

    Args:
        votes: Of each problem, a whole number of responses an answer.
    """
    answered = [each for each in votes if sum(each.values()) > 1]
    chance = measure_chance_agreement(answered)
    if chance is None:
        return None
    return (fmean(map(_agree_within, answered)) - chance) / (1 - chance) if chance < 1 else 0.0


def _to_shares(votes: Votes) -> Votes:
    total = sum(votes.values())
    return {key: number / total for key, number in votes.items()}


def _agree_within(votes: Votes) -> float:
    total = sum(votes.values())
    return sum(number * (number - 1) for number in votes.values()) / (total * (total - 1))
