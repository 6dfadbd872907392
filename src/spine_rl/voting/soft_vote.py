"""Soft vote: each response is rewarded by its own answer's share of the votes.

    r_i = n(a_i) / M,     with leave-one-out  r_i = (n(a_i) − 1) / (M − 1)

The starting point of SCOPE (arXiv 2512.15146) and DARE (arXiv 2601.21804); its expectation without a response's own
vote is the chance that two responses agree. Assumes that a share says how likely an answer is to be right: minorities
keep part of the reward, so that a wrong majority costs less and a right one gains less.
"""

from spine_rl.voting.poll import Poll, reward
from spine_rl.voting.vote import Ballot


def reward_soft_vote(poll: Poll) -> Ballot:
    """A response without an answer gets 0; nobody is rewarded where the problem abstains. Rewards are in [0, 1]."""
    ballot = poll.hold_vote()
    own = 1 if poll.rule.leave_one_out else 0
    others = max(1, ballot.num_voters - own)
    shares = [0.0 if key is None else (ballot.votes[key] - own) / others for key in poll.keys]
    return reward(ballot, shares if ballot.pseudo_label is not None else [0.0] * len(shares))
