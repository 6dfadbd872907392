"""One run: a fresh model adapted without labels and evaluated on the way; what the demo and experiments are made of."""

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    ProcessorMixin,
    ProgressCallback,
    TrainerCallback,
)

from spine_rl.engine.models import get_context_length, get_hidden_size
from spine_rl.engine.precision import SMALLEST_WIDTH
from spine_rl.engine.samplers import Decoding
from spine_rl.errors import ModelError
from spine_rl.evaluation.evaluate import Evaluation, evaluate
from spine_rl.lab.tasks import Task
from spine_rl.problems import ProblemSet, PromptStyle
from spine_rl.training import SpineConfig, SpineTrainer
from spine_rl.training.problem_dataset import build_dataset

EVALUATION_BATCH_SIZE = 128
NUM_SAMPLES = 8
LAB_FIELDS: Mapping[str, Any] = {  # of SpineConfig, on the lab's tasks: 16 problems a step
    "num_generations": NUM_SAMPLES,
    "per_device_train_batch_size": 64,
    "gradient_accumulation_steps": 2,
    "lr_scheduler_type": "constant",
    "use_cpu": True,
}
_UNSAVED: Mapping[str, Any] = {
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "logging_steps": 1,
    "sample_steps": 0,
    "keep_best": "none",
}


@dataclass(frozen=True)
class EvaluationSet:
    """Labelled problems, the longest response to them, and what is put around them."""

    problem_set: ProblemSet
    max_new_tokens: int
    style: PromptStyle = field(default_factory=PromptStyle)


@dataclass(frozen=True)
class LoadedTask:
    """A task ready for one run.

    Attributes:
        model: Fresh.
        processing_class: Its tokenizer or processor.
        problem_set: To adapt to; its gold answers are for diagnosis, and for `oracle`.
        evaluation_sets: By name.
        style: What is put around the prompts that are adapted to.
    """

    model: PreTrainedModel
    processing_class: PreTrainedTokenizerBase | ProcessorMixin
    problem_set: ProblemSet
    evaluation_sets: Mapping[str, EvaluationSet]
    style: PromptStyle = field(default_factory=PromptStyle)


@dataclass(frozen=True)
class Evaluated:
    """Metrics of every evaluation set, and how many of the first set's samples have how many tokens."""

    metrics: Mapping[str, Mapping[str, float]]
    lengths: Mapping[str, int]


@dataclass(frozen=True)
class LabRun:
    """What came out of a run.

    Attributes:
        evaluations: Step → what the weights were worth: before, on the way, and after.
        steps: Logged statistics of every step.
        kept: The step whose weights `keep_best` kept, and what they are worth; None where it kept none.
    """

    evaluations: Mapping[int, Evaluated]
    steps: Sequence[Mapping[str, Any]]
    kept: tuple[int, Evaluated] | None = None

    @property
    def curve(self) -> list[dict[str, Any]]:
        """A row an evaluated step: `step`, and by evaluation set its metrics."""
        return [{"step": step, **each.metrics} for step, each in self.evaluations.items()]

    @property
    def seconds(self) -> float:
        """Of sampling, voting and updating; evaluations excluded."""
        return sum(value for row in self.steps for name, value in row.items() if name.startswith("seconds/"))


def build_config(fields: Mapping[str, Any], *, steps: int, seed: int, folder: str) -> SpineConfig:
    """The configuration of a run that leaves figures, and no model in `folder` unless a field asks for one."""
    return SpineConfig(output_dir=folder, max_steps=steps, seed=seed, **{**_UNSAVED, **fields})


