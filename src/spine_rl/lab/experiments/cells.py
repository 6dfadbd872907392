"""Cells: one run each, at a task, an arm, a point of the axes and a seed; and a choice among them."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from spine_rl.errors import ConfigError
from spine_rl.lab.experiments.fields import get_value, resolve_fields
from spine_rl.lab.experiments.fingerprint import fingerprint_task
from spine_rl.lab.experiments.spec import Experiment, TaskRef
from spine_rl.lab.experiments.tasks import check_task, get_defaults


@dataclass(frozen=True)
class Cell:
    """One run of an experiment, of any kind.

    Attributes:
        name: Of its file, without the ending: the same cell has the same name whatever else the experiment holds.
        identity: What its record begins with: `point` (axis → value; and of `vary` the one field that is not as the
            arm has it), and where it adapts a model `task`, `arm` and `seed`.
        settings: All that decides its outcome, as it is kept in the record; `fields` are `SpineConfig`'s.
    """

    name: str
    identity: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def labels(self) -> dict[str, str]:
        """What a choice of cells may name."""
        whole = {name: value for name, value in self.identity.items() if name != "point"}
        return {name: show(value) for name, value in {**whole, **self.identity["point"]}.items()}


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
    runs = [
        (task, arm, *_resolve(experiment, task, arm, point, digests))
        for task in experiment.tasks
        for digests in [fingerprint_task(task.own)]
        for arm in experiment.arms
        for point in _list_points(experiment, task, arm)
    ]
    cells = [
        Cell(
            format_name(task.name, arm, point={**point, "seed": seed}),
            {"task": task.name, "arm": arm, "point": point, "seed": seed},
            settings,
        )
        for seed in experiment.seeds
        for task, arm, point, settings in runs
    ]
    name, number = Counter(cell.name for cell in cells).most_common(1)[0]
    if number > 1:
        raise ConfigError(f"{experiment.name}: two cells would be {name!r}; give arms and tasks different names")
    return cells


def _list_points(experiment: Experiment, task: TaskRef, arm: str) -> Iterator[dict[str, Any]]:
    """Every combination of the axes, as it is and with each of `vary`; an arm's own field has its one value."""
    own = experiment.arms[arm]
    axes = [[(name, own[name])] if name in own else [(name, v) for v in vs] for name, vs in experiment.axes.items()]
    as_it_is = {**get_defaults(task), **experiment.fields, **own}
    for point in map(dict, itertools.product(*axes)):
        yield point
        for name, values in experiment.vary.items():
            centre = get_value({**as_it_is, **point}, name)
            yield from ({**point, name: value} for value in values if value != centre)


def _resolve(
    experiment: Experiment, task: TaskRef, arm: str, point: Mapping[str, Any], digests: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The point with its values as they are run, and a cell's settings."""
    defaults = get_defaults(task)
    given = {**experiment.fields, **experiment.arms[arm], **point}
    fields = resolve_fields(given, defaults, f"{experiment.name}, arm {arm}")
    settings = {
        "task": {"name": task.name, **task.own, **digests},
        "fields": {**defaults, **fields},
        "steps": experiment.steps,
        "evaluate_every": experiment.evaluate_every,
        "evaluate_on": list(experiment.evaluate_on),
        "num_problems": experiment.num_problems,
        "num_samples": experiment.num_samples,
    }
    return {name: fields[name] for name in point}, settings


# ---- a choice among them


def filter_cells(cells: Sequence[Cell], choices: Sequence[str]) -> list[Cell]:
    """Cells that one of the choices names: `arm=ttrl,seed=0`; all of them without a choice.

    Raises:
        ConfigError: A choice is no such list, or no cell is what it names.
    """
    labels = pd.DataFrame([cell.labels for cell in cells])
    matches = [_match(labels, choice) for choice in choices]
    return [*itertools.compress(cells, np.any(matches, axis=0))] if matches else [*cells]


def _match(labels: pd.DataFrame, choice: str) -> pd.Series:
    """Which of the cells a choice names."""
    between = rf",\s*(?=(?:{'|'.join(map(re.escape, labels))})=)"  # a value may have commas of its own
    matches = pd.Series(True, labels.index)
    for name, _, value in (part.partition("=") for part in re.split(between, choice)):
        if name not in labels:
            raise ConfigError(f"--only {choice}: {name!r} is none of {', '.join(labels)}; write arm=...,seed=...")
        known = labels[name].dropna().unique()
        label = value if value in known else _write_as_label(value)
        if label not in known:
            raise ConfigError(f"--only {choice}: {name} is one of {', '.join(known)}")
        matches &= labels[name] == label
    if not matches.any():
        raise ConfigError(f"--only {choice}: each of these is there, all of them together no cell; give fewer")
    return matches


def _write_as_label(value: str) -> str:
    """1e-4 and 1E-04 are the 0.0001 of names and tables."""
    try:
        return show(float(value))
    except ValueError:
        return value
