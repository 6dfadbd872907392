"""EVOL-RL (arXiv 2509.15194): the majority sets a reward's sign, novelty its size.

    u_i = 1 − ½·(mean similarity to the others on the same side + greatest similarity to any other response)
    ũ_i = u_i scaled to [0, 1] within its side (½ where all are equal)
    r_i = ½ + ½·ũ_i on the majority's side,  −1 + ½·ũ_i on the other,  −1 without an answer

Assumes that reasoning that differs keeps a model from narrowing down. The paper compares embeddings of another model;
here two responses are as similar as the cosine of their counts of neighbouring pairs of tokens: local, and without a
second model. The paper's entropy bonus and asymmetric clip are other fields (`band`, `epsilon_high`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import fsum, sqrt

from spine_rl.voting.poll import Poll, reward
from spine_rl.voting.vote import Ballot


def reward_evol(poll: Poll) -> Ballot:
    """Needs `tokens`; nobody is rewarded where the problem abstains."""
    ballot = poll.hold_vote()
    if ballot.pseudo_label is None:
        return ballot
    readable = [index for index, key in enumerate(poll.keys) if key is not None]
    profiles = {index: count_pairs(poll.tokens[index]) for index in readable}
    alike = {(i, j): compare_profiles(profiles[i], profiles[j]) for i in readable for j in readable if i < j}
    novelty = {}
    for i in readable:
        others = {j: alike[min(i, j), max(i, j)] for j in readable if j != i}
        own_side = [value for j, value in others.items() if ballot.rewards[j] == ballot.rewards[i]]
        mean = fsum(own_side) / max(1, len(own_side))
        novelty[i] = 1 - (mean + max(others.values(), default=0.0)) / 2
    rewards = [-1.0] * len(poll.keys)
    for agrees, base in ((1.0, 0.5), (0.0, -1.0)):
        side = [index for index in readable if ballot.rewards[index] == agrees]
        for index, scaled in zip(side, _scale([novelty[index] for index in side]), strict=True):
            rewards[index] = base + scaled / 2
    return reward(ballot, rewards)


def count_pairs(tokens: Sequence[int]) -> Mapping[tuple[int, int], int]:
    """How often each two tokens follow each other, the beginning and the end included."""
    return Counter(zip((-1, *tokens), (*tokens, -1), strict=True))


def compare_profiles(one: Mapping[tuple[int, int], int], other: Mapping[tuple[int, int], int]) -> float:
    """The cosine of two counts, in [0, 1]."""
    product = sum(count * other.get(pair, 0) for pair, count in one.items())
    sizes = sum(count**2 for count in one.values()) * sum(count**2 for count in other.values())
    return product / sqrt(sizes)


def _scale(values: Sequence[float]) -> list[float]:
    low, high = min(values, default=0.0), max(values, default=0.0)
    return [(value - low) / (high - low) if high - low > 1e-9 else 0.5 for value in values]
