"""`spine report`: runs' folders in, one HTML page out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from spine_rl.cli.groups import Overwrite, group
from spine_rl.options import option
from spine_rl.runs.kinds import CHART, PAGE
from spine_rl.runs.may_write import Output, check_may_write


@group("Report")
@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Where the page goes."""

    out: Path = option(Path("report.html"), "File for the page.")
    plots: Path | None = option(None, "Folder for every chart as PNG and SVG.")


def report(
    *runs: Annotated[Path, Parameter(help="Folders of spine train.", required=True)],
    page: ReportOptions = ReportOptions(),
    output: Overwrite = Overwrite(),
) -> None:
    """One self-contained HTML page about runs; runs that differ by their seed alone are one line with a band."""
    from spine_rl.pages import write_page
    from spine_rl.pages.report import build_report, list_plots, save_plots
    from spine_rl.pages.report_runs import load_run

    outputs = [Output(page.out, PAGE)]
    if page.plots is not None:
        outputs += [Output(path, CHART, "--plots") for path in list_plots(page.plots)]
    check_may_write(outputs, overwrite=output.overwrite, reads=runs)
    loaded = [load_run(folder) for folder in runs]
    write_page(page.out, build_report(loaded))
    if page.plots is not None:
        save_plots(loaded, page.plots)
    places = f"{page.out}" if page.plots is None else f"{page.out} and {page.plots}"
    print(f"report of {len(loaded)} run(s): {places}")
