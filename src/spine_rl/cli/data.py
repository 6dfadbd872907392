"""`spine data`: benchmarks listed, shown and exported. Bodies bring what they need, so that help is quick."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spine_rl.cli.groups import Columns, Overwrite, group
from spine_rl.cli.parse import make_app
from spine_rl.options import option
from spine_rl.runs.kinds import PAGE, rows_kind
from spine_rl.runs.may_write import Output, check_may_write
from spine_rl.runs.whole_file import write_whole

data = make_app(name="data", help="Benchmarks: what is known, how a prompt looks, and a copy as JSONL.")
Source = Annotated[str, Parameter(help="Name of a benchmark, NAME=PATH for a copy of it, or a data file.")]
ExportFile = Annotated[Path, Parameter(help="File to write, .jsonl.")]


@data.command(name="list")
def list_benchmarks() -> None:
    """Names, rows, answer types, licences and where they come from."""
    from spine_rl.problems.benchmarks import BENCHMARKS

    table = Table()
    table.add_column("name", no_wrap=True)  # to be typed: on one line where there is room for any
    for header in ("title", "rows", "answers"):
        table.add_column(header)
    table.add_column("hub data set (split)", overflow="fold")  # to be copied: never cut short
    table.add_column("licence")
    for benchmark in BENCHMARKS.values():
        what = (benchmark.name, benchmark.title, str(benchmark.num_rows), benchmark.answer_type)
        table.add_row(*map(Text, (*what, f"{benchmark.hub_id} ({benchmark.split})", benchmark.licence)))
    Console().print(table)


@group("Problems")
@dataclass(frozen=True, kw_only=True)
class LabelledColumns(Columns):
    """Where problems and their gold answers stand."""

    gold_column: str = option("answer", "Column of the gold answer.")


@group("Problems")
@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """Options of `spine data show`."""

    limit: int = option(3, "Number of problems to show, the first ones.", at_least=1)
    show_gold: bool = option(False, "Show the gold answers too.")
    html: Path | None = option(None, "File for a page with the images.")


@data.command(name="show")
def show_problems(
    source: Source,
    /,
    *,
    show: ShowOptions = ShowOptions(),
    columns: LabelledColumns = LabelledColumns(),
    output: Overwrite = Overwrite(),
) -> None:
    """Prompts as a model sees them (before its chat template), options, images and answer types."""
    from spine_rl.problems import load_problems, show_prompt

    check_may_write([Output(show.html, PAGE, "--html")], overwrite=output.overwrite, reads=[source])
    gold_column = columns.gold_column if show.show_gold else None
    problem_set = load_problems(source, **asdict(columns) | {"gold_column": gold_column, "limit": show.limit})
    if show.html is not None:
        from spine_rl.pages import write_page
        from spine_rl.pages.problems import render_problems  # brings the pages' libraries

        write_page(show.html, render_problems(problem_set, f"Problems of {source}"))
        print(f"{len(problem_set.problems)} problems are in {show.html}")
        return
    console = Console()
    for problem in problem_set.problems:
        console.rule(_as_text(f"{problem.id} · {problem.answer_type or 'auto'}"))
        console.print(_as_text(show_prompt(problem)))
        if show.show_gold:
            console.print(_as_text(f"gold: {problem_set.gold_answers[problem.id]}"))


@data.command(name="export")
def export_problems(
    source: Source, out: ExportFile, /, *, columns: LabelledColumns = LabelledColumns(), output: Overwrite = Overwrite()
) -> None:
    """Writes problems with gold answers as JSONL, which every command reads."""
    from spine_rl.problems import load_problems
    from spine_rl.problems.benchmarks import BENCHMARKS, split_benchmark_source

    problem_set = load_problems(source, **asdict(columns))
    kind = rows_kind("an export of these problems", "prompt", "answer", id=problem_set.problems[0].id)
    check_may_write([Output(out, kind)], overwrite=output.overwrite, reads=[source])
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in problem_set.to_rows()]
    write_whole(out, "".join(lines), replace=output.overwrite)
    print(f"{len(lines)} problems are in {out}")
    name, _ = split_benchmark_source(source)
    if name is not None and not BENCHMARKS[name].republish:
        print(f"{BENCHMARKS[name].title}: its authors ask that its texts are not published again", file=sys.stderr)


def _as_text(text: str) -> Text:
    """Without control characters, which a terminal would obey."""
    return Text("".join(character for character in text if character in "\n\t" or character.isprintable()))
