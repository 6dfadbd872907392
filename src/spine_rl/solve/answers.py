"""From the votes of a model before and after its adaptation to one answer a problem.

The vote is the answer. That of the adapted model counts where label-free signals say that the adaptation helped: the
kept weights' responses give the first labels more often than the unadapted model's did. Else it is the first vote's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spine_rl.answers import resolve_answer_type, response_key
from spine_rl.diagnose.preflight import measure_votes
from spine_rl.evaluation.responses import ResponseRow
from spine_rl.problems import Problem
from spine_rl.solve.confidence import estimate_confidence
from spine_rl.voting import Ballot, hold_vote


@dataclass(frozen=True)
class Solved:
    """The answer to a problem; shares are of all responses, those without a readable answer too.

    Attributes:
        id: The problem's.
        answer: As votes compare it; None where no response had one.
        share_before: What of the unadapted model's responses gave it.
        share_after: What of the adapted model's.
        first_answer: The unadapted model's vote.
        agree: Both votes chose the same.
        confidence: That the answer is right, calibrated on the lab's runs (`solve.confidence`); None without an answer.
        response: The shortest complete response that gives the answer; None without one.
    """

    id: str
    answer: str | None
    share_before: float
    share_after: float
    first_answer: str | None
    agree: bool
    confidence: float | None
    response: str | None


def solve_problems(
    problems: Sequence[Problem],
    before: Sequence[Sequence[ResponseRow]],
    after: Sequence[Sequence[ResponseRow]],
    *,
    helped: bool,
    answer_type: str = "auto",
) -> list[Solved]:
    """Votes before and after, and takes the one that counts; where that has no answer, the other.

    Args:
        problems: The problems.
        before: Responses of the unadapted model, by problem.
        after: Those of the adapted one.
        helped: Whether the adaptation counts.
        answer_type: How answers are read where a problem does not say.
    """
    return [
        _solve(problem, (first, later), helped, answer_type)
        for problem, first, later in zip(problems, before, after, strict=True)
    ]


def _solve(problem: Problem, rounds: Sequence[Sequence[ResponseRow]], helped: bool, answer_type: str) -> Solved:
    ballots = [_hold_vote(problem, rows, answer_type) for rows in rounds]
    labels = [ballot.pseudo_label for ballot in ballots]
    order = (1, 0) if helped else (0, 1)
    answer = next((labels[index] for index in order if labels[index] is not None), None)
    giving = [
        row.completion
        for index in order
        for row, key in zip(rounds[index], ballots[index].keys, strict=True)
        if key is not None and key == answer
    ]
    share_before, share_after = (_measure_share(ballot, answer) for ballot in ballots)
    agree = labels[0] is not None and labels[0] == labels[1]
    return Solved(
        problem.id,
        answer,
        share_before,
        share_after,
        labels[0],
        agree,
        None if answer is None else round(estimate_confidence(share_before, share_after, agree), 3),
        min(giving, key=len) if giving else None,
    )


def measure_round(
    problems: Sequence[Problem], responses: Sequence[Sequence[ResponseRow]], *, answer_type: str = "auto"
) -> dict[str, float]:
    """A round's votes and lengths, as preflight measures them."""
    ballots = [_hold_vote(problem, rows, answer_type) for problem, rows in zip(problems, responses, strict=True)]
    rows = [row for each in responses for row in each]
    return measure_votes(ballots, [row.num_tokens for row in rows], [row.truncated for row in rows])


def _hold_vote(problem: Problem, rows: Sequence[ResponseRow], answer_type: str) -> Ballot:
    kind = resolve_answer_type(problem.answer_type, bool(problem.options), answer_type)
    return hold_vote(
        problem.id, [response_key(row.completion, kind, problem.options, complete=not row.truncated) for row in rows]
    )


def _measure_share(ballot: Ballot, answer: str | None) -> float:
    return sum(key is not None and key == answer for key in ballot.keys) / len(ballot.keys)


def describe_adaptation(kept: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether the adaptation of a run helped, by what it says of the weights that it kept, and that in a sentence."""
    if kept.get("share") is None:
        return False, f"the answers are the first vote's: {kept.get('reason', 'the run says nothing of its weights')}"
    if kept["step"] == 0:
        return False, f"the answers are the first vote's, as adaptation did not help: {kept['reason']}"
    return True, (
        f"the answers are the adapted model's vote (step {kept['step']} of {kept['last_step']}): {kept['reason']}"
    )
