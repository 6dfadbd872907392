"""The vote of a whole step, over all processes: responses are grouped by problem id, wherever they stand."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from accelerate.utils import gather_object
from torch import Tensor

from spine_rl.voting import MAJORITY, Ballot, Key, VoteRule, hold_vote


@dataclass(frozen=True)
class Response:
    """What the vote needs of one trained response.

    Attributes:
        problem_id: Its problem's.
        key: Its answer; None abstains.
        length: Its tokens.
        truncated: Whether it ran into the length limit.
        extra_keys: Answers of the vote-only responses drawn beside it.
        extra_length: Their tokens, together.
    """

    problem_id: str
    key: Key
    length: int
    truncated: bool
    extra_keys: tuple[Key, ...] = ()
    extra_length: int = 0


@dataclass(frozen=True)
class Election:
    """All votes of a step.

    Attributes:
        responses: Of all processes, in rank order.
        ballots: A problem each, in order of first appearance.
        rewards: (responses,) as the vote gives them, or as gold answers do for the oracle.
        group_ids: (responses,) the index of each response's ballot.
        local: This process's part of `responses`.
    """

    responses: Sequence[Response]
    ballots: Sequence[Ballot]
    rewards: Tensor
    group_ids: Tensor
    local: slice


def hold_election(
    responses: Sequence[Response],
    *,
    process_index: int = 0,
    num_processes: int = 1,
    rule: VoteRule = MAJORITY,
    gold_rewards: Mapping[str, Key] | None = None,
) -> Election:
    """Gathers every process's responses, votes per problem, and rewards.

    Args:
        responses: This process's; every process has as many.
        process_index: This process.
        num_processes: How many there are.
        rule: Of the vote.
        gold_rewards: Oracle only: gold keys that reward instead of the vote.
    """
    everyone: list[Response] = gather_object(list(responses)) if num_processes > 1 else list(responses)
    assert len(everyone) == num_processes * len(responses), "processes must hold equally many responses"

    members: dict[str, list[int]] = defaultdict(list)
    for index, response in enumerate(everyone):
        members[response.problem_id].append(index)

    ballots = []
    rewards, group_ids = torch.zeros(len(everyone)), torch.zeros(len(everyone), dtype=torch.long)
    for group, (problem_id, indices) in enumerate(members.items()):
        keys = [everyone[index].key for index in indices]
        extra_keys = [key for index in indices for key in everyone[index].extra_keys]
        ballot = hold_vote(problem_id, keys, extra_keys, rule=rule)
        ballots.append(ballot)
        rewards[indices] = torch.tensor(_rewards(ballot, gold_rewards))
        group_ids[indices] = group
    start = process_index * len(responses)
    return Election(everyone, ballots, rewards, group_ids, slice(start, start + len(responses)))


def _rewards(ballot: Ballot, gold_rewards: Mapping[str, Key] | None) -> Sequence[float]:
    if gold_rewards is None:
        return ballot.rewards
    gold = gold_rewards[ballot.problem_id]
    return [float(key is not None and key == gold) for key in ballot.keys]


def summarize_lengths(responses: Sequence[Response]) -> dict[str, float]:
    """Response lengths in tokens and the share that ran into the limit."""
    lengths = torch.tensor([response.length for response in responses], dtype=torch.double)
    low, high = lengths.quantile(torch.tensor([0.1, 0.9], dtype=torch.double)).tolist()
    return {
        "response_length/mean": lengths.mean().item(),
        "response_length/p10": low,
        "response_length/p90": high,
        "response_length/truncated": sum(response.truncated for response in responses) / len(responses),
    }
