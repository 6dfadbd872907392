"""Problems from rows: which column is the prompt, which the id, and gold answers kept apart."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from spine_rl.errors import DataError
from spine_rl.problems.benchmarks import load_benchmark, split_benchmark_source
from spine_rl.problems.chats import (
    check_chat,
    fill_images,
    has_text,
    refuse_chat_as_text,
    says_something,
    take_images,
)
from spine_rl.problems.images import IMAGE_COLUMNS, ImageOptions, ProblemImage, find_images, to_cells
from spine_rl.problems.placeholders import place_images
from spine_rl.problems.problem import Messages, Problem, ProblemSet
from spine_rl.problems.read import Row, read_rows
from spine_rl.problems.values import (
    find_id_column,
    get_cell,
    list_columns,
    read_answer_type,
    read_gold,
    read_id,
    read_options,
)

PROMPT_COLUMNS = ("prompt", "problem", "question", "messages")


def load_problems(
    source: str,
    *,
    split: str | None = None,
    prompt_column: str | None = None,
    id_column: str | None = None,
    gold_column: str | None = None,
    limit: int | None = None,
    max_image_pixels: int | None = None,
    allow_image_urls: bool = False,
) -> ProblemSet:
    """Reads problems from a `.jsonl`, `.json`, `.csv` or `.parquet` file, a benchmark, or a hub data set.

    The columns `options` (a list of texts, or an object from letters to texts) and `answer_type`, where a row has them,
    say how its answer is read; the prompt is taken as it stands. The columns `images` or `image` hold its pictures
    (`spine_rl.problems.images`), which stand where the prompt has `<image>` or `<image1>`, ..., else before it. A chat
    may have image parts instead, which hold their pictures or take the columns' in order.

    Args:
        source: Path, benchmark's name (`math500`, or `math500=PATH` for a copy of it), or hub id.
        split: Of a hub data set, `train` by default.
        prompt_column: Column of the prompt, text or chat messages; by default the first of `prompt`, `problem`,
            `question` and `messages` that the first row has.
        id_column: Column of the id; by default the first of `id`, `problem_id`, `unique_id` and `pubid`, else the row's
            number from 0.
        gold_column: Column of the gold answer, for evaluation and diagnosis; None reads no answer. A benchmark knows
            its own columns: anything but None asks for its answers.
        limit: Number of rows to read, the first ones; None for all.
        max_image_pixels: Larger pictures are scaled down.
        allow_image_urls: Whether pictures may be downloaded.

    Raises:
        DataError: Naming file, row and remedy.
    """
    if max_image_pixels is not None and max_image_pixels < 1:
        raise DataError(f"max_image_pixels={max_image_pixels}: must be at least 1")
    images = ImageOptions(max_pixels=max_image_pixels, allow_urls=allow_image_urls)
    benchmark, copy = split_benchmark_source(source)
    if benchmark is not None:
        if split or prompt_column or id_column:
            raise DataError(f"{source}: a benchmark has its own split and columns; remove those that you gave")
        return load_benchmark(benchmark, copy, with_gold=gold_column is not None, limit=limit, images=images)
    if Path(source).is_file():
        images = replace(images, folder=Path(source).parent)
    problems: list[Problem] = []
    gold_answers: dict[str, str] = {}
    places: dict[str, str] = {}
    for where, row in read_rows(source, split):
        if not problems:
            prompt_column = _find_column(where, row, prompt_column, PROMPT_COLUMNS, "prompt_column")
            id_column = id_column or find_id_column(row)
        assert prompt_column is not None
        problem_id = str(len(problems)) if id_column is None else read_id(where, row, id_column)
        if problem_id in places:
            raise DataError(f"{where}: id {problem_id!r} is also that of {places[problem_id]}; each needs its own")
        places[problem_id] = where
        prompt = _check_prompt(where, get_cell(where, row, prompt_column, "prompt_column"), prompt_column)
        prompt, pictures = _find_images(where, row, prompt, images)
        problems.append(Problem(problem_id, prompt, read_options(where, row), read_answer_type(where, row), pictures))
        if gold_column is not None:
            gold_answers[problem_id] = read_gold(where, row, gold_column)
        if limit is not None and len(problems) == limit:
            break
    return ProblemSet(problems, gold_answers)


def _find_column(where: str, row: Row, asked: str | None, usual: tuple[str, ...], option: str) -> str:
    if asked is not None:
        return asked
    found = next((name for name in usual if name in row), None)
    if found is None:
        raise DataError(
            f"{where}: none of the columns {', '.join(usual)}; it has {list_columns(row)}; name one with {option}"
        )
    return found


def _find_images(
    where: str, row: Row, prompt: str | Messages, options: ImageOptions
) -> tuple[str | Messages, tuple[ProblemImage, ...]]:
    """The prompt, its image parts empty, and the pictures of the row's column and of the parts, in their order."""
    cells = next((cells for name in IMAGE_COLUMNS if (cells := to_cells(row.get(name)))), [])
    try:
        if not isinstance(prompt, str):
            prompt, held = take_images(prompt)
            cells = fill_images(held, cells) if held else cells
        if cells:
            place_images(prompt, len(cells))
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    return prompt, find_images(where, cells, options)


def _check_prompt(where: str, prompt: Any, column: str) -> str | Messages:
    if isinstance(prompt, str):
        refuse_chat_as_text(where, prompt, column)
    checked = prompt if isinstance(prompt, str) else check_chat(where, prompt, column)
    if not (has_text(checked) if isinstance(checked, str) else says_something(checked)):
        raise DataError(f"{where}: empty prompt in column {column!r}; remove the row or fill it")
    return checked
