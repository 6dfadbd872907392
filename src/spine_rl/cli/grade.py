"""`spine grade`: completions of any system against gold answers."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from spine_rl.cli.groups import CompletionsFile, JsonOutput, answer_type, group
from spine_rl.engine.say import say, show
from spine_rl.errors import ConfigError
from spine_rl.options import option
from spine_rl.runs.kinds import json_kind, rows_kind
from spine_rl.runs.may_write import Output, check_may_write
from spine_rl.runs.whole_file import open_whole

_ROWS = rows_kind("rows of spine grade", "id", "sample", "extracted", "correct")
_SUMMARY = json_kind("metrics of spine grade", "problems", "completions", "pass@1")


@group("Grades")
@dataclass(frozen=True, kw_only=True)
class GradeOptions:
    """Where the gold answers stand, and where the grades go."""

    gold: str = option(help="Gold answers: a file of rows with id and answer, or a benchmark's name.")
    answer_type: str = answer_type()
    id_column: str | None = option(
        None, "Column of the gold rows' id (default: id, problem_id, unique_id or pubid, else row numbers)."
    )
    gold_column: str = option("answer", "Column of the gold answer.")
    out: Path | None = option(None, "File for a row per completion.")
    explain: str | None = option(
        None, "Print, instead of grades, which rule read what in one completion: its id, or id:number from 0."
    )


def grade(file: CompletionsFile, /, *, grades: GradeOptions, output: JsonOutput = JsonOutput()) -> None:
    """Pass@1, pass@k and maj@k of completions of any system."""
    from spine_rl.evaluation.completions import dump, read_completions
    from spine_rl.evaluation.grades import Grader, explain_grade, load_gold

    source = (grades.gold, grades.answer_type, grades.id_column, grades.gold_column)
    if grades.explain is not None:
        if grades.out is not None or output.json is not None:
            raise ConfigError("--explain prints how one completion is read; leave out --out and --json")
        say(*explain_grade(file, load_gold(*source), grades.explain))
        return
    outputs = [Output(grades.out, _ROWS), Output(output.json, _SUMMARY, "--json")]
    check_may_write(outputs, overwrite=output.overwrite, reads=[file, grades.gold])
    grader = Grader(load_gold(*source))
    with open_whole(grades.out, replace=output.overwrite) if grades.out else nullcontext() as rows:
        for completion in read_completions(file):
            row = grader.grade(completion)
            if rows is not None:
                rows.write(dump(row))
    summary = grader.summarize()
    table = Table("metric", "value")
    for name, value in summary.items():
        table.add_row(name, str(value) if isinstance(value, int) else f"{value:.4f}")
    show(table)
    output.write_json(summary)
