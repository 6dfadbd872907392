"""`spine experiment`: the cells that are missing are run, and the results written anew from all that are there."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from spine_rl.cli.quiet import quiet_libraries
from spine_rl.errors import RunFolderError
from spine_rl.experiments.adaptation import run_cell
from spine_rl.experiments.cells import Cell, count_cells, filter_cells, list_cells
from spine_rl.experiments.page import RESULTS_FILE, write_results
from spine_rl.experiments.progress import ProgressView
from spine_rl.experiments.records import CELLS_FOLDER, Record, find_cell_path, load_records
from spine_rl.experiments.spec import Experiment, TaskRef, find_file, list_ready, load_experiment
from spine_rl.experiments.workers import Failure, Job, OnStep, run_jobs

RUNS_FOLDER, LOGS_FOLDER = Path("runs/experiments"), "logs"


@dataclass(frozen=True)
class ExperimentOptions:
    """What `spine experiment` was asked for.

    Attributes:
        source: A file, or a ready experiment's name.
        out: Folder of cells and results; None for one named after the experiment.
        quick: Its quick form.
        jobs: Cells at once.
        only: Choices of cells, `arm=ttrl,seed=0`; none for all.
        only_report: Run nothing.
    """

    source: str
    out: Path | None = None
    quick: bool = False
    jobs: int = 1
    only: Sequence[str] = ()
    only_report: bool = False


def run_experiment(options: ExperimentOptions) -> list[Failure]:
    """Runs what is missing and writes the results; returns the cells that failed.

    Raises:
        ConfigError: Something is wrong with the file, or with a choice of cells.
        RunFolderError: The folder holds cells of other settings, or there is nothing to report.
    """
    experiment = load_experiment(find_file(options.source), quick=options.quick)
    folder = options.out or RUNS_FOLDER / (experiment.name + ("-quick" if options.quick else ""))
    cells = list_cells(experiment)
    chosen = filter_cells(cells, options.only)
    load_records(folder, cells)  # what is there must be of this experiment, before anything is added to it
    failures = [] if options.only_report else _run_missing(experiment, chosen, folder, options.jobs)
    records = load_records(folder, cells)
    if not records:
        raise RunFolderError(f"{folder / CELLS_FOLDER} holds no finished cell of {experiment.name}; nothing to report")
    write_results(experiment, records, len(cells), folder, _describe_command(options, folder))
    done = f"{folder / RESULTS_FILE}: {len(records)} of {len(cells)} cells"
    Console().print(done, markup=False, highlight=False, soft_wrap=True)
    return failures


def _run_missing(experiment: Experiment, cells: Sequence[Cell], folder: Path, num_workers: int) -> list[Failure]:
    tasks = {task.name: task for task in experiment.tasks}
    jobs = [
        Job(cell.name, find_cell_path(folder, cell), functools.partial(_work, cell, tasks), experiment.steps)
        for cell in cells
        if not find_cell_path(folder, cell).exists()
    ]
    view = ProgressView(jobs, len(cells) - len(jobs), num_workers)
    try:
        return run_jobs(jobs, num_workers, folder / LOGS_FOLDER, view)
    finally:
        view.close()


def _work(cell: Cell, tasks: Mapping[str, TaskRef], on_step: OnStep) -> Record:
    """In a process of its own."""
    quiet_libraries()
    return run_cell(cell, tasks, on_step)


def _describe_command(options: ExperimentOptions, folder: Path) -> str:
    """That makes these results."""
    return f"spine experiment {options.source}{' --quick' if options.quick else ''} --out {folder}"


def print_ready() -> None:
    """A row for each experiment that comes with the package."""
    table = Table("name", "cells", "steps", "cells (quick)", "title", box=None)
    for name, path in list_ready().items():
        full, quick = load_experiment(path), load_experiment(path, quick=True)
        row = (name, str(count_cells(full)), str(full.steps), str(count_cells(quick)), full.title)
        table.add_row(*map(Text, row))
    Console().print(table)
