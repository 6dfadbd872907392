"""`spine grade`: completions of any system against gold answers."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from spine_rl.answers import (
    canonical_key,
    check_answer_type,
    extract_answer,
    gold_key,
    infer_answer_type,
)
from spine_rl.cli.completions import Completion, check_writable, dump, read_completions, read_format
from spine_rl.errors import DataError
from spine_rl.metrics import compute_pass_at_k, is_correct
from spine_rl.problems import load_problems
from spine_rl.problems.benchmarks import split_benchmark_source
from spine_rl.problems.read import read_rows
from spine_rl.voting import Key, elect


@dataclass(frozen=True)
class _Gold:
    """How a problem's answers are read, and the key of the right one."""

    answer_type: str
    options: tuple[str, ...]
    key: Key


@dataclass
class _Tally:
    """A problem's grades so far; its completions are not kept."""

    num_samples: int = 0
    num_correct: int = 0
    votes: Counter[str] = field(default_factory=Counter)


@dataclass
class _Totals:
    """Over all completions."""

    unparseable: int = 0
    truncated: int = 0
    known_truncated: int = 0


def run_grade(
    source: str, gold: str, *, answer_type: str, out: Path | None, json_out: Path | None, overwrite: bool
) -> None:
    """Grades every completion as it comes, and prints the metrics; see `spine grade --help`."""
    check_answer_type(answer_type)
    for path in (out, json_out):
        check_writable(path, overwrite=overwrite)
    answers = load_gold(gold, answer_type)
    tallies: dict[str, _Tally] = {}
    totals = _Totals()
    with ExitStack() as stack:
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
        file = None if out is None else stack.enter_context(out.open("w", encoding="utf-8"))
        for completion in read_completions(source):
            if completion.problem_id not in answers:
                raise DataError(f"{source}: id {completion.problem_id!r} is not in {gold}; both need the same ids")
            tally = tallies.setdefault(completion.problem_id, _Tally())
            row = _grade(completion, answers[completion.problem_id], tally, totals)
            if file is not None:
                file.write(dump(row))
    summary = _summarize(tallies, answers, totals)
    table = Table("metric", "value")
    for name, value in summary.items():
        table.add_row(name, str(value) if isinstance(value, int) else f"{value:.4f}")
    Console().print(table)
    if json_out is not None:
        json_out.parent.mkdir(parents=True, exist_ok=True)
        json_out.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def load_gold(source: str, answer_type: str) -> dict[str, _Gold]:
    """A benchmark's, or rows of `id` and `answer`, with `options` and `answer_type` where a problem has them.

    Raises:
        DataError: A row lacks one, or an id stands twice.
    """
    rows: dict[str, tuple[str, tuple[str, ...], str | None]] = {}
    for place, row in _read_gold_rows(source):
        if row.get("id") is None or row.get("answer") is None:
            raise DataError(f"{place}: a gold row needs id and answer; it has {', '.join(map(str, row))}")
        problem_id = str(row["id"])
        if problem_id in rows:
            raise DataError(f"{place}: id {problem_id!r} stands twice; ids must be unique")
        rows[problem_id] = (str(row["answer"]), *read_format(place, row))
    plain = [answer for answer, options, kind in rows.values() if kind is None and not options]
    inferred = infer_answer_type(plain) if answer_type == "auto" and plain else "math"

    def type_of(options: tuple[str, ...], kind: str | None) -> str:
        if kind is not None or answer_type != "auto":
            return kind or answer_type
        return "choice" if options else inferred

    return {
        problem_id: _Gold(type_of(options, kind), options, gold_key(answer, type_of(options, kind), options))
        for problem_id, (answer, options, kind) in rows.items()
    }


def _read_gold_rows(source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if split_benchmark_source(source)[0] is None:
        yield from read_rows(source)
        return
    problem_set = load_problems(source, gold_column="answer")
    for problem in problem_set.problems:
        answer = problem_set.gold_answers[problem.id]
        row = {"id": problem.id, "answer": answer, "options": problem.options, "answer_type": problem.answer_type}
        yield f"{source}, {problem.id}", row


def _grade(completion: Completion, gold: _Gold, tally: _Tally, totals: _Totals) -> dict[str, Any]:
    options = gold.options or completion.options
    text = extract_answer(completion.text, gold.answer_type, options, complete=not completion.truncated)
    key = None if text is None else canonical_key(text, gold.answer_type, options)
    correct = is_correct(key, gold.key)
    row = {"id": completion.problem_id, "sample": tally.num_samples, "extracted": text, "key": key, "correct": correct}
    tally.num_samples += 1
    tally.num_correct += correct
    totals.unparseable += key is None
    totals.known_truncated += completion.truncated is not None
    totals.truncated += bool(completion.truncated)
    if key is not None:
        tally.votes[key] += 1
    return row


def _summarize(tallies: dict[str, _Tally], gold: dict[str, _Gold], totals: _Totals) -> dict[str, float]:
    """Means over the problems that have completions."""
    smallest = min(tally.num_samples for tally in tallies.values())
    completions = sum(tally.num_samples for tally in tallies.values())
    ks = sorted({2**power for power in range(1, smallest.bit_length())} | ({smallest} - {1}))
    summary: dict[str, float] = {
        "problems": len(tallies),
        "missing": len(gold) - len(tallies),  # gold answers without completions; they are not counted as wrong
        "completions": completions,
        "pass@1": fmean(tally.num_correct / tally.num_samples for tally in tallies.values()),
    }
    for k in ks:
        summary[f"pass@{k}"] = fmean(
            compute_pass_at_k(tally.num_samples, tally.num_correct, k) for tally in tallies.values()
        )
    largest = max(tally.num_samples for tally in tallies.values())
    summary[f"maj@{largest}" if largest == smallest else "maj@all"] = fmean(
        is_correct(elect(problem_id, tally.votes), gold[problem_id].key) for problem_id, tally in tallies.items()
    )
    summary["unparseable"] = totals.unparseable / completions
    if totals.known_truncated:
        summary["truncated"] = totals.truncated / totals.known_truncated
    return summary
