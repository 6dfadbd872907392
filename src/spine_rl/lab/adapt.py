"""One lab run: the base model adapted by one method, evaluated on the way."""

import tempfile
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin, TrainerCallback

from spine_rl.engine.models import get_context_length
from spine_rl.engine.samplers import Decoding
from spine_rl.evaluation.evaluate import evaluate
from spine_rl.lab.tasks import Task
from spine_rl.problems import ProblemSet
from spine_rl.training import SpineConfig, SpineTrainer
from spine_rl.training.problem_dataset import build_dataset
from spine_rl.training.progress import LiveView, show_live

NUM_SAMPLES = 8
PROBLEMS_PER_STEP = 16


@dataclass(frozen=True)
class LabRun:
    """What came out of a run.

    Attributes:
        curve: Evaluations before, on the way and after: `step`, and by problem set its metrics.
        lengths: Of every evaluation in `curve`, by problem set: the tokens of each sample.
        steps: Logged statistics of every step.
        seconds: Of sampling, voting and updating; evaluations excluded.
        model: The adapted model.
        processing_class: Its tokenizer or processor.
    """

    curve: list[dict[str, Any]]
    lengths: list[dict[str, list[int]]]
    steps: list[dict[str, Any]]
    seconds: float
    model: PreTrainedModel
    processing_class: PreTrainedTokenizerBase | ProcessorMixin


def evaluation_decoding(task: Task) -> Decoding:
    """As the lab evaluates: at temperature 1."""
    return Decoding(max_new_tokens=task.max_new_tokens, temperature=1.0, batch_size=128)


def adapt_lab(
    task: Task,
    method: str,
    problem_set: ProblemSet,
    *,
    learning_rate: float,
    steps: int,
    seed: int,
    evaluate_every: int,
    evaluate_sets: dict[str, ProblemSet],
    **options: Any,
) -> LabRun:
    """Adapts a fresh base model to a problem set without its gold answers (but for `oracle`).

    Args:
        task: Gives the base model and its room for responses.
        method: A preset of `spine_rl.presets`.
        problem_set: Its prompts are adapted on; its gold answers are read by the evaluations, and by `oracle`.
        learning_rate: Constant over the run.
        steps: Optimiser steps of 16 problems with 8 samples each.
        seed: Of sampling and of the order of problems.
        evaluate_every: Evaluates before the first step, every so many steps, and after the last.
        evaluate_sets: Problem sets to evaluate on, by name.
        options: Further fields of `SpineConfig`.
    """
    model, processing_class = task.load_base()
    context = get_context_length(model)
    dataset = build_dataset(problem_set.problems, processing_class, context=context, max_new_tokens=task.max_new_tokens)
    curve = _Curve(processing_class, evaluation_decoding(task), evaluate_sets, evaluate_every)
    with tempfile.TemporaryDirectory() as folder:
        config = SpineConfig(
            output_dir=folder,
            preset=method,
            allow_gold_rewards=method == "oracle",
            learning_rate=learning_rate,
            lr_scheduler_type="constant",
            max_steps=steps,
            num_generations=NUM_SAMPLES,
            per_device_train_batch_size=PROBLEMS_PER_STEP * NUM_SAMPLES // 2,
            gradient_accumulation_steps=2,
            max_completion_length=task.max_new_tokens,
            gradient_checkpointing=False,
            use_cpu=True,
            seed=seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **options,
        )
        trainer = SpineTrainer(
            model, config, dataset, processing_class, gold_answers=problem_set.gold_answers, callbacks=[curve]
        )
        show_live(trainer, LiveView(label=method))
        trainer.train()
    logged = [row for row in trainer.state.log_history if "vote/majority_ratio" in row]
    seconds = sum(value for row in logged for name, value in row.items() if name.startswith("seconds/"))
    return LabRun(curve.rows, curve.lengths, logged, seconds, model, processing_class)


class _Curve(TrainerCallback):
    def __init__(
        self,
        processing_class: PreTrainedTokenizerBase | ProcessorMixin,
        decoding: Decoding,
        problem_sets: dict[str, ProblemSet],
        every: int,
    ):
        self._processing_class, self._decoding = processing_class, decoding
        self._problem_sets, self._every = problem_sets, every
        self.rows: list[dict[str, Any]] = []
        self.lengths: list[dict[str, list[int]]] = []

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self._evaluate(model, state.global_step)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step % self._every == 0 or state.global_step == state.max_steps:
            self._evaluate(model, state.global_step)

    def _evaluate(self, model: Any, step: int) -> None:
        row: dict[str, Any] = {"step": step}
        lengths: dict[str, list[int]] = {}
        for name, problem_set in self._problem_sets.items():
            evaluation = evaluate(
                model,
                self._processing_class,
                problem_set.problems,
                problem_set.gold_answers,
                self._decoding,
                num_samples=NUM_SAMPLES,
                answer_type="auto",
            )
            row[name] = evaluation.metrics
            lengths[name] = [len(response.token_ids) for samples in evaluation.samples for response in samples]
        self.rows.append(row)
        self.lengths.append(lengths)
