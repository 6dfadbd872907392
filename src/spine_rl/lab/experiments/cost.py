"""What an update costs by arm, over model size, vocabulary and settings: a file of `kind: cost`, its cells, one cell.

```yaml
kind: cost
title: What selection costs and saves
arms: {ttrl: {preset: ttrl}, spine: {preset: spine}}     # the first is what the others are compared with
model: {hidden: 256, layers: 6, vocabulary: 8192}        # a random model (spine_rl.lab.bench.shapes.ModelShape)
batch: {prompts: 2, prompt_length: 200, response_length: 100}   # BatchShape
vary: {vocabulary: [1024, 65536], fork_fraction: [0.05, 1.0]}   # of the model, the batch or SpineConfig; one at a time
rounds: 5                                                # in which the arms take turns
```
"""

import functools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from trl.kernels import ChunkedLogProbFunction

from spine_rl.engine.lm_head import VOCABULARY_CHUNK
from spine_rl.engine.models import get_device
from spine_rl.errors import ConfigError, suggest_nearest
from spine_rl.lab.bench.measure import alternate, autocast, timed
from spine_rl.lab.bench.memory import measure_peak
from spine_rl.lab.bench.shapes import BatchShape, ModelShape, build_model
from spine_rl.lab.bench.sides import prepare_update
from spine_rl.lab.experiments.cells import format_name, show
from spine_rl.lab.experiments.fields import build_config, resolve_fields
from spine_rl.lab.experiments.records import Record
from spine_rl.lab.experiments.workers import OnStep
from spine_rl.lab.experiments.yaml_file import (
    QUICK,
    Check,
    check_keys,
    is_count,
    is_list,
    is_mapping,
    is_text,
    replace_quick,
)
from spine_rl.objective import Objective, compute_band_penalty, compute_band_thresholds, select_forks
from spine_rl.runs.machine import describe_machine


def _count_added_product(_: Any, a: Sequence[int], b: Sequence[int], *__: Any, **___: Any) -> int:
    return 2 * a[0] * a[1] * b[1]


# The LM head's backward pass adds its products in place, which torch's own counter leaves out, or on a GPU in another
# type than theirs, which it cannot read.
_PRODUCTS: dict[Any, Any] = dict.fromkeys((torch.ops.aten.addmm_, torch.ops.aten.addmm), _count_added_product)
NUM_ROUNDS = 5  # of the short measurements

_MODEL = [entry.name for entry in fields(ModelShape)]
_BATCH = [entry.name for entry in fields(BatchShape)]


@dataclass(frozen=True)
class CostExperiment:
    """As its file describes it.

    Attributes:
        name: The file's.
        title: One line.
        arms: Arm → fields of `SpineConfig`; the first is the one compared with.
        question: What it is to answer.
        model: Fields of `ModelShape`.
        batch: Fields of `BatchShape`.
        vary: Field of any of them → values, one field at a time.
        rounds: In which the arms take turns.
    """

    name: str
    title: str
    arms: Mapping[str, Mapping[str, Any]]
    question: str = ""
    model: Mapping[str, Any] = field(default_factory=dict)
    batch: Mapping[str, Any] = field(default_factory=dict)
    vary: Mapping[str, list[Any]] = field(default_factory=dict)
    rounds: int = 5


@dataclass(frozen=True)
class CostCell:
    """One point: all arms in turn, in one process."""

    point: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        return format_name("update", *([] if self.point else ["middle"]), point=self.point)

    @property
    def labels(self) -> dict[str, str]:
        return {name: show(value) for name, value in self.point.items()}


_NUMBERS: tuple[Check, str] = (
    is_mapping(lambda value: isinstance(value, int)),
    "must be a mapping: field → whole number",
)
_CHECKS: dict[str, tuple[Check, str]] = {
    "kind": (lambda value: value == "cost", "must be cost"),
    "title": (is_text, "must be a line of text"),
    "question": (is_text, "must be text"),
    "arms": (is_mapping(is_mapping()), "must be a mapping: name → fields"),
    "model": _NUMBERS,
    "batch": _NUMBERS,
    "vary": (is_mapping(is_list()), "must be a mapping: field → list of values"),
    "rounds": (is_count, "must be a whole number, at least 1"),
    "quick": QUICK,
}


def load_cost(path: Path, content: Mapping[str, Any], *, quick: bool = False) -> CostExperiment:
    """From a file's content; with `quick` its quick form.

    Raises:
        ConfigError: A key or value that cannot be.
    """
    check_keys(path, content, _CHECKS, required=("title", "arms"))
    if quick:
        content = replace_quick(path, content)
        check_keys(path, content, _CHECKS, required=("title", "arms"))
    for part, known in (("model", _MODEL), ("batch", _BATCH)):
        for name in content.get(part, {}):
            if name not in known:
                raise ConfigError(f"{path}: {part}: unknown field {name!r}; {suggest_nearest(name, known)}")
    parts = {name: value for name, value in content.items() if name not in ("kind", "quick")}
    parts["question"] = " ".join(parts.get("question", "").split())
    return CostExperiment(name=path.stem, **parts)


