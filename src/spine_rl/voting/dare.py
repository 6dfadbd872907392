"""DARE (arXiv 2601.21804): shares weighted by certainty, a bonus for rare and certain answers, unlikely ones pruned.

    u(a)  = mean entropy of the answer's responses, at most 1
    p̂(a) ∝ n(a) / (u(a) + ε)
    r_i   = p̂(a) + α·(1 − n(a)/M)·(1 − u(a))    where p̂(a) ≥ τ,  else 0

Assumes that certainty, where answers are equally frequent, speaks for an answer. We have the rule from the paper's
summaries, without its constants: α = 0.1, τ = 0.1, ε = 0.01 are ours, as is the cap of u, which is an entropy in
nats.
"""

from statistics import fmean

from spine_rl.voting.poll import Poll, reward
from spine_rl.voting.vote import Ballot, add_in_any_order


def reward_dare(poll: Poll, *, bonus: float = 0.1, least_share: float = 0.1, epsilon: float = 0.01) -> Ballot:
    """A response without an answer gets 0, and nobody gets less; nobody is rewarded where the problem abstains.

    Args:
        poll: Needs `mean_entropies`.
        bonus: α.
        least_share: τ.
        epsilon: ε, in nats.
    """
    ballot = poll.hold_vote()
    if ballot.pseudo_label is None:
        return ballot
    entropies: dict[str, list[float]] = {key: [] for key in ballot.votes}
    for key, entropy in zip(poll.keys, poll.mean_entropies, strict=True):
        if key is not None:
            entropies[key].append(entropy)
    uncertainty = {key: min(1.0, fmean(values)) for key, values in entropies.items()}
    weights = {key: count / (uncertainty[key] + epsilon) for key, count in ballot.votes.items()}
    total = add_in_any_order(weights.values())

    def value(key: str) -> float:
        share = weights[key] / total
        rarity = 1 - ballot.votes[key] / ballot.num_voters
        return share + bonus * rarity * (1 - uncertainty[key]) if share >= least_share else 0.0

    return reward(ballot, [0.0 if key is None else value(key) for key in poll.keys])
