"""`spine data`: benchmarks listed, shown and exported."""

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from spine_rl.problems import Problem, PromptStyle, build_prompt, load_problems, number_images
from spine_rl.problems.benchmarks import BENCHMARKS, split_benchmark_source
from spine_rl.problems.images import name_image
from spine_rl.runs.kinds import PAGE, rows_kind
from spine_rl.runs.may_write import Output, check_may_write
from spine_rl.runs.whole_file import write_whole


def list_benchmarks() -> None:
    table = Table()
    table.add_column("name", no_wrap=True)  # to be typed: on one line where there is room for any
    for header in ("title", "rows", "answers"):
        table.add_column(header)
    table.add_column("hub data set (split)", overflow="fold")  # to be copied: never cut short
    table.add_column("licence")
    for benchmark in BENCHMARKS.values():
        where = f"{benchmark.hub_id} ({benchmark.split})"
        row = (
            benchmark.name,
            benchmark.title,
            str(benchmark.num_rows),
            benchmark.answer_type,
            where,
            benchmark.licence,
        )
        table.add_row(*map(Text, row))
    Console().print(table)


def show_problems(source: str, num_problems: int, *, gold: bool, html: Path | None = None) -> None:
    """Prints problems, or writes them as a page; what they contain is text, never markup.

    Raises:
        RunFolderError: The page exists.
    """
    check_may_write([Output(html, PAGE, "--html")], overwrite=False, reads=[source])
    problem_set = load_problems(source, gold_column="answer" if gold else None, limit=num_problems)
    if html is not None:
        from spine_rl.pages import write_page
        from spine_rl.pages.problems import render_problems  # brings the pages' libraries

        write_page(html, render_problems(problem_set, f"Problems of {source}"))
        print(f"{len(problem_set.problems)} problems are in {html}")
        return
    console = Console()
    for problem in problem_set.problems:
        console.rule(Text(f"{problem.id} · {problem.answer_type or 'auto'}"))
        console.print(_as_text(_prompt_text(problem)))
        if gold:
            console.print(_as_text(f"gold: {problem_set.gold_answers[problem.id]}"))


def export_problems(source: str, out: Path, *, overwrite: bool) -> None:
    """Writes one JSON object a problem.

    Raises:
        RunFolderError: The file exists, or is none that this replaces.
    """
    problem_set = load_problems(source, gold_column="answer")
    export = rows_kind("an export of these problems", "prompt", "answer", id=problem_set.problems[0].id)
    check_may_write([Output(out, export)], overwrite=overwrite, reads=[source])
    lines = [
        json.dumps(
            {
                "id": problem.id,
                "prompt": problem.prompt,
                **({"options": problem.options} if problem.options else {}),
                **({"answer_type": problem.answer_type} if problem.answer_type else {}),
                **({"images": [image.export() for image in problem.images]} if problem.images else {}),
                **problem_set.tags.get(problem.id, {}),
                "answer": problem_set.gold_answers[problem.id],
            },
            ensure_ascii=False,
        )
        for problem in problem_set.problems
    ]
    write_whole(out, "\n".join(lines) + "\n", replace=overwrite)
    print(f"{len(lines)} problems are in {out}")
    name, _ = split_benchmark_source(source)
    if name is not None and not BENCHMARKS[name].republish:
        print(f"{BENCHMARKS[name].title}: its authors ask that its texts are not published again", file=sys.stderr)


def _prompt_text(problem: Problem) -> str:
    """The prompt, with the name of each picture where the picture stands, and roles where there are several."""
    if isinstance(problem.prompt, str) and not problem.images:
        return problem.prompt
    messages = [message for message in build_prompt(problem, PromptStyle(), chat=True) if isinstance(message, dict)]
    names = (f"⟦image {number}: {name_image(image)}⟧" for number, image in number_images(problem))
    texts = []
    for message in messages:
        parts = message["content"] or ""
        if not isinstance(parts, str):
            parts = "".join(next(names) if part["type"] == "image" else part["text"] for part in parts)
        texts.append(parts if len(messages) == 1 else f"{message['role']}: {parts}")
    return "\n".join(texts)


def _as_text(text: str) -> Text:
    """Without control characters, which a terminal would obey."""
    return Text("".join(character for character in text if character in "\n\t" or character.isprintable()))