def list_cost_cells(experiment: CostExperiment) -> list[CostCell]:
    """The middle, and one field changed at a time.

    Raises:
        ConfigError: A field's value cannot be.
    """
    varied = [{name: value} for name, values in experiment.vary.items() for value in values]
    return [_make_cell(experiment, point) for point in ({}, *varied)]


def _make_cell(experiment: CostExperiment, point: Mapping[str, Any]) -> CostCell:
    model = {**experiment.model, **{name: value for name, value in point.items() if name in _MODEL}}
    batch = {**experiment.batch, **{name: value for name, value in point.items() if name in _BATCH}}
    more = {name: value for name, value in point.items() if name not in (*_MODEL, *_BATCH)}
    arms = {
        arm: resolve_fields({**given, **more}, {}, f"{experiment.name}, arm {arm}")
        for arm, given in experiment.arms.items()
    }
    settings = {
        "model": asdict(ModelShape(**model)),
        "batch": asdict(BatchShape(**batch)),
        "arms": arms,
        "rounds": experiment.rounds,
    }
    return CostCell(point, settings)


# ---- one cell


def measure_cell(cell: CostCell, on_step: OnStep) -> Record:
    """Times the arms in turn, counts their operations, and takes each one's memory in a process of its own."""
    model, batch = ModelShape(**cell.settings["model"]), BatchShape(**cell.settings["batch"])
    updates, flops, mebibytes = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for arm, options in cell.settings["arms"].items():
            update = prepare_update("spine", model, batch, f"{folder}/{len(updates)}", **options)
            with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=_PRODUCTS) as counter:
                update()  # attention is plain products there, which are counted whatever its heads
            flops[arm] = counter.get_total_flops()
            updates[arm] = timed(update)
            mebibytes[arm] = round(measure_peak("spine", model, batch, **options) / 2**20, 1)
        timings = alternate(updates, cell.settings["rounds"])
    on_step(1)
    return {
        "point": dict(cell.point),
        "settings": cell.settings,
        "parameters": sum(p.numel() for p in build_model(model).parameters()),
        "seconds": {arm: [round(value, 5) for value in values] for arm, values in timings.seconds.items()},
        "mebibytes": mebibytes,
        "flops": flops,
        "parts": _measure_parts(model, batch, cell.settings["arms"]),
        "machine": describe_machine(),
    }


def _measure_parts(shape: ModelShape, batch: BatchShape, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds of what selection adds to an update, each by itself: entropies, and by arm choosing tokens and the band.

    `log_probs` and `with_entropies` are the LM head's forward pass over all response tokens without and with entropies.
    """
    generator = torch.Generator().manual_seed(0)
    rows, width, device = batch.prompts * batch.group_size, batch.response_length, get_device()
    entropies = torch.rand(rows, width, generator=generator).to(device)
    ids = torch.arange(rows * width, device=device).reshape(rows, width)
    mask = torch.ones_like(ids, dtype=torch.bool)

    def select(objective: Objective) -> None:
        forks = select_forks(entropies, mask, objective.fork_selector, fraction=objective.fork_fraction, token_ids=ids)
        low, high = compute_band_thresholds(entropies, forks, objective.band)
        compute_band_penalty(entropies, forks, low, high)

    hidden = torch.randn(rows * width, shape.hidden, generator=generator).to(device)
    weight = (torch.randn(shape.vocabulary, shape.hidden, generator=generator) / shape.hidden**0.5).to(device)
    targets = torch.randint(shape.vocabulary, (rows * width,), generator=generator).to(device)

    def score(*outputs: str) -> None:
        with torch.no_grad(), autocast():
            ChunkedLogProbFunction.apply(hidden, weight, None, targets, 1.0, VOCABULARY_CHUNK, None, 1.0, outputs)

    objectives = {
        arm: build_config(given, steps=1, seed=0, folder="unused").objective for arm, given in settings.items()
    }
    calls = {arm: functools.partial(select, objective) for arm, objective in objectives.items()}
    heads = {"log_probs": lambda: score("log_probs"), "with_entropies": lambda: score("log_probs", "entropy")}
    return {
        name: {key: round(times.median(key), 6) for key in times.seconds}
        for name, times in (
            ("select", alternate({key: timed(call) for key, call in calls.items()}, NUM_ROUNDS)),
            ("head", alternate({key: timed(call) for key, call in heads.items()}, NUM_ROUNDS)),
        )
    }
