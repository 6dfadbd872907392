"""From the answers of a problem's responses to a label and to rewards. Pure Python; a file an idea.

`vote` counts, elects and breaks ties; `early_stop` says when no further vote matters; `label_rule` has the registry
of the rules that turn a problem's responses into rewards, of which each has a file; `flip_guard` takes problems whose
label changed less often; `chance` says whether answers depend on the problem; `summaries` are a step's figures.
"""

from spine_rl.voting.chance import measure_kappa
from spine_rl.voting.early_stop import is_decided
from spine_rl.voting.flip_guard import PROBLEM_RULES, LabelHistory, choose_skipped, forget_votes, remember_votes
from spine_rl.voting.label_rule import LABEL_RULES, LabelRule, get_label_rule
from spine_rl.voting.poll import STATISTICS, Poll
from spine_rl.voting.summaries import judge_ballots, summarize_ballots
from spine_rl.voting.vote import (
    MAJORITY,
    Ballot,
    Key,
    VoteRule,
    compute_share_and_margin,
    count_votes,
    decide,
    elect,
    hold_vote,
    leave_out,
)

__all__ = [
    "LABEL_RULES",
    "MAJORITY",
    "PROBLEM_RULES",
    "STATISTICS",
    "Ballot",
    "Key",
    "LabelHistory",
    "LabelRule",
    "Poll",
    "VoteRule",
    "choose_skipped",
    "compute_share_and_margin",
    "count_votes",
    "decide",
    "elect",
    "forget_votes",
    "get_label_rule",
    "hold_vote",
    "is_decided",
    "judge_ballots",
    "leave_out",
    "measure_kappa",
    "remember_votes",
    "summarize_ballots",
]
