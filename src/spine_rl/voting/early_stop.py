"""When no further vote can change the outcome, so that none need be drawn."""

from collections.abc import Mapping

from spine_rl.voting.vote import MAJORITY, VoteRule, elect, rank_tie


def is_decided(
    problem_id: str, votes: Mapping[str, float], num_voters: int, num_remaining: int, rule: VoteRule = MAJORITY
) -> bool:
    """Whether no outcome of the remaining votes can change the label, or with `leave_one_out` a reward.

    Exact for the label: it says no only where some way for the remaining responses to vote or abstain would change it,
    but for ties with answers that nobody has given yet, which are taken to be lost.

    Args:
        problem_id: Enters the tie rule.
        votes: Votes so far, one a response.
        num_voters: Responses asked so far, abstentions included.
        num_remaining: Responses still to be asked.
        rule: See `VoteRule`.
    """
    total = num_voters + num_remaining
    winner = elect(problem_id, votes)
    counts = sorted(votes.values(), reverse=True)
    first, second = [*counts, 0, 0][:2]
    if num_remaining == 0:
        return True
    if (first + num_remaining) / total < rule.min_share or (first - second + num_remaining) / total < rule.min_margin:
        return True  # not even if all of them voted for the first: the problem abstains
    if first / total < rule.min_share or (first - second - num_remaining) / total < rule.min_margin:
        return False
    lead_needed = num_remaining + (1 if rule.leave_one_out else 0)
    rivals = {key: count for key, count in votes.items() if key != winner}
    return (
        winner is not None
        and first > lead_needed
        and all(
            count + lead_needed < first
            or (count + lead_needed == first and rank_tie(problem_id, winner) < rank_tie(problem_id, key))
            for key, count in rivals.items()
        )
    )
