"""`spine report`: runs' folders in, one HTML page out."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from spine_rl.pages import write_page
from spine_rl.pages.report import build_report, list_plots, save_plots
from spine_rl.pages.report_runs import load_run
from spine_rl.runs.kinds import CHART, PAGE
from spine_rl.runs.may_write import Output, check_may_write


def run_report(folders: Sequence[Path], out: Path, plots: Path | None, *, overwrite: bool) -> None:
    """Writes the page, and the charts where a folder for them is given.

    Raises:
        DataError: A folder holds no run.
        RunFolderError: The page exists already.
    """
    outputs = [Output(out, PAGE)]
    if plots is not None:
        outputs += [Output(path, CHART, "--plots") for path in list_plots(plots)]
    check_may_write(outputs, overwrite=overwrite, reads=folders)
    runs = [load_run(folder) for folder in folders]
    write_page(out, build_report(runs))
    if plots is not None:
        save_plots(runs, plots)
    places = f"{out}" if plots is None else f"{out} and {plots}"
    Console().print(f"report of {len(runs)} run(s): {places}", markup=False, highlight=False)
