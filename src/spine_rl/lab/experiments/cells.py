"""Cells: one run each, at a task, an arm, a point of the axes and a seed."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from spine_rl.errors import ConfigError
from spine_rl.lab.experiments.fields import get_value, resolve_fields
from spine_rl.lab.experiments.fingerprint import fingerprint_task
from spine_rl.lab.experiments.spec import Experiment, TaskRef
from spine_rl.lab.experiments.tasks import check_task, get_defaults


@dataclass(frozen=True)
class Cell:
    """One run of an experiment.

    Attributes:
        task: What is adapted to.
        arm: Its name.
        point: Axis → value; and of `vary` the one field that is not as the arm has it.
        seed: Of problems, their order and the samples.
        settings: All that decides its outcome, as it is kept in the record; `fields` are `SpineConfig`'s.
    """

    task: TaskRef
    arm: str
    point: Mapping[str, Any]
    seed: int
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Of its file, without the ending: the same cell has the same name whatever else the experiment holds."""
        return format_name(self.task.name, self.arm, point={**self.point, "seed": self.seed})

    @property
    def labels(self) -> dict[str, str]:
        """What a choice of cells may name."""
        labels = {"task": self.task.name, "arm": self.arm, "seed": str(self.seed)}
        return labels | {name: show(value) for name, value in self.point.items()}


class Named(Protocol):
    """A cell of any kind.

    Attributes:
        name: Of its file.
        labels: What a choice of cells may name.
        settings: All that decides its outcome.
    """

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...


AnyCell = TypeVar("AnyCell", bound=Named)


def format_name(*parts: str, point: Mapping[str, Any]) -> str:
    """A file's name without its ending: letters, digits and `.=+-_` alone."""
    settings = (f"{name}={show(value)}" for name, value in point.items())
    return "-".join(re.sub(r"[^\w.=+-]+", "_", part) for part in (*parts, *settings))


def show(value: Any) -> str:
    """A setting's value in names and tables."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def list_cells(experiment: Experiment) -> list[Cell]:
    """All cells, seed by seed, so that a stopped experiment has whole grids.

    Raises:
        ConfigError: A field's value cannot be, a task is not known, or two cells would be one.
    """
    for task in experiment.tasks:
        check_task(task, experiment.evaluate_on, experiment.tasks, experiment.name)
    cells = [
        _make_cell(experiment, task, arm, dict(point), seed)
        for seed in experiment.seeds
        for task in experiment.tasks
        for arm in experiment.arms
        for point in _list_points(experiment, task, arm)
    ]
    names = [cell.name for cell in cells]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{experiment.name}: two cells would be {twice!r}; give arms and tasks different names")
    return cells


def count_cells(experiment: Experiment) -> int:
    """How many there are; nothing is checked."""
    points = (_list_points(experiment, task, arm) for task in experiment.tasks for arm in experiment.arms)
    return len(experiment.seeds) * sum(len([*each]) for each in points)


def _list_points(experiment: Experiment, task: TaskRef, arm: str) -> Iterator[tuple[tuple[str, Any], ...]]:
    """Every combination of the axes, as it is and with each of `vary`; an arm's own field has its one value."""
    own = experiment.arms[arm]
    axes = [[(name, own[name])] if name in own else [(name, v) for v in vs] for name, vs in experiment.axes.items()]
    as_it_is = {**get_defaults(task), **experiment.fields, **own}
    for point in itertools.product(*axes):
        yield point
        for name, values in experiment.vary.items():
            centre = get_value({**as_it_is, **dict(point)}, name)
            yield from ((*point, (name, value)) for value in values if value != centre)


def _make_cell(experiment: Experiment, task: TaskRef, arm: str, point: Mapping[str, Any], seed: int) -> Cell:
    where = f"{experiment.name}, arm {arm}"
    given = {**experiment.fields, **experiment.arms[arm], **point}
    defaults = get_defaults(task)
    fields = resolve_fields(given, defaults, where)
    settings = {
        "task": {"name": task.name, **task.own, **fingerprint_task(task.own)},
        "fields": {**defaults, **fields},
        "steps": experiment.steps,
        "evaluate_every": experiment.evaluate_every,
        "evaluate_on": list(experiment.evaluate_on),
        "num_problems": experiment.num_problems,
        "num_samples": experiment.num_samples,
    }
    return Cell(task, arm, {name: fields[name] for name in point}, seed, settings)


# ---- a choice among them


def filter_cells(cells: Sequence[AnyCell], choices: Sequence[str]) -> list[AnyCell]:
    """Cells that one of the choices names: `arm=ttrl,seed=0`; all of them without a choice.

    Raises:
        ConfigError: A choice is no such list, or no cell is what it names.
    """
    wanted = [_parse_choice(choice, cells) for choice in choices]
    for text, choice in zip(choices, wanted, strict=True):
        if not any(_is_chosen(cell, choice) for cell in cells):
            raise ConfigError(f"--only {text}: no cell is all of this; give fewer of them")
    return [cell for cell in cells if not wanted or any(_is_chosen(cell, choice) for choice in wanted)]


def _is_chosen(cell: Named, choice: Mapping[str, str]) -> bool:
    return choice.items() <= cell.labels.items()


def _parse_choice(choice: str, cells: Sequence[Named]) -> dict[str, str]:
    names = list(dict.fromkeys(name for cell in cells for name in cell.labels))
    between = rf",\s*(?=(?:{'|'.join(map(re.escape, names))})=)"  # a value may have commas of its own
    pairs = [part.partition("=") for part in re.split(between, choice)]
    parsed: dict[str, str] = {}
    for name, _, value in pairs:
        values = list(dict.fromkeys(cell.labels[name] for cell in cells if name in cell.labels))
        if name not in names:
            raise ConfigError(f"--only {choice}: {name!r} is none of {', '.join(names)}; write arm=...,seed=...")
        if value not in values:
            value = _write_as_label(value)
        if value not in values:
            raise ConfigError(f"--only {choice}: {name} is one of {', '.join(values)}")
        parsed[name] = value
    return parsed


def _write_as_label(value: str) -> str:
    """1e-4 and 1E-04 are the 0.0001 of names and tables."""
    try:
        return show(float(value))
    except ValueError:
        return value
