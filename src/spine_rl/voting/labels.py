"""Rewards by agreement with one label: the majority's, the gold one, a random one, or none."""

import random

from spine_rl.voting.poll import Poll, reward
from spine_rl.voting.vote import Ballot, Key


def reward_majority(poll: Poll) -> Ballot:
    """1 for the answer that most responses give, else 0.

    Reference: TTRL, arXiv 2504.16084. Assumes that the model is right more often than it is wrong in any one way.
    """
    return poll.hold_vote()


def reward_gold(poll: Poll) -> Ballot:
    """1 for the right answer, else 0: an upper bound, and no method without labels."""
    return _agree_with(poll.gold_key, poll)


def reward_none(poll: Poll) -> Ballot:
    """0 for every response, so that no advantage is left: a control for what a band or an anchor does alone."""
    return _agree_with(None, poll)


def reward_random(poll: Poll) -> Ballot:
    """1 for one of the different answers given, each as likely as the others however many gave it: a control."""
    ballot = poll.hold_vote()
    answers = sorted(ballot.votes)
    drawn = random.Random(f"{poll.draw}/{poll.problem_id}").choice(answers) if answers else None
    return _agree_with(drawn, poll)


def _agree_with(label: Key, poll: Poll) -> Ballot:
    """The ballot keeps the vote's label: what is logged of the vote stays comparable."""
    return reward(poll.hold_vote(), [float(key is not None and key == label) for key in poll.keys])