def adapt(
    task: LoadedTask,
    config: SpineConfig,
    *,
    evaluate_every: int,
    num_samples: int = NUM_SAMPLES,
    start_key: str | None = None,
    recorder: Any = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> LabRun:
    """Adapts a task's model without its gold answers (but for `oracle`).

    Args:
        task: Gives model, problems and what it is evaluated on.
        config: Of the run.
        evaluate_every: Evaluates before the first step, every so many steps, and after the last.
        num_samples: Samples a problem in an evaluation.
        start_key: Names the unadapted model, its problems and their decoding: runs of one process that share it are
            evaluated once before their first step.
        recorder: Of tokens, as `SpineTrainer.token_recorder`.
        callbacks: Further ones of the trainer.

    Raises:
        ModelError: Training ended early, as steps were not finite.
    """
    assert config.max_completion_length is not None
    dataset = build_dataset(
        task.problem_set.problems,
        task.processing_class,
        replace(task.style, chat_template_kwargs=config.chat_template_kwargs or {}),
        context=get_context_length(task.model),
        max_new_tokens=config.max_completion_length,
    )
    trainer = SpineTrainer(
        task.model, config, dataset, task.processing_class, gold_answers=task.problem_set.gold_answers
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.token_recorder = recorder
    evaluate_model = _Evaluator(task, config, num_samples)
    watch = _Watch(evaluate_model, evaluate_every, start_key)
    for callback in (*callbacks, watch):  # after the guard: the last evaluation is of the weights that it leaves
        trainer.add_callback(callback)
    trainer.train()
    if trainer.finite_steps.failure is not None:
        raise ModelError(f"training ended early: {trainer.finite_steps.failure}")
    logged = [row for row in trainer.state.log_history if "vote/majority_ratio" in row]
    return LabRun(watch.evaluations, logged, _evaluate_kept(trainer, evaluate_model, watch.evaluations))


def adapt_lab(
    task: Task,
    method: str,
    problem_set: ProblemSet,
    *,
    steps: int,
    seed: int,
    evaluate_every: int,
    start_key: str | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    **fields: Any,
) -> LabRun:
    """Adapts the base model of a task of the lab, fresh from its file, by a method; evaluated on the same problems.

    Args:
        task: Gives the base model and its room for responses.
        method: A preset of `spine_rl.presets`.
        problem_set: Its prompts are adapted on; its gold answers are read by the evaluations, and by `oracle`.
        steps: Optimiser steps of 16 problems with 8 samples each.
        seed: Of sampling and of the order of problems.
        evaluate_every: As in `adapt`.
        start_key: As in `adapt`.
        callbacks: As in `adapt`.
        fields: Further ones of `SpineConfig`.
    """
    loaded = LoadedTask(*task.load_base(), problem_set, {"adapt": EvaluationSet(problem_set, task.max_new_tokens)})
    given = {"preset": method, "allow_gold_rewards": method == "oracle", "max_completion_length": task.max_new_tokens}
    with tempfile.TemporaryDirectory() as folder:
        config = build_config({**LAB_FIELDS, **given, **fields}, steps=steps, seed=seed, folder=folder)
        return adapt(loaded, config, evaluate_every=evaluate_every, start_key=start_key, callbacks=callbacks)


def _evaluate_kept(
    trainer: SpineTrainer, evaluate_model: Callable[[Any], Evaluated], known: Mapping[int, Evaluated]
) -> tuple[int, Evaluated] | None:
    """Of the weights that the run ended with; those that were evaluated on the way are not evaluated again."""
    kept = trainer.guard.kept
    if kept is None or not trainer.args.ends_with_best:
        return None
    return kept.step, known[kept.step] if kept.step in known else evaluate_model(trainer.unwrapped_model)


_starts: dict[str, Evaluated] = {}  # of this process


class _Watch(TrainerCallback):
    """Evaluates before the first step, every so many steps, and after the last."""

    def __init__(self, evaluate_model: Callable[[Any], Evaluated], every: int, start_key: str | None):
        self._evaluate, self._every, self._start_key = evaluate_model, every, start_key
        self.evaluations: dict[int, Evaluated] = {}

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        if self._start_key not in _starts:
            evaluated = self._evaluate(model)
            if self._start_key is not None:
                _starts[self._start_key] = evaluated
        else:
            evaluated = _starts[self._start_key]
        self.evaluations[0] = evaluated

    def on_step_end(self, args, state, control, model=None, **kwargs):
        is_last = state.global_step == state.max_steps
        is_due = args.ends_with_best if is_last else state.global_step % self._every == 0
        if is_due:  # the last weights before the best come back; where none do, when training ends
            self.evaluations[state.global_step] = self._evaluate(model)

    def on_train_end(self, args, state, control, model=None, **kwargs):
        if state.global_step not in self.evaluations:
            self.evaluations[state.global_step] = self._evaluate(model)


@dataclass(frozen=True)
class _Evaluator:
    """Of a model in training, on every evaluation set of its task, as it is sampled in training."""

    task: LoadedTask
    config: SpineConfig
    num_samples: int

    def __call__(self, model: Any) -> Evaluated:
        evaluations = {name: self._evaluate_set(model, each) for name, each in self.task.evaluation_sets.items()}
        first = next(iter(evaluations.values()))
        lengths = Counter(len(sample.token_ids) for row in first.samples for sample in row)
        return Evaluated(
            {name: each.metrics for name, each in evaluations.items()},
            {str(length): lengths[length] for length in sorted(lengths)},
        )

    def _evaluate_set(self, model: Any, chosen: EvaluationSet) -> Evaluation:
        config = self.config
        is_large = get_hidden_size(model) >= SMALLEST_WIDTH  # its logits of as many responses would need gigabytes
        rows = config.per_device_train_batch_size if is_large else EVALUATION_BATCH_SIZE
        decoding = Decoding(chosen.max_new_tokens, config.temperature, 1.0, rows, config.seed)
        return evaluate(
            model,
            self.task.processing_class,
            chosen.problem_set.problems,
            chosen.problem_set.gold_answers,
            decoding,
            num_samples=self.num_samples,
            prompt_style=replace(chosen.style, chat_template_kwargs=config.chat_template_kwargs or {}),
            answer_type="auto",
        )
