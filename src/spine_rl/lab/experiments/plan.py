"""What a file of either kind asks for: its cells, what runs one, and what writes the results."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spine_rl.engine.quiet import quiet_libraries
from spine_rl.lab.experiments.adaptation import run_cell
from spine_rl.lab.experiments.cells import Cell, list_cells
from spine_rl.lab.experiments.cost import CostExperiment, list_cost_cells, measure_cell
from spine_rl.lab.experiments.cost_page import write_cost_results
from spine_rl.lab.experiments.page import write_results
from spine_rl.lab.experiments.spec import Experiment
from spine_rl.lab.experiments.spec_file import build_spec
from spine_rl.lab.experiments.store import Record
from spine_rl.lab.experiments.workers import Job, OnStep
from spine_rl.options import YamlFile


@dataclass(frozen=True)
class Plan:
    """An experiment of any kind, as it is run.

    Attributes:
        name: The file's.
        title: One line.
        steps: Of a cell, for progress.
        cells: All of them, checked.
        work: Gives a cell's record; called in a process of its own.
        write: Writes the results: (finished cells, number of all cells, folder, command).
    """

    name: str
    title: str
    steps: int
    cells: Sequence[Cell]
    work: Callable[[Cell, OnStep], Record]
    write: Callable[[Sequence[Record], int, Path, str], None]

    def make_job(self, cell: Cell) -> Job:
        return Job(cell.name, functools.partial(_work, self.work, cell), self.steps)


def plan_experiment(experiment: Experiment) -> Plan:
    """Of runs.

    Raises:
        ConfigError: A field or task that cannot be.
    """
    cells = list_cells(experiment)
    work = functools.partial(run_cell, {task.name: task for task in experiment.tasks})
    write = functools.partial(write_results, experiment)
    return Plan(experiment.name, experiment.title, experiment.steps, cells, work, write)


def plan_cost(file: YamlFile, *, quick: bool) -> Plan:
    """Of measured updates.

    Raises:
        ConfigError: A key or value that cannot be.
    """
    experiment = build_spec(file, CostExperiment, quick=quick)
    cells, write = list_cost_cells(experiment), functools.partial(write_cost_results, experiment)
    return Plan(experiment.name, experiment.title, 1, cells, measure_cell, write)


def _work(work: Callable[[Cell, OnStep], Record], cell: Cell, on_step: OnStep) -> Record:
    """In a process of its own."""
    quiet_libraries()
    return work(cell, on_step)
