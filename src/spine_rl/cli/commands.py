"""The commands that need no model: what each takes. Their bodies bring what they need, so that help is quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from spine_rl.cli.groups import CompletionsFile, Config, JsonOutput, Overwrite, answer_type, group
from spine_rl.cli.parse import make_app
from spine_rl.options import option

data = make_app(name="data", help="Benchmarks: what is known, how a prompt looks, and a copy as JSONL.")


@group("Votes")
@dataclass(frozen=True, kw_only=True)
class VoteOptions:
    """Options of `spine vote`."""

    answer_type: str = answer_type()
    vote_min_share: float = option(
        0.0, "Smallest share of a problem's completions with which an answer becomes its label.", at_least=0, at_most=1
    )
    vote_min_margin: float = option(
        0.0,
        "Smallest lead over the second answer, as a share, with which an answer becomes the label.",
        at_least=0,
        at_most=1,
    )
    weighted: bool = option(False, "Count each vote by its row's weight.")
    out: Path | None = option(None, "File for a row per problem (default: standard output).")


def vote(file: CompletionsFile, /, *, votes: VoteOptions = VoteOptions(), output: JsonOutput = JsonOutput()) -> None:
    """Pseudo-labels by majority vote, for completions of any system."""
    from spine_rl.cli.vote import run_vote
    from spine_rl.voting import VoteRule

    run_vote(
        file,
        answer_type=votes.answer_type,
        rule=VoteRule(votes.vote_min_share, votes.vote_min_margin),
        weighted=votes.weighted,
        out=votes.out,
        json_out=output.json,
        overwrite=output.overwrite,
    )


@group("Grades")
@dataclass(frozen=True, kw_only=True)
class GradeOptions:
    """Options of `spine grade`."""

    gold: str = option(help="Gold answers: a file of rows with id and answer, or a benchmark's name.")
    answer_type: str = answer_type()
    id_column: str | None = option(
        None, "Column of the gold rows' id (default: id, problem_id, unique_id or pubid, else row numbers)."
    )
    gold_column: str = option("answer", "Column of the gold answer.")
    out: Path | None = option(None, "File for a row per completion.")


def grade(file: CompletionsFile, /, *, grades: GradeOptions, output: JsonOutput = JsonOutput()) -> None:
    """Pass@1, pass@k and maj@k of completions of any system."""
    from spine_rl.cli.grade import run_grade

    run_grade(
        file,
        grades.gold,
        answer_type=grades.answer_type,
        id_column=grades.id_column,
        gold_column=grades.gold_column,
        out=grades.out,
        json_out=output.json,
        overwrite=output.overwrite,
    )


@group("Report")
@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Options of `spine report`."""

    out: Path = option(Path("report.html"), "File for the page.")
    plots: Path | None = option(None, "Folder for every chart as PNG and SVG.")


def report(
    *runs: Annotated[Path, Parameter(help="Folders of spine train.", required=True)],
    page: ReportOptions = ReportOptions(),
    output: Overwrite = Overwrite(),
) -> None:
    """One self-contained HTML page about runs; those of equal configuration but the seed are one line with a band."""
    from spine_rl.cli.report import run_report

    run_report(runs, page.out, page.plots, overwrite=output.overwrite)


@data.command(name="list")
def data_list() -> None:
    """Names, rows, answer types, licences and where they come from."""
    from spine_rl.cli.data import list_benchmarks

    list_benchmarks()


Source = Annotated[str, Parameter(help="Name of a benchmark, NAME=PATH for a copy of it, or a data file.")]


@group("Problems")
@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """Options of `spine data show`."""

    limit: int = option(3, "Number of problems to show, the first ones.", at_least=1)
    show_gold: bool = option(False, "Show the gold answers too.")
    html: Path | None = option(None, "File for a page with the images; an earlier one is never replaced.")


@data.command(name="show")
def data_show(source: Source, /, *, show: ShowOptions = ShowOptions(), config: Config = Config()) -> None:
    """Prompts as a model sees them (before its chat template), options, images and answer types."""
    from spine_rl.cli.data import show_problems

    show_problems(source, show.limit, gold=show.show_gold, html=show.html)


@data.command(name="export")
def data_export(
    source: Source,
    out: Annotated[Path, Parameter(help="File to write, .jsonl.")],
    /,
    *,
    output: Overwrite = Overwrite(),
) -> None:
    """Writes problems with gold answers as JSONL, which every command reads."""
    from spine_rl.cli.data import export_problems

    export_problems(source, out, overwrite=output.overwrite)


def add_commands(app: App) -> None:
    """Those of this file."""
    for command in (vote, grade, report, data):
        app.command(command)
