"""`spine vote`: pseudo-labels for completions of any system."""

import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from statistics import fmean
from typing import Any

from spine_rl.answers import canonical_key, check_answer_type, extract_answer, resolve_answer_type
from spine_rl.cli.completions import Completion, dump, read_completions
from spine_rl.cli.last_resort import is_output_closed
from spine_rl.errors import ConfigError, DataError
from spine_rl.runs.kinds import json_kind, rows_kind
from spine_rl.runs.may_write import Output, check_may_write
from spine_rl.runs.whole_file import open_whole, write_whole
from spine_rl.voting import VoteRule, compute_share_and_margin, decide

_ROWS = rows_kind("rows of spine vote", "id", "pseudo_label", "votes")
_SUMMARY = json_kind("a summary of spine vote", "problems", "completions", "labelled")


@dataclass
class _Poll:
    """A problem's votes so far; its completions are not kept. Weights are added exactly."""

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


def run_vote(
    source: str,
    *,
    answer_type: str,
    rule: VoteRule,
    weighted: bool,
    out: Path | None,
    json_out: Path | None,
    overwrite: bool,
) -> None:
    """Votes on every problem, in the order of first appearance; see `spine vote --help`."""
    check_answer_type(answer_type)
    outputs = [Output(out, _ROWS), Output(json_out, _SUMMARY, "--json")]
    check_may_write(outputs, overwrite=overwrite, reads=[source])
    if out is None and is_output_closed():
        raise ConfigError("standard output is closed, and the labels would be lost; give --out FILE")
    polls: dict[str, _Poll] = {}
    for completion in read_completions(source):
        key, text = _read(completion, answer_type)
        polls.setdefault(completion.problem_id, _Poll()).add(key, text, _weight(completion, weighted))
    rows = [poll.report(problem_id, rule) for problem_id, poll in polls.items()]
    with ExitStack() as stack:
        file = sys.stdout if out is None else stack.enter_context(open_whole(out, replace=overwrite))
        file.writelines(map(dump, rows))
    summary = {
        "problems": len(rows),
        "completions": sum(row["num_votes"] for row in rows),
        "labelled": sum(row["pseudo_label"] is not None for row in rows),
        "share": fmean(row["share"] for row in rows),
        "margin": fmean(row["margin"] for row in rows),
        "abstained": sum(row["abstentions"] for row in rows) / sum(row["num_votes"] for row in rows),
    }
    if json_out is not None:
        write_whole(json_out, json.dumps(summary, indent=2) + "\n", replace=overwrite)
    print(
        f"{summary['labelled']} of {summary['problems']} problems labelled from {summary['completions']} completions; "
        f"mean share {summary['share']:.3f}, margin {summary['margin']:.3f}, abstained {summary['abstained']:.3f}",
        file=sys.stderr,
    )


def _read(completion: Completion, answer_type: str) -> tuple[str | None, str | None]:
    kind = resolve_answer_type(completion.answer_type, bool(completion.options), answer_type)
    text = extract_answer(completion.text, kind, completion.options, complete=not completion.truncated)
    return (None, None) if text is None else (canonical_key(text, kind, completion.options), text)


def _weight(completion: Completion, weighted: bool) -> Fraction:
    if not weighted:
        return Fraction(1)
    if completion.weight is None:
        raise DataError(f"problem {completion.problem_id!r}: a row has no weight, give one to every row")
    return Fraction(completion.weight)


def _tidy(count: Fraction) -> float:
    return int(count) if count.denominator == 1 else float(count)
