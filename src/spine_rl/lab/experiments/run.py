"""`spine experiment`: the cells that are missing are run, and the results written anew from all that are there."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from spine_rl.engine.quiet import quiet_libraries
from spine_rl.errors import RunFolderError
from spine_rl.lab.experiments.adaptation import run_cell
from spine_rl.lab.experiments.cells import Cell, Named, count_cells, filter_cells, list_cells
from spine_rl.lab.experiments.cost import list_cost_cells, load_cost, measure_cell
from spine_rl.lab.experiments.cost_page import write_cost_results
from spine_rl.lab.experiments.findings import RESULTS_FILE
from spine_rl.lab.experiments.page import write_results
from spine_rl.lab.experiments.progress import ProgressView
from spine_rl.lab.experiments.records import CELLS_FOLDER, Record, find_cell_path, load_records
from spine_rl.lab.experiments.reuse import reuse_finished
from spine_rl.lab.experiments.spec import find_file, list_ready, load_experiment
from spine_rl.lab.experiments.workers import Failure, Job, OnStep, run_jobs
from spine_rl.options import read_yaml

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
        reuse: Folders of other experiments, whose finished cells of the same settings and seed are taken.
    """

    source: str
    out: Path | None = None
    quick: bool = False
    jobs: int = 1
    only: Sequence[str] = ()
    only_report: bool = False
    reuse: Sequence[Path] = ()


@dataclass(frozen=True)
class Plan:
    """An experiment of any kind, as it is run.

    Attributes:
        name: The file's.
        title: One line.
        steps: Of a cell, for progress.
        list_cells: Checks and lists its cells.
        num_cells: How many there are.
        work: Gives a cell's record; called in a process of its own.
        write: Writes the results: (finished cells, number of all cells, folder, command).
    """

    name: str
    title: str
    steps: int
    list_cells: Callable[[], Sequence[Named]]
    num_cells: int
    work: Callable[[Any, OnStep], Record]
    write: Callable[[Sequence[Record], int, Path, str], None]


def make_plan(path: Path, *, quick: bool = False) -> Plan:
    """Reads a file of either kind.

    Raises:
        ConfigError: Something is wrong with it.
    """
    content = read_yaml(path).content
    if content.get("kind") == "cost":
        cost = load_cost(path, content, quick=quick)
        list_all, write = functools.partial(list_cost_cells, cost), functools.partial(write_cost_results, cost)
        return Plan(cost.name, cost.title, 1, list_all, len(list_all()), measure_cell, write)
    experiment = load_experiment(path, content, quick=quick)
    tasks = {task.name: task for task in experiment.tasks}
    return Plan(
        experiment.name,
        experiment.title,
        experiment.steps,
        functools.partial(list_cells, experiment),
        count_cells(experiment),
        functools.partial(run_cell, tasks),
        functools.partial(write_results, experiment),
    )


def run_experiment(options: ExperimentOptions) -> list[Failure]:
    """Runs what is missing and writes the results; returns the cells that failed.

    Raises:
        ConfigError: Something is wrong with the file, or with a choice of cells.
        RunFolderError: The folder holds cells of other settings, or there is nothing to report.
    """
    plan = make_plan(find_file(options.source), quick=options.quick)
    folder = options.out or RUNS_FOLDER / (plan.name + ("-quick" if options.quick else ""))
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"--out {folder} is a file; give a folder")
    cells = plan.list_cells()
    chosen = filter_cells(cells, options.only)
    load_records(folder, cells)  # what is there must be of this experiment, before anything is added to it
    if not options.only_report:
        reuse_finished([cell for cell in chosen if isinstance(cell, Cell)], folder, options.reuse)
    failures = [] if options.only_report else _run_missing(plan, chosen, folder, options.jobs)
    records = load_records(folder, cells)
    if not records:
        raise RunFolderError(f"{folder / CELLS_FOLDER} holds no finished cell of {plan.name}; nothing to report")
    plan.write(records, len(cells), folder, _describe_command(options, folder))
    done = f"{folder / RESULTS_FILE}: {len(records)} of {len(cells)} cells"
    Console().print(done, markup=False, highlight=False, soft_wrap=True)
    return failures


def _run_missing(plan: Plan, cells: Sequence[Named], folder: Path, num_workers: int) -> list[Failure]:
    jobs = [
        Job(cell.name, find_cell_path(folder, cell), functools.partial(_work, plan.work, cell), plan.steps)
        for cell in cells
        if not find_cell_path(folder, cell).exists()
    ]
    view = ProgressView(jobs, len(cells) - len(jobs))
    try:
        return run_jobs(jobs, num_workers, folder / LOGS_FOLDER, view)
    finally:
        view.close()


def _work(work: Callable[[Any, OnStep], Record], cell: Named, on_step: OnStep) -> Record:
    """In a process of its own."""
    quiet_libraries()
    return work(cell, on_step)


def _describe_command(options: ExperimentOptions, folder: Path) -> str:
    """That makes these results."""
    return f"spine experiment {options.source}{' --quick' if options.quick else ''} --out {folder}"


def print_ready() -> None:
    """A row for each experiment that comes with the package."""
    table = Table("name", "cells", "steps", "cells (quick)", "title", box=None)
    for name, path in list_ready().items():
        full, quick = make_plan(path), make_plan(path, quick=True)
        table.add_row(*map(Text, (name, str(full.num_cells), str(full.steps), str(quick.num_cells), full.title)))
    Console().print(table)
