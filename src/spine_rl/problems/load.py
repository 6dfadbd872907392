"""Problems from rows: which column is the prompt, which the id, and gold answers kept apart."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spine_rl.errors import DataError, suggest_nearest
from spine_rl.problems.read import Row, read_rows

PROMPT_COLUMNS = ("prompt", "problem", "question", "messages")
ID_COLUMNS = ("id", "problem_id", "unique_id", "pubid")

Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class Problem:
    """A problem without its answer.

    Attributes:
        id: Unique in its set; responses are grouped by it.
        prompt: Plain text, or chat messages.
        options: Texts of a multiple choice problem's options, in the order of their letters; else empty.
        answer_type: How its answer is read (`spine_rl.answers`); None leaves it to the run.
        images: Of a visual problem, in the order of its placeholders: paths, or what a hub data set holds.
    """

    id: str
    prompt: str | Messages
    options: tuple[str, ...] = ()
    answer_type: str | None = None
    images: tuple[Any, ...] = ()


@dataclass(frozen=True)
class ProblemSet:
    """Problems, and gold answers where asked for; the two meet in evaluation and diagnosis only.

    Attributes:
        problems: The problems.
        gold_answers: Problem id → gold answer.
        tags: Problem id → what its results are broken down by, such as `subject` and `level`.
    """

    problems: list[Problem]
    gold_answers: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def load_problems(
    source: str,
    *,
    split: str | None = None,
    prompt_column: str | None = None,
    id_column: str | None = None,
    gold_column: str | None = None,
    limit: int | None = None,
) -> ProblemSet:
    """Reads problems from a `.jsonl`, `.json`, `.csv` or `.parquet` file or a hub data set.

    Args:
        source: Path or hub id.
        split: Of a hub data set, `train` by default.
        prompt_column: Column of the prompt, text or chat messages; by default the first of `prompt`, `problem`,
            `question` and `messages` that the first row has.
        id_column: Column of the id; by default the first of `id`, `problem_id`, `unique_id` and `pubid`, else the row's
            number from 0.
        gold_column: Column of the gold answer, for evaluation and diagnosis; None reads no answer.
        limit: Reads the first so many rows.

    Raises:
        DataError: Naming file, row and remedy.
    """
    problems: list[Problem] = []
    gold_answers: dict[str, str] = {}
    places: dict[str, str] = {}
    for place, row in read_rows(source, split):
        if not problems:
            prompt_column = _find_column(place, row, prompt_column, PROMPT_COLUMNS, "prompt_column")
            id_column = id_column or next((name for name in ID_COLUMNS if name in row), None)
        assert prompt_column is not None
        problem_id = str(len(problems)) if id_column is None else str(_get(place, row, id_column, "id_column"))
        if problem_id in places:
            raise DataError(f"{place}: id {problem_id!r} stands already at {places[problem_id]}; ids must be unique")
        places[problem_id] = place
        prompt = _check_prompt(place, _get(place, row, prompt_column, "prompt_column"), prompt_column)
        problems.append(Problem(problem_id, prompt))
        if gold_column is not None:
            gold_answers[problem_id] = str(_get(place, row, gold_column, "gold_column"))
        if limit is not None and len(problems) == limit:
            break
    return ProblemSet(problems, gold_answers)


def _find_column(place: str, row: Row, asked: str | None, usual: tuple[str, ...], option: str) -> str:
    if asked is not None:
        return asked
    found = next((name for name in usual if name in row), None)
    if found is None:
        raise DataError(
            f"{place}: none of the columns {', '.join(usual)}; it has {_columns(row)}; name one with {option}"
        )
    return found


def _get(place: str, row: Row, column: str, option: str) -> Any:
    if column not in row:
        raise DataError(
            f"{place}: no column {column!r} ({option}); it has {_columns(row)}; {suggest_nearest(column, row)}"
        )
    return row[column]


def _columns(row: Row) -> str:
    return ", ".join(map(str, row)) or "no columns"


def _check_prompt(place: str, prompt: Any, column: str) -> str | Messages:
    if isinstance(prompt, str):
        if not prompt.strip():
            raise DataError(f"{place}: empty prompt in column {column!r}; remove the row or fill it")
        return prompt
    is_chat = isinstance(prompt, list) and all(
        isinstance(message, dict) and "role" in message and "content" in message for message in prompt
    )
    if not is_chat or not prompt:
        raise DataError(
            f"{place}: column {column!r} must be text or a list of chat messages with role and content, "
            f"got {type(prompt).__name__}"
        )
    return prompt
