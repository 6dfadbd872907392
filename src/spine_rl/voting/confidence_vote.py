"""Confidence vote: a vote counts as much as its response is likely, token by token.

    w_i = exp(mean log-probability of the response's tokens)    the label is the answer with the largest sum of weights

SCOPE (arXiv 2512.15146) weights votes by the model's confidence; of it this is the vote alone, without its steps and
subgroups. Assumes that a response the model finds likelier is likelier to be right. The weight is the geometric mean
of the tokens' probabilities, so that length alone does not decide.
"""

from dataclasses import replace
from math import exp

from spine_rl.voting.poll import Poll
from spine_rl.voting.vote import Ballot, hold_vote


def reward_confidence_vote(poll: Poll) -> Ballot:
    """1 for the weighted vote's label, else 0; the ballot's counts stay those of the plain vote.

    Args:
        poll: Needs `mean_logps`; has no `extra_keys`, whose responses nobody scores.
    """
    weights = [exp(logp) for logp in poll.mean_logps]
    weighted = hold_vote(poll.problem_id, poll.keys, rule=poll.rule, weights=weights)
    return replace(poll.hold_vote(), pseudo_label=weighted.pseudo_label, rewards=weighted.rewards)
