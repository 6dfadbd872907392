"""Problems whose label once flipped, and is now trusted again, are taken less often.

TTRL-Guard (arXiv 2605.19444): a problem whose label has changed, and whose majority's share over its last five votes
is above one half, is left out of a step's update with probability 0.7; at most a quarter of a step's problems are.
Assumes that a label which changed hands and then grew firm is more likely a shared mistake. The paper's bonus for
minority answers is not part of it.
"""

import random
from collections.abc import Sequence
from statistics import fmean

from spine_rl.voting.vote import Ballot

PROBLEM_RULES = ("all", "flip-guard")
RECENT_VOTES = 5
_MIN_SHARE = 0.5  # of the majority, mean over the last votes, that must be exceeded
_PROBABILITY = 0.7  # with which such a problem is left out
_AT_MOST = 0.25  # share of a step's problems that are left out, rounded down

# Problem id → its last votes as (step, label, the majority's share), and the step of the first flip, -1 without one.
LabelHistory = dict[str, tuple[list[tuple[int, str, float]], int]]


def remember_votes(history: LabelHistory, ballots: Sequence[Ballot], step: int) -> None:
    """Adds a step's labels to the memory of a run; problems without a label are passed over."""
    for ballot in ballots:
        if ballot.pseudo_label is None:
            continue
        votes, flipped = history.get(ballot.problem_id, ([], -1))
        if flipped < 0 and votes and votes[-1][1] != ballot.pseudo_label:
            flipped = step
        votes = [*votes, (step, ballot.pseudo_label, ballot.majority_ratio)]
        history[ballot.problem_id] = votes[-RECENT_VOTES:], flipped


def choose_skipped(history: LabelHistory, ballots: Sequence[Ballot], draw: str) -> frozenset[str]:
    """The problems of a step that are left out of its update.

    Args:
        history: With this step's votes.
        ballots: The step's, in any order.
        draw: Names the step's random draws; a problem's depends on its id and this alone.
    """
    drawn = {
        ballot.problem_id: random.Random(f"{draw}/{ballot.problem_id}").random()
        for ballot in ballots
        if _is_suspect(history, ballot.problem_id)
    }
    chosen = sorted((number, id_) for id_, number in drawn.items() if number < _PROBABILITY)
    return frozenset(id_ for _, id_ in chosen[: int(_AT_MOST * len(ballots))])


def forget_votes(history: LabelHistory, step: int) -> None:
    """Forgets votes of weights that had done more steps than these, which a run that goes back has left."""
    for problem_id, (votes, flipped) in [*history.items()]:
        kept = [vote for vote in votes if vote[0] <= step]
        if kept:
            history[problem_id] = kept, flipped if flipped <= step else -1
        else:
            del history[problem_id]


def _is_suspect(history: LabelHistory, problem_id: str) -> bool:
    votes, flipped = history.get(problem_id, ([], -1))
    return flipped >= 0 and fmean(share for _, _, share in votes) > _MIN_SHARE
