"""Responses against gold answers: every metric's value on every problem."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from spine_rl.answers import gold_key, response_key, settle_answer_types
from spine_rl.errors import DataError
from spine_rl.evaluation.metrics import (
    compute_maj_at_k,
    compute_mean_at_k,
    compute_pass_at_k,
    is_correct,
    list_pass_ks,
    warn_of_unreadable_gold,
)
from spine_rl.evaluation.responses import ResponseRow
from spine_rl.problems import Problem
from spine_rl.voting import Key, hold_vote

PERCENTILES = (10, 50, 90)


@dataclass(frozen=True)
class AnswerSheet:
    """Problems with how their answers are read, and the gold keys.

    Attributes:
        problems: The problems.
        types: Answer type of each.
        gold: Gold key of each.
    """

    problems: Sequence[Problem]
    types: Sequence[str]
    gold: Sequence[Key]

    def read(self, index: int, record: ResponseRow) -> Key:
        """The key of a response to the problem at an index."""
        options = self.problems[index].options
        return response_key(record.completion, self.types[index], options, complete=not record.truncated)


def make_answer_sheet(
    problems: Sequence[Problem], gold_answers: Mapping[str, str], answer_type: str = "auto"
) -> AnswerSheet:
    """Reads the gold answers.

    Args:
        problems: The problems; an answer type of their own wins.
        gold_answers: Problem id → gold answer.
        answer_type: Of the others; `auto` reads letters where there are options, and else goes by the gold answers.

    Raises:
        DataError: A problem has no gold answer.
        ConfigError: There is no such answer type.
    """
    missing = [problem.id for problem in problems if not gold_answers.get(problem.id, "").strip()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DataError(
            f"problem {missing[0]!r}{more} has no gold answer; evaluation needs one for every problem: fill it, remove "
            "the problem, or name another --gold-column"
        )
    known = [(problem.answer_type, bool(problem.options), gold_answers[problem.id]) for problem in problems]
    types = settle_answer_types(known, answer_type)
    gold = [
        gold_key(gold_answers[problem.id], kind, problem.options) for problem, kind in zip(problems, types, strict=True)
    ]
    warn_of_unreadable_gold({problem.id: key for problem, key in zip(problems, gold, strict=True)})
    return AnswerSheet(problems, types, gold)


@dataclass(frozen=True)
class Scores:
    """What a model scored.

    Attributes:
        columns: Metric → its value on each problem; the metric is the mean.
        totals: Metrics that are no mean over problems.
    """

    columns: dict[str, list[float]]
    totals: dict[str, float]

    @property
    def metrics(self) -> dict[str, float]:
        """Every metric by name."""
        num_problems = len(next(iter(self.columns.values())))
        means = {name: fmean(column) for name, column in self.columns.items()}
        return {"n_problems": num_problems, **means, **self.totals}


def score_responses(
    sheet: AnswerSheet, greedy: Sequence[ResponseRow], samples: Sequence[Sequence[ResponseRow]]
) -> Scores:
    """Grades a greedy response and k samples a problem, in the sheet's order."""
    k = len(samples[0])
    greedy_keys = [sheet.read(index, record) for index, record in enumerate(greedy)]
    keys = [[sheet.read(index, record) for record in row] for index, row in enumerate(samples)]
    ballots = [hold_vote(problem.id, row) for problem, row in zip(sheet.problems, keys, strict=True)]
    num_correct = [sum(is_correct(key, gold) for key in row) for row, gold in zip(keys, sheet.gold, strict=True)]
    columns = {
        "greedy_pass@1": [float(is_correct(key, gold)) for key, gold in zip(greedy_keys, sheet.gold, strict=True)],
        f"mean@{k}": [compute_mean_at_k(row, gold) for row, gold in zip(keys, sheet.gold, strict=True)],
        **{f"pass@{j}": [compute_pass_at_k(k, count, j) for count in num_correct] for j in list_pass_ks(k)},
        f"maj@{k}": _vote_column(sheet, keys),
        "majority_ratio": [ballot.majority_ratio for ballot in ballots],
        "response_length": [fmean(record.num_tokens for record in row) for row in samples],
        "greedy_response_length": [float(record.num_tokens) for record in greedy],
        "truncated": [fmean(record.truncated for record in row) for row in samples],
        "greedy_truncated": [float(record.truncated) for record in greedy],
        "unparseable": [fmean(key is None for key in row) for row in keys],
        "greedy_unparseable": [float(key is None) for key in greedy_keys],
    }
    return Scores(columns, _summarize_tokens([record for row in samples for record in row]))


def score_votes(sheet: AnswerSheet, samples: Sequence[Sequence[ResponseRow]]) -> list[float]:
    """maj@k a problem, of all its samples."""
    return _vote_column(sheet, [[sheet.read(index, record) for record in row] for index, row in enumerate(samples)])


def _vote_column(sheet: AnswerSheet, keys: Sequence[Sequence[Key]]) -> list[float]:
    return [
        compute_maj_at_k(problem.id, row, gold)
        for problem, row, gold in zip(sheet.problems, keys, sheet.gold, strict=True)
    ]


def _summarize_tokens(records: Sequence[ResponseRow]) -> dict[str, float]:
    """Percentiles of the lengths, and the mean entropy a token where it was measured."""
    lengths = np.percentile([record.num_tokens for record in records], PERCENTILES).tolist()
    totals = {f"response_length_p{p}": length for p, length in zip(PERCENTILES, lengths, strict=True)}
    weighted = [record.entropy * record.num_tokens for record in records if record.entropy is not None]
    if len(weighted) == len(records):
        totals["entropy"] = sum(weighted) / max(1, sum(record.num_tokens for record in records))
    return totals
