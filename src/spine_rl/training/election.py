"""The vote of a whole step, over all processes: responses are grouped by problem id, wherever they stand."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

from spine_rl.voting import LABEL_RULES, MAJORITY, STATISTICS, Ballot, Key, LabelRule, Poll, VoteRule


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
        tokens: Its token ids, for rules that need them.
        statistics: Of its tokens, those of `spine_rl.voting.STATISTICS` that the rule needs.
    """

    problem_id: str
    key: Key
    length: int
    truncated: bool
    extra_keys: tuple[Key, ...] = ()
    extra_length: int = 0
    tokens: tuple[int, ...] = ()
    statistics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Election:
    """All votes of a step.

    Attributes:
        responses: Of all processes, in rank order.
        ballots: A problem each, in order of first appearance.
        rewards: (responses,) as the label rule gives them.
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
    label_rule: LabelRule = LABEL_RULES["majority"],
    gold_keys: Mapping[str, Key] | None = None,
    draw: str = "",
) -> Election:
    """Gathers every process's responses, votes per problem, and rewards.

    Args:
        responses: This process's; every process has as many.
        process_index: This process.
        num_processes: How many there are.
        rule: Of the vote.
        label_rule: Turns a problem's responses into rewards.
        gold_keys: Problem id → key of its gold answer, for a rule that needs it; others never see it.
        draw: Names the step's random draws.
    """
    everyone: list[Response] = gather_object(list(responses)) if num_processes > 1 else list(responses)
    assert len(everyone) == num_processes * len(responses), "processes must hold equally many responses"

    members: dict[str, list[int]] = defaultdict(list)
    for index, response in enumerate(everyone):
        members[response.problem_id].append(index)

    ballots = []
    rewards, group_ids = torch.zeros(len(everyone)), torch.zeros(len(everyone), dtype=torch.long)
    for group, (problem_id, indices) in enumerate(members.items()):
        poll = _make_poll([everyone[index] for index in indices], rule, label_rule.needs, draw)
        if "gold_key" in label_rule.needs:
            poll = replace(poll, gold_key=(gold_keys or {})[problem_id])
        ballot = label_rule.reward(poll)
        ballots.append(ballot)
        rewards[indices] = torch.tensor(ballot.rewards)
        group_ids[indices] = group
    start = process_index * len(responses)
    return Election(everyone, ballots, rewards, group_ids, slice(start, start + len(responses)))


def _make_poll(responses: Sequence[Response], rule: VoteRule, needs: Sequence[str], draw: str) -> Poll:
    """Of one problem's responses."""
    statistics: dict[str, Any] = {
        name: [response.statistics[name] for response in responses] for name in STATISTICS if name in needs
    }
    return Poll(
        problem_id=responses[0].problem_id,
        keys=[response.key for response in responses],
        extra_keys=[key for response in responses for key in response.extra_keys],
        rule=rule,
        lengths=[response.length for response in responses],
        tokens=[response.tokens for response in responses] if "tokens" in needs else (),
        draw=draw,
        **statistics,
    )


def skip_problems(election: Election, skipped: Collection[str]) -> Election:
    """The election with no reward left to these problems, so that no advantage is either."""
    is_skipped = torch.tensor([ballot.problem_id in skipped for ballot in election.ballots])
    return replace(election, rewards=torch.where(is_skipped[election.group_ids], 0.0, election.rewards))


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
