"""Pseudo-labels by majority vote, for completions of any system."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import fmean
from typing import Any

from spine_rl.answers import resolve_answer_type
from spine_rl.errors import DataError
from spine_rl.evaluation.completions import Completion
from spine_rl.voting import VoteRule, compute_share_and_margin, decide, measure_kappa


@dataclass
class _Poll:
    """A problem's votes so far; its completions are not kept. Weights are added exactly.

    Attributes:
        read_as: Type and options by which its first completion's answer was read.
    """

    read_as: tuple[str, tuple[str, ...]]
    votes: dict[str, Fraction] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    abstained: Fraction = Fraction(0)
    num_completions: int = 0
    num_abstentions: int = 0

    def add(self, key: str | None, text: str | None, weight: Fraction) -> None:
        self.num_completions += 1
        if key is None:
            self.num_abstentions += 1
            self.abstained += weight
            return
        self.votes[key] = self.votes.get(key, Fraction(0)) + weight
        self.texts.setdefault(key, text or "")

    def report(self, problem_id: str, rule: VoteRule) -> dict[str, Any]:
        exact = sum(self.votes.values(), self.abstained)
        if exact > sys.float_info.max:
            raise DataError(f"problem {problem_id!r}: its weights add up to more than {sys.float_info.max}; scale them")
        total, votes = float(exact), {key: _tidy(count) for key, count in self.votes.items()}
        share, margin = compute_share_and_margin(votes, total)
        label = decide(problem_id, votes, total, rule)
        return {
            "id": problem_id,
            "pseudo_label": label,
            "answer": None if label is None else self.texts[label],
            "share": share,
            "margin": margin,
            "votes": dict(sorted(votes.items(), key=lambda item: (-item[1], item[0]))),
            "abstentions": self.num_abstentions,
            "num_votes": self.num_completions,
        }


def count_votes(
    completions: Iterable[Completion], answer_type: str, rule: VoteRule, *, weighted: bool = False
) -> list[dict[str, Any]]:
    """A row per problem, in the order of first appearance: label, answer, share, margin, votes.

    Args:
        completions: As they come; none is kept.
        answer_type: How answers are read where a completion does not say.
        rule: How labels follow from votes.
        weighted: Whether votes count by the completions' weights.

    Raises:
        DataError: A weight is missing, or a problem's add up to more than a number holds; or its rows are of several
            kinds.
    """
    polls: dict[str, _Poll] = {}
    for completion in completions:
        kind = resolve_answer_type(completion.answer_type, bool(completion.options), answer_type)
        poll = polls.setdefault(completion.problem_id, _Poll((kind, completion.options)))
        if poll.read_as != (kind, completion.options):
            raise DataError(
                f"problem {completion.problem_id!r}: its rows have different options or answer types, so their answers "
                "cannot be compared; give the same, or an id for each"
            )
        text, key = completion.read(kind, completion.options)
        poll.add(key, text, _weight(completion, weighted))
    return [poll.report(problem_id, rule) for problem_id, poll in polls.items()]


def summarize_votes(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Counts, and means over the rows of `count_votes`; Fleiss' kappa, None where votes are weighted or too few."""
    votes = [row["votes"] for row in rows]
    is_plain = all(sum(row["votes"].values()) + row["abstentions"] == row["num_votes"] for row in rows)
    completions = sum(row["num_votes"] for row in rows)
    return {
        "problems": len(rows),
        "completions": completions,
        "labelled": sum(row["pseudo_label"] is not None for row in rows),
        "share": fmean(row["share"] for row in rows),
        "margin": fmean(row["margin"] for row in rows),
        "abstained": sum(row["abstentions"] for row in rows) / completions,
        "kappa": measure_kappa(votes) if is_plain else None,
    }


def describe_summary(summary: Mapping[str, float | None]) -> str:
    """What `summarize_votes` says, in a line."""
    line = (
        "{labelled} of {problems} problems labelled from {completions} completions; mean share {share:.3f}, "
        "margin {margin:.3f}, abstained {abstained:.3f}"
    )
    return (line if summary["kappa"] is None else line + ", Fleiss' kappa {kappa:.3f}").format_map(summary)


def _weight(completion: Completion, weighted: bool) -> Fraction:
    if not weighted:
        return Fraction(1)
    if completion.weight is None:
        raise DataError(f"problem {completion.problem_id!r}: a row has no weight, give one to every row")
    return Fraction(completion.weight)


def _tidy(count: Fraction) -> float:
    return int(count) if count.denominator == 1 else float(count)
