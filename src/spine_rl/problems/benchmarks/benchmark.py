"""What a benchmark is: where it lies, how a row becomes a problem, and what is checked of it."""

import hashlib
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spine_rl.answers.letters import LETTERS
from spine_rl.errors import DataError
from spine_rl.problems.images import ImageOptions, find_images
from spine_rl.problems.problem import Problem, ProblemSet
from spine_rl.problems.read import Row, read_rows
from spine_rl.problems.values import ID_COLUMNS

DATA_ROOT = "SPINE_DATA_ROOT"  # environment variable: the folder of local copies
_ID_COLUMNS = (*ID_COLUMNS, "qid", "Record ID")

BOXED = "\nPlease reason step by step, and put your final answer within \\boxed{}."
BOXED_SOURCE = "the chain-of-thought prompt of Qwen2.5-Math"
BOXED_LETTER = "\nPlease reason step by step, and put the letter of the correct option within \\boxed{}."
BOXED_LETTER_SOURCE = "this project's, after Qwen2.5-Math's"


@dataclass(frozen=True)
class Item:
    """A row, understood.

    Attributes:
        question: Its text, with what belongs to it (a context, image placeholders).
        answer: Gold.
        options: Of multiple choice.
        images: Paths relative to the data file, or what a hub data set holds.
        answer_type: Where it is not the benchmark's.
        instruction: Where it is not the benchmark's.
        tags: What results are broken down by.
    """

    question: str
    answer: str
    options: tuple[str, ...] = ()
    images: tuple[Any, ...] = ()
    answer_type: str | None = None
    instruction: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Benchmark:
    """A benchmark.

    Attributes:
        name: As given to `--data`.
        title: For people.
        hub_id: With `:config` where it has several.
        split: On the hub.
        num_rows: Problems it must have.
        answer_type: How answers are read, unless an item says otherwise.
        licence: A note on it.
        local_file: Of a copy, relative to the folder `SPINE_DATA_ROOT`.
        read: A row to its item, or None where the row is not part of the benchmark; a `KeyError` is a missing column.
        instruction: Put after every question, unless an item has its own.
        instruction_source: Who uses it.
        revision: Of the hub's data set, where one is known to be good; None takes the newest.
        republish: Whether its texts may be published again.
    """

    name: str
    title: str
    hub_id: str
    split: str
    num_rows: int
    answer_type: str
    licence: str
    local_file: str
    read: Callable[[Row], Item | None]
    instruction: str = BOXED
    instruction_source: str = BOXED_SOURCE
    revision: str | None = None
    republish: bool = True


def load(
    benchmark: Benchmark,
    copy: str | None,
    *,
    with_gold: bool,
    limit: int | None = None,
    images: ImageOptions = ImageOptions(),
) -> ProblemSet:
    """Reads a benchmark from a copy, from the folder `SPINE_DATA_ROOT`, or from the hub.

    Args:
        benchmark: Which.
        copy: A file, or the folder of `local_file`; None looks for one.
        with_gold: Whether gold answers are wanted.
        limit: Keeps the first so many; the whole is checked.
        images: How pictures are opened; a copy's are beside it.

    Raises:
        DataError: It cannot be had, or is not what it should be: other columns, another number of rows.
    """
    path = _find_copy(benchmark, copy)
    images = replace(images, folder=path.parent if path else None)
    problems, gold_answers, tags = [], {}, {}
    for where, row in _read_rows(benchmark, path):
        try:
            item = benchmark.read(row)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise DataError(
                f"{where}: not a row of {benchmark.title} ({type(error).__name__}: {error}); it has "
                f"{', '.join(map(str, row))}; {_where(benchmark)}"
            ) from None
        if item is None:
            continue
        problem_id = next((str(row[name]) for name in _ID_COLUMNS if name in row), str(len(problems)))
        problems.append(_make_problem(benchmark, problem_id, item, where, images))
        gold_answers[problem_id] = item.answer
        tags[problem_id] = item.tags
    if len(problems) != benchmark.num_rows or len(gold_answers) != benchmark.num_rows:
        raise DataError(
            f"{path or benchmark.hub_id}: {benchmark.title} has {benchmark.num_rows} problems, here are "
            f"{len(problems)} with {len(gold_answers)} different ids; {_where(benchmark)}"
        )
    return ProblemSet(problems[:limit], gold_answers if with_gold else {}, tags)


def render_options(options: Sequence[str]) -> str:
    """A line an option: `(A) ...`."""
    return "".join(f"\n({letter}) {option}" for letter, option in zip(LETTERS, options, strict=False))


def shuffle_options(key: str, correct: str, wrong: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Options in an order that depends on the question alone, and the letter of the correct one."""
    options = [correct, *wrong]
    random.Random(hashlib.sha256(key.encode()).digest()).shuffle(options)
    return tuple(options), LETTERS[options.index(correct)]


def _make_problem(benchmark: Benchmark, problem_id: str, item: Item, where: str, images: ImageOptions) -> Problem:
    return Problem(
        problem_id,
        item.question + render_options(item.options) + (item.instruction or benchmark.instruction),
        item.options,
        item.answer_type or benchmark.answer_type,
        find_images(where, item.images, images),
    )


def _find_copy(benchmark: Benchmark, copy: str | None) -> Path | None:
    root = os.environ.get(DATA_ROOT)
    if copy is None and root and (Path(root) / benchmark.local_file).is_file():
        return Path(root) / benchmark.local_file
    if copy is None:
        return None
    path = Path(copy)
    path = path / Path(benchmark.local_file).name if path.is_dir() else path
    if not path.is_file():
        raise DataError(f"{path}: no such file; {_where(benchmark)}")
    return path


def _read_rows(benchmark: Benchmark, path: Path | None):
    if path is not None:
        yield from read_rows(str(path))
        return
    try:
        yield from read_rows(benchmark.hub_id, benchmark.split, benchmark.revision)
    except DataError as error:
        raise DataError(f"{benchmark.name}: {error}; {_where(benchmark)}") from None


def _where(benchmark: Benchmark) -> str:
    url = f"https://huggingface.co/datasets/{benchmark.hub_id.partition(':')[0]}"
    return (
        f"get it from {url} (split {benchmark.split}), and give a copy as {benchmark.name}=PATH or as "
        f"{benchmark.local_file} in the folder ${DATA_ROOT}"
    )
