"""One cell: a fresh model adapted without labels, evaluated on the way, and everything about it in one record."""

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import TrainerCallback

from spine_rl.engine.models import get_tokenizer
from spine_rl.lab.adapt import adapt, build_config
from spine_rl.lab.experiments.cells import Cell
from spine_rl.lab.experiments.spec import TaskRef
from spine_rl.lab.experiments.store import Record
from spine_rl.lab.experiments.tasks import load_task
from spine_rl.lab.token_histograms import TokenHistograms
from spine_rl.runs.machine import describe_machine

# What is kept of every step: what the collapse monitor reads, what gold says of it, and where time went.
_KEPT = ("vote/", "probe/", "response_length/", "entropy/", "forks/", "band/", "loss/", "guard/", "seconds/", "kl")
_KEPT += ("tokens_generated", "learning_rate", "epoch")
_SHARED = ("task", "evaluate_on", "num_problems", "num_samples")  # by cells that start from the same evaluation


def run_cell(tasks: Mapping[str, TaskRef], cell: Cell, on_step: Callable[[int], None]) -> Record:
    """Runs a cell.

    Args:
        tasks: The experiment's tasks by name, for the cell's and for evaluations on other ones.
        cell: Which.
        on_step: Called with every step that is done.
    """
    started = time.perf_counter()
    settings, seed = cell.settings, cell.identity["seed"]
    with tempfile.TemporaryDirectory() as folder:
        config = build_config(settings["fields"], steps=settings["steps"], seed=seed, folder=folder)
        assert config.max_completion_length is not None
        task = load_task(
            tasks[cell.identity["task"]],
            settings["evaluate_on"],
            tasks,
            num_problems=settings["num_problems"],
            max_new_tokens=config.max_completion_length,
            seed=seed,
        )
        histograms = TokenHistograms(get_tokenizer(task.processing_class), last_step=settings["steps"])
        decoding = (config.temperature, config.max_completion_length, config.bf16, seed)
        run = adapt(
            task,
            config,
            evaluate_every=settings["evaluate_every"],
            num_samples=settings["num_samples"],
            start_key=json.dumps([*(settings[name] for name in _SHARED), *decoding]),
            recorder=histograms,
            callbacks=[_Progress(on_step)],
        )
    ends = {"start": run.evaluations[0], "end": run.evaluations[settings["steps"]]}
    return {
        **cell.identity,
        "settings": settings,
        "curve": [{"step": row.pop("step"), **_round_metrics(row)} for row in run.curve],
        "steps": to_columns(run.steps),
        "lengths": {when: each.lengths for when, each in ends.items()},
        "tokens": histograms.summarize(),
        "seconds": {"all": round(time.perf_counter() - started, 1), "adaptation": round(run.seconds, 1)},
        "machine": describe_machine(),
    }


class _Progress(TrainerCallback):
    def __init__(self, on_step: Callable[[int], None]):
        self._on_step = on_step

    def on_step_end(self, args, state, control, **kwargs):
        self._on_step(state.global_step)


def _round_metrics(sets: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    return {name: {metric: _round(value, 4) for metric, value in metrics.items()} for name, metrics in sets.items()}


def to_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Logged rows as columns, three significant digits; None where a row has no value."""
    names = dict.fromkeys(name for row in rows for name in row if name == "step" or name.startswith(_KEPT))
    return {name: [row.get(name) if name == "step" else _round(row.get(name), 3) for row in rows] for name in names}


def to_rows(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The opposite: rows, without what was not logged."""
    return [
        {name: value for name, value in zip(columns, values, strict=True) if value is not None}
        for values in zip(*columns.values(), strict=True)
    ]


def _round(value: float | None, digits: int) -> float | None:
    """To significant digits; what is whole then is an integer."""
    if value is None or isinstance(value, int):
        return value
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e6 else rounded
