"""What an update costs by arm, over model size, vocabulary and settings: a file of `kind: cost`, its cells, one cell.

docs/experiments.md has such a file.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any, Literal

from pydantic import ConfigDict, Field

from spine_rl.lab.bench.arms import measure_arms
from spine_rl.lab.bench.shapes import BatchShape, ModelShape
from spine_rl.lab.experiments.cells import Cell, format_name
from spine_rl.lab.experiments.fields import resolve_fields
from spine_rl.lab.experiments.spec import CostOutline
from spine_rl.lab.experiments.spec_file import Arms, Count, Prose
from spine_rl.lab.experiments.store import Record
from spine_rl.lab.experiments.workers import OnStep
from spine_rl.runs.machine import describe_machine


class CostExperiment(CostOutline):
    """As its file describes it; the first arm is the one that the others are compared with."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["cost"] = Field(description="cost, or not be there")
    arms: Arms
    question: Prose = ""
    model: ModelShape = ModelShape()
    batch: BatchShape = BatchShape()
    rounds: Count = 5


def list_cost_cells(experiment: CostExperiment) -> list[Cell]:
    """The middle, and one field changed at a time.

    Raises:
        ConfigError: A field's value cannot be.
    """
    varied = [{name: value} for name, values in experiment.vary.items() for value in values]
    return [_make_cell(experiment, point) for point in ({}, *varied)]


def _make_cell(experiment: CostExperiment, point: Mapping[str, Any]) -> Cell:
    def of(shape: type) -> dict[str, Any]:
        return {entry.name: point[entry.name] for entry in fields(shape) if entry.name in point}

    model, batch = replace(experiment.model, **of(ModelShape)), replace(experiment.batch, **of(BatchShape))
    more = {name: value for name, value in point.items() if name not in {**asdict(model), **asdict(batch)}}
    arms = {
        arm: resolve_fields({**given, **more}, {}, f"{experiment.name}, arm {arm}")
        for arm, given in experiment.arms.items()
    }
    settings = {"model": asdict(model), "batch": asdict(batch), "arms": arms, "rounds": experiment.rounds}
    return Cell(format_name("update", *([] if point else ["middle"]), point=point), {"point": point}, settings)


def measure_cell(cell: Cell, on_step: OnStep) -> Record:
    """One point: all arms in turn, in one process."""
    settings = cell.settings
    model, batch = ModelShape(**settings["model"]), BatchShape(**settings["batch"])
    measured = measure_arms(model, batch, settings["arms"], settings["rounds"])
    on_step(1)
    return {**cell.identity, "settings": settings, **measured, "machine": describe_machine()}
