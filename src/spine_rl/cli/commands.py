"""The commands that load no model; their bodies bring what they need, so that help is quick."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from spine_rl.cli.grade import grade
from spine_rl.cli.groups import Config, Overwrite, group
from spine_rl.cli.parse import make_app
from spine_rl.cli.report import report
from spine_rl.cli.vote import vote
from spine_rl.options import option

data = make_app(name="data", help="Benchmarks: what is known, how a prompt looks, and a copy as JSONL.")


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


def methods() -> None:
    """Lists the presets of `spine train`: label rule, tokens, band, what each is, and its source."""
    from spine_rl.cli.methods import list_methods

    list_methods()


def add_commands(app: App) -> None:
    """Those of this file."""
    for command in (vote, grade, report, data, methods):
        app.command(command)
