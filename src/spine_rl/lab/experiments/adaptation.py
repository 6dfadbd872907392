"""One cell: a fresh model adapted without labels, evaluated on the way, and everything about it in one record."""

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PrinterCallback, ProgressCallback, TrainerCallback

from spine_rl.engine.models import get_context_length, get_tokenizer
from spine_rl.engine.samplers import Decoding
from spine_rl.evaluation.evaluate import Evaluation, evaluate
from spine_rl.lab.experiments.cells import Cell
from spine_rl.lab.experiments.fields import build_config
from spine_rl.lab.experiments.histograms import TokenHistograms
from spine_rl.lab.experiments.records import Record, round_value, to_columns
from spine_rl.lab.experiments.spec import TaskRef
from spine_rl.lab.experiments.tasks import LoadedTask, load_task
from spine_rl.runs.machine import describe_machine
from spine_rl.training import SpineConfig, SpineTrainer
from spine_rl.training.problem_dataset import build_dataset

EVALUATION_BATCH_SIZE = 128


def run_cell(tasks: Mapping[str, TaskRef], cell: Cell, on_step: Callable[[int], None]) -> Record:
    """Runs a cell.

    Args:
        tasks: The experiment's tasks by name, for evaluations on other ones.
        cell: Which.
        on_step: Called with every step that is done.
    """
    started = time.perf_counter()
    settings = cell.settings
    with tempfile.TemporaryDirectory() as folder:
        config = build_config(settings["fields"], steps=settings["steps"], seed=cell.seed, folder=folder)
        assert config.max_completion_length is not None
        task = load_task(
            cell.task,
            settings["evaluate_on"],
            tasks,
            num_problems=settings["num_problems"],
            max_new_tokens=config.max_completion_length,
            seed=cell.seed,
        )
        watch = _Watch(task, config, settings, on_step)
        trainer = _build_trainer(task, config)
        trainer.token_recorder = watch.histograms
        trainer.add_callback(watch)  # after the guard, so that the last evaluation is of the weights that it leaves
        trainer.train()
    logged = [row for row in trainer.state.log_history if "vote/majority_ratio" in row]
    seconds = sum(value for row in logged for name, value in row.items() if name.startswith("seconds/"))
    return {
        "task": cell.task.name,
        "arm": cell.arm,
        "point": dict(cell.point),
        "seed": cell.seed,
        "settings": settings,
        "curve": watch.curve,
        "steps": to_columns(logged),
        "lengths": watch.lengths,
        "tokens": watch.histograms.summarize(),
        "seconds": {"all": round(time.perf_counter() - started, 1), "adaptation": round(seconds, 1)},
        "machine": describe_machine(),
    }


def _build_trainer(task: LoadedTask, config: SpineConfig) -> SpineTrainer:
    dataset = build_dataset(
        task.problem_set.problems,
        task.processing_class,
        task.style,
        context=get_context_length(task.model),
        max_new_tokens=config.max_completion_length or 0,
    )
    trainer = SpineTrainer(
        task.model,
        config,
        dataset,
        task.processing_class,
        gold_answers=task.problem_set.gold_answers,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer


@dataclass(frozen=True)
class _Evaluated:
    """Metrics of every problem set, and how many of the first set's samples have which length."""

    metrics: Mapping[str, Mapping[str, Any]]
    lengths: Mapping[str, int]


# What cells of one task, seed and decoding have in common, because they start from the same model; of this process.
_starts: dict[str, _Evaluated] = {}


class _Watch(TrainerCallback):
    """Evaluates before the first step, every so many steps, and after the last."""

    def __init__(
        self, task: LoadedTask, config: SpineConfig, settings: Mapping[str, Any], on_step: Callable[[int], None]
    ):
        self._task, self._config, self._settings, self._on_step = task, config, settings, on_step
        self.histograms = TokenHistograms(get_tokenizer(task.processing_class), last_step=settings["steps"])
        self.curve: list[dict[str, Any]] = []
        self.lengths: dict[str, Mapping[str, int]] = {}

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        same = ("task", "evaluate_on", "num_problems", "num_samples")
        decoding = (self._config.temperature, self._config.max_completion_length, self._config.seed)
        key = json.dumps([*(self._settings[name] for name in same), *decoding])
        if key not in _starts:
            _starts[key] = self._evaluate(model)
        self._keep(_starts[key], 0)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self._on_step(state.global_step)
        if state.global_step % self._settings["evaluate_every"] == 0 and state.global_step < state.max_steps:
            self._keep(self._evaluate(model), state.global_step)

    def on_train_end(self, args, state, control, model=None, **kwargs):
        self._keep(self._evaluate(model), state.global_step)

    def _keep(self, evaluated: _Evaluated, step: int) -> None:
        self.curve.append({"step": step, **evaluated.metrics})
        if step in (0, self._settings["steps"]):
            self.lengths["end" if step else "start"] = evaluated.lengths

    def _evaluate(self, model: Any) -> _Evaluated:
        evaluations = {name: self._evaluate_set(model, name) for name in self._task.evaluation_sets}
        metrics = {
            name: {metric: round_value(value, 4) for metric, value in evaluation.metrics.items()}
            for name, evaluation in evaluations.items()
        }
        lengths = Counter(len(sample.token_ids) for row in next(iter(evaluations.values())).samples for sample in row)
        return _Evaluated(metrics, {str(length): lengths[length] for length in sorted(lengths)})

    def _evaluate_set(self, model: Any, name: str) -> Evaluation:
        chosen, config = self._task.evaluation_sets[name], self._config
        decoding = Decoding(chosen.max_new_tokens, config.temperature, 1.0, EVALUATION_BATCH_SIZE, config.seed)
        return evaluate(
            model,
            self._task.processing_class,
            chosen.problem_set.problems,
            chosen.problem_set.gold_answers,
            decoding,
            num_samples=self._settings["num_samples"],
            prompt_style=chosen.style,
            answer_type="auto",
        )
