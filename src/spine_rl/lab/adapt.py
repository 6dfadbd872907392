"""One lab run: the base model adapted by one method, evaluated on the way."""

import tempfile
from dataclasses import dataclass
from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from spine_rl.evaluation import Decoding, evaluate
from spine_rl.lab.bench import MAX_NEW_TOKENS, load_base
from spine_rl.problems import ProblemSet, PromptStyle, build_prompt
from spine_rl.training import SpineConfig, SpineTrainer
from spine_rl.training.progress import LiveView, show_live

NUM_SAMPLES = 8
PROBLEMS_PER_STEP = 16
EVALUATION = Decoding(max_new_tokens=MAX_NEW_TOKENS, temperature=1.0, batch_size=128)


@dataclass(frozen=True)
class LabRun:
    """What came out of a run.

    Attributes:
        curve: Evaluations before, on the way and after: `step`, and by problem set its metrics.
        steps: Logged statistics of every step.
        seconds: Of sampling, voting and updating; evaluations excluded.
        model: The adapted model.
        tokenizer: Its tokenizer.
    """

    curve: list[dict[str, Any]]
    steps: list[dict[str, Any]]
    seconds: float
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def evaluate_lab(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, problem_set: ProblemSet, num_samples: int = NUM_SAMPLES
) -> dict[str, float]:
    """Metrics of `spine_rl.evaluation.evaluate` at temperature 1."""
    problems, gold = problem_set.problems, problem_set.gold_answers
    return evaluate(model, tokenizer, problems, gold, EVALUATION, num_samples=num_samples).metrics


def adapt_lab(
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
        method: A preset of `spine_rl.presets`.
        problem_set: Its prompts are adapted on; its gold answers are read by the evaluations, and by `oracle`.
        learning_rate: Constant over the run.
        steps: Optimiser steps of 16 problems with 8 samples each.
        seed: Of sampling and of the order of problems.
        evaluate_every: Evaluates before the first step, every so many steps, and after the last.
        evaluate_sets: Problem sets to evaluate on, by name.
        options: Further fields of `SpineConfig`.
    """
    model, tokenizer = load_base()
    dataset = Dataset.from_list(
        [
            {"prompt": build_prompt(problem, PromptStyle(), chat=True), "problem_id": problem.id}
            for problem in problem_set.problems
        ]
    )
    curve = _Curve(tokenizer, evaluate_sets, evaluate_every)
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
            max_completion_length=MAX_NEW_TOKENS,
            gradient_checkpointing=False,
            use_cpu=True,
            seed=seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **options,
        )
        trainer = SpineTrainer(
            model, config, dataset, tokenizer, gold_answers=problem_set.gold_answers, callbacks=[curve]
        )
        show_live(trainer, LiveView(label=method))
        trainer.train()
    logged = [row for row in trainer.state.log_history if "vote/majority_ratio" in row]
    seconds = sum(value for row in logged for name, value in row.items() if name.startswith("seconds/"))
    return LabRun(curve.rows, logged, seconds, model, tokenizer)


class _Curve(TrainerCallback):
    def __init__(self, tokenizer: PreTrainedTokenizerBase, problem_sets: dict[str, ProblemSet], every: int):
        self._tokenizer, self._problem_sets, self._every = tokenizer, problem_sets, every
        self.rows: list[dict[str, Any]] = []

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self._evaluate(model, state.global_step)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step % self._every == 0 or state.global_step == state.max_steps:
            self._evaluate(model, state.global_step)

    def _evaluate(self, model: Any, step: int) -> None:
        metrics = {
            name: evaluate_lab(model, self._tokenizer, problems) for name, problems in self._problem_sets.items()
        }
        self.rows.append({"step": step, **metrics})
