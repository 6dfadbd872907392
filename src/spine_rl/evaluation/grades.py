"""Completions of any system, graded against gold answers as they come."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from statistics import fmean
from typing import Any

from spine_rl.answers import explain_response, gold_key, response_key, settle_answer_types
from spine_rl.errors import DataError
from spine_rl.evaluation.completions import Completion, read_completions
from spine_rl.evaluation.metrics import compute_pass_at_k, is_correct, list_pass_ks, warn_of_unreadable_gold
from spine_rl.problems import load_problems
from spine_rl.problems.benchmarks import split_benchmark_source
from spine_rl.problems.read import read_rows
from spine_rl.problems.values import find_id_column, read_answer_type, read_gold, read_id, read_options
from spine_rl.voting import Key, elect


@dataclass(frozen=True)
class Gold:
    """How a problem's answers are read, and the key of the right one."""

    answer_type: str
    options: tuple[str, ...]
    key: Key


@dataclass(frozen=True)
class _GoldRow:
    """A gold answer as its row has it."""

    problem_id: str
    answer: str
    options: tuple[str, ...]
    answer_type: str | None


@dataclass
class _Tally:
    """A problem's grades so far; its completions are not kept."""

    num_samples: int = 0
    num_correct: int = 0
    votes: Counter[str] = field(default_factory=Counter)


class Grader:
    """Grades completions one by one, and counts; none is kept.

    Args:
        gold: Of `load_gold`.
    """

    def __init__(self, gold: Mapping[str, Gold]):
        self._gold = gold
        self._tallies: dict[str, _Tally] = {}
        self._unparseable = self._truncated = self._known_truncated = 0

    def grade(self, completion: Completion) -> dict[str, Any]:
        """A row: `id`, `sample`, `extracted`, `key`, `correct`.

        Raises:
            DataError: There is no gold answer of its id.
        """
        if completion.problem_id not in self._gold:
            raise DataError(
                f"id {completion.problem_id!r} is not among the gold answers; both need the same ids: name the gold's "
                "with --id-column"
            )
        gold, tally = self._gold[completion.problem_id], self._tallies.setdefault(completion.problem_id, _Tally())
        options = gold.options or completion.options
        text, key = completion.read(gold.answer_type, options)
        correct = is_correct(key, gold.key)
        row = {
            "id": completion.problem_id,
            "sample": tally.num_samples,
            "extracted": text,
            "key": key,
            "correct": correct,
        }
        tally.num_samples += 1
        tally.num_correct += correct
        self._unparseable += key is None
        self._known_truncated += completion.truncated is not None
        self._truncated += bool(completion.truncated)
        if key is not None:
            tally.votes[key] += 1
        return row

    def summarize(self) -> dict[str, float]:
        """Means over the problems that have completions."""
        tallies, gold = self._tallies, self._gold
        smallest = min(tally.num_samples for tally in tallies.values())
        completions = sum(tally.num_samples for tally in tallies.values())
        summary: dict[str, float] = {
            "problems": len(tallies),
            "missing": len(gold) - len(tallies),  # gold answers without completions; they are not counted as wrong
            "completions": completions,
        }
        for k in list_pass_ks(smallest):
            summary[f"pass@{k}"] = fmean(
                compute_pass_at_k(tally.num_samples, tally.num_correct, k) for tally in tallies.values()
            )
        largest = max(tally.num_samples for tally in tallies.values())
        summary[f"maj@{largest}" if largest == smallest else "maj@all"] = fmean(
            is_correct(elect(problem_id, tally.votes), gold[problem_id].key) for problem_id, tally in tallies.items()
        )
        summary["unparseable"] = self._unparseable / completions
        if self._known_truncated:
            summary["truncated"] = self._truncated / self._known_truncated
        return summary


def explain_grade(file: str, answers: Mapping[str, Gold], wanted: str) -> list[str]:
    """Which rule read what in one completion, a line each, and whether that is the gold answer.

    Args:
        file: Completions.
        answers: Of `load_gold`.
        wanted: A completion's `id`, its first, or `id:number` from 0.

    Raises:
        DataError: There is no such completion.
    """
    problem_id, _, number = (wanted, "", "0") if wanted in answers else wanted.rpartition(":")
    of_problem = (each for each in read_completions(file) if each.problem_id == problem_id)
    completion = next(islice(of_problem, int(number), None), None) if re.fullmatch(r"\d{1,9}", number) else None
    if completion is None or problem_id not in answers:
        raise DataError(f"--explain {wanted}: {file} has no such completion; give an id of both files, or id:number")
    gold = answers[problem_id]
    options, complete = gold.options or completion.options, not completion.truncated
    steps = explain_response(completion.text, gold.answer_type, options, complete=complete)
    key = response_key(completion.text, gold.answer_type, options, complete=complete)
    lines = [f"{step.rule}: {step.text!r} -> {step.result!r}" for step in steps]
    verdict = "correct" if is_correct(key, gold.key) else "not correct"
    return [f"type {gold.answer_type}", *lines, f"gold {gold.key!r}: {verdict}"]


def load_gold(
    source: str, answer_type: str, id_column: str | None = None, gold_column: str = "answer"
) -> dict[str, Gold]:
    """Gold answers of a benchmark, a file or a hub data set, with `options` and `answer_type` where a problem has them.

    Ids and answers stand where `spine eval` looks for them, so that its samples find their problems.

    Raises:
        DataError: A row has no answer or several, or an id stands twice.
    """
    rows: dict[str, _GoldRow] = {}
    for where, row in _read_gold_rows(source, id_column, gold_column):
        if not row.answer.strip():
            raise DataError(
                f"{where}: problem {row.problem_id!r} has no gold answer; fill it, remove the row, or name another "
                "--gold-column"
            )
        if row.problem_id in rows:
            raise DataError(f"{where}: id {row.problem_id!r} stands twice; ids must be unique")
        rows[row.problem_id] = row
    kinds = settle_answer_types(
        [(row.answer_type, bool(row.options), row.answer) for row in rows.values()], answer_type
    )
    gold = {
        row.problem_id: Gold(kind, row.options, gold_key(row.answer, kind, row.options))
        for row, kind in zip(rows.values(), kinds, strict=True)
    }
    warn_of_unreadable_gold({problem_id: each.key for problem_id, each in gold.items()})
    return gold


def _read_gold_rows(source: str, id_column: str | None, gold_column: str) -> Iterator[tuple[str, _GoldRow]]:
    if split_benchmark_source(source)[0] is not None:
        problem_set = load_problems(source, id_column=id_column, gold_column=gold_column)
        for problem in problem_set.problems:
            answer = problem_set.gold_answers[problem.id]
            yield f"{source}, {problem.id}", _GoldRow(problem.id, answer, problem.options, problem.answer_type)
        return
    for number, (where, row) in enumerate(read_rows(source)):
        if number == 0:
            id_column = id_column or find_id_column(row)
        problem_id = str(number) if id_column is None else read_id(where, row, id_column)
        answer = read_gold(where, row, gold_column)
        yield where, _GoldRow(problem_id, answer, read_options(where, row), read_answer_type(where, row))
