"""The vote of a whole step, over all processes: responses are grouped by problem id, wherever they stand.

What is rewarded is agreement with the vote's label, or where `reward_source` says so with another one.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from accelerate.utils import gather_object
from torch import Tensor

from spine_rl.voting import MAJORITY, Ballot, Key, VoteRule, hold_vote

ChooseLabel = Callable[[Ballot], Key]


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
        rewards: (responses,) as the vote gives them, or as `reward_source` says.
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
    choose_label: ChooseLabel | None = None,
) -> Election:
    """Gathers every process's responses, votes per problem, and rewards.

    Args:
        responses: This process's; every process has as many.
        process_index: This process.
        num_processes: How many there are.
        rule: Of the vote.
        choose_label: Gives the label that is rewarded instead of the vote's; for the oracle and for controls.
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
        rewards[indices] = torch.tensor(_rewards(ballot, choose_label))
        group_ids[indices] = group
    start = process_index * len(responses)
    return Election(everyone, ballots, rewards, group_ids, slice(start, start + len(responses)))


def _rewards(ballot: Ballot, choose_label: ChooseLabel | None) -> Sequence[float]:
    if choose_label is None:
        return ballot.rewards
    label = choose_label(ballot)
    return [float(key is not None and key == label) for key in ballot.keys]


def make_label_choice(reward_source: str, gold_keys: Mapping[str, Key], *, seed: int, step: int) -> ChooseLabel | None:
    """What `hold_election` takes for a source of rewards.

    Args:
        reward_source: `vote`: the vote's own label; `gold`: the gold answer (oracle); `none`: no label, so that every
            advantage is 0 (control); `random`: one of the different answers that the problem's responses gave, each as
            likely as the others however many gave it, so that agreement says nothing (control).
        gold_keys: Problem id → key of its gold answer.
        seed: Of `random`.
        step: Of the run; `random` draws anew at each.
    """

    def draw(ballot: Ballot) -> Key:
        answers = sorted(ballot.votes)
        return random.Random(f"{seed}/{step}/{ballot.problem_id}").choice(answers) if answers else None

    choices: Mapping[str, ChooseLabel | None] = {
        "vote": None,
        "gold": lambda ballot: gold_keys[ballot.problem_id],
        "none": lambda ballot: None,
        "random": draw,
    }
    return choices[reward_source]


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
