"""Certainty without a vote: a response is rewarded for how sure of its tokens the model is.

    self-certainty  r_i = mean_t KL(uniform ‖ π(·|s_t))      Intuitor, arXiv 2505.19590
    entropy         r_i = −mean_t H(π(·|s_t))                RENT, arXiv 2505.22660

Both assume that the model is surer where it is right. Nothing looks at answers, so nothing stops a model from being
sure of anything; here a response without an answer gets the lowest reward of its group, as none may win for it.
"""

from spine_rl.voting.poll import Poll, reward_answers_only
from spine_rl.voting.vote import Ballot


def reward_self_certainty(poll: Poll) -> Ballot:
    """Needs `self_certainties`; rewards are in nats, ≥ 0."""
    return reward_answers_only(poll.hold_vote(), poll.self_certainties)


def reward_low_entropy(poll: Poll) -> Ballot:
    """Needs `mean_entropies`; rewards are in nats, ≤ 0."""
    return reward_answers_only(poll.hold_vote(), [-entropy for entropy in poll.mean_entropies])
