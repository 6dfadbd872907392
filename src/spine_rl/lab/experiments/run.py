"""`spine experiment`: the cells that are missing are run, and the results written anew from all that are there.

A file is read and checked here, before torch and TRL are loaded for what it asks for (`plan`).
"""

import functools
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from spine_rl.engine.progress import tell
from spine_rl.engine.quiet import loading_libraries
from spine_rl.engine.say import say
from spine_rl.errors import RunFolderError
from spine_rl.lab.experiments.cluster import check_place, run_on_ray
from spine_rl.lab.experiments.spec import CostOutline, Experiment, find_file, list_ready
from spine_rl.lab.experiments.spec_file import build_spec
from spine_rl.lab.experiments.store import load_records, pack_records, reuse_finished, write_record
from spine_rl.lab.experiments.workers import Failure, run_local
from spine_rl.lab.options import ExperimentOptions
from spine_rl.options import read_yaml
from spine_rl.runs.folder_lock import owning

if TYPE_CHECKING:
    from spine_rl.lab.experiments.plan import Plan

RUNS_FOLDER, LOGS_FOLDER, RESULTS_FILE = Path("runs/experiments"), "logs", "results.md"


def make_plan(path: Path, *, quick: bool = False) -> "Plan":
    """What a file of either kind asks for.

    Raises:
        ConfigError: Something is wrong with it.
    """
    file = read_yaml(path)
    experiment = None if "kind" in file.content else build_spec(file, Experiment, quick=quick)
    with loading_libraries():
        from spine_rl.lab.experiments import plan

    return plan.plan_cost(file, quick=quick) if experiment is None else plan.plan_experiment(experiment)


def run_experiment(source: str, options: ExperimentOptions = ExperimentOptions()) -> list[Failure]:
    """Runs what is missing and writes the results; returns the cells that failed.

    Args:
        source: A file, or a ready experiment's name.
        options: As of the command.

    Raises:
        ConfigError: Something is wrong with the file, with a choice of cells, or with the machines.
        RunFolderError: The folder holds cells of other settings, or there is nothing to report.
    """
    check_place(options.on)
    plan = make_plan(find_file(source), quick=options.quick)
    folder = options.out or RUNS_FOLDER / (plan.name + ("-quick" if options.quick else ""))
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"--out {folder} is a file; give a folder")
    with owning(folder):
        failures = [] if options.only_report else _run_missing(plan, folder, options)
        records = [*load_records(folder, plan.cells).values()]
        if not records:
            raise RunFolderError(f"{folder} holds no finished cell of {plan.name}; nothing to report")
        command = f"spine experiment {source}{' --quick' if options.quick else ''} --out {folder}"
        plan.write(records, len(plan.cells), folder, command)
        pack_records(folder)
    say(f"{folder / RESULTS_FILE}: {len(records)} of {len(plan.cells)} cells")
    return failures


def _run_missing(plan: "Plan", folder: Path, options: ExperimentOptions) -> list[Failure]:
    """Each record is written when it is there, so that whatever happens later, its cell is finished.

    What is in the folder must be of this experiment, before anything is added to it.
    """
    from spine_rl.lab.experiments.cells import filter_cells

    chosen = filter_cells(plan.cells, options.only)
    finished = load_records(folder, plan.cells)
    reuse_finished([cell for cell in chosen if cell.name not in finished], folder, options.reuse)
    finished = load_records(folder, chosen)
    jobs = [plan.make_job(cell) for cell in chosen if cell.name not in finished]
    num_done, failures = len(finished), []
    tell("all", num_done, len(chosen), "cells")
    engine = run_local if options.on == "local" else functools.partial(run_on_ray, options.on)
    with closing(engine(jobs, options.jobs, folder / LOGS_FOLDER)) as outcomes:
        for job, outcome in outcomes:
            if isinstance(outcome, Failure) and outcome.is_tried_again:
                say(f"lost: {job.name}: {outcome.reason}; it is run again")
                continue
            num_done += 1
            tell("all", num_done, len(chosen), "cells")
            if isinstance(outcome, Failure):
                failures.append(outcome)
                say(f"failed: {job.name}: {outcome.reason} (see {outcome.log})")
            else:
                write_record(folder, job.name, outcome)
                say(f"{num_done}/{len(chosen)} cells done: {job.name}")
    return failures


def print_ready() -> None:
    """A row for each experiment that comes with the package, without loading what would run it."""
    table = Table("name", "cells", "steps", "cells (quick)", "title", box=None)
    for name, path in list_ready().items():
        file = read_yaml(path)
        kind = CostOutline if "kind" in file.content else Experiment
        full, quick = build_spec(file, kind), build_spec(file, kind, quick=True)
        table.add_row(*map(Text, (name, str(full.num_cells), str(full.steps), str(quick.num_cells), full.title)))
    Console().print(table)
