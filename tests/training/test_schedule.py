"""TTRL's schedule at tiny sizes: how many optimiser steps a generation serves, how many responses are drawn."""

import pytest
from datasets import Dataset
from transformers import TrainerCallback

from models import build_qwen2
from spine_rl import SpineConfig, SpineTrainer

PROBLEMS, VOTES, TRAINED = 4, 6, 3  # of a generation; in the recipe 8, 64, 32


class Counter(TrainerCallback):
    """What each optimiser step was of."""

    def __init__(self):
        self.steps, self.rows = [], []

    def on_step_end(self, args, state, control, **kwargs):
        self.steps.append(self.rows)
        self.rows = []


class CountingTrainer(SpineTrainer):
    """Counts rows that are drawn and those that are trained on; no response has an answer, so no vote is decided."""

    drawn = ()

    def _generate_single_turn(self, prompt_ids, images, multimodal_fields, num_generations, has_tool_images=False):
        self.drawn = (*self.drawn, len(prompt_ids))
        return [[20 + len(ids) % 7, 2] for ids in prompt_ids], None

    def _key(self, completion, answer_format, cut_off):
        return None

    def _compute_loss(self, inputs, logps, entropies):
        (counter,) = [each for each in self.callback_handler.callbacks if isinstance(each, Counter)]
        counter.rows += [tuple(ids) for ids in inputs["prompt_ids"].tolist()]
        return super()._compute_loss(inputs, logps, entropies)


def build_trainer(folder, micro_batch, num_problems=PROBLEMS, num_train_epochs=2.0, **fields):
    accumulation = TRAINED // micro_batch
    texts = [f"{i}+{i * 7}" for i in range(num_problems)]
    rows = [{"prompt": [{"role": "user", "content": text}], "problem_id": f"p{i}"} for i, text in enumerate(texts)]
    config = SpineConfig(
        output_dir=str(folder), preset="ttrl", num_generations=TRAINED, num_votes=VOTES, vote_wave_size=2,
        per_device_train_batch_size=micro_batch, gradient_accumulation_steps=accumulation,
        steps_per_generation=accumulation * PROBLEMS, num_train_epochs=num_train_epochs, max_completion_length=4,
        use_cpu=True, bf16=False, report_to="none", save_strategy="no", disable_tqdm=True,
        gradient_checkpointing=False, **fields,
    )  # fmt: skip
    counter = Counter()
    model, tokenizer = build_qwen2()
    return CountingTrainer(model, config, Dataset.from_list(rows), tokenizer, callbacks=[counter]), counter


@pytest.mark.parametrize("epochs", [0.25, 0.3, 0.5, 1.0, 1.4, 2.5])
@pytest.mark.parametrize("num_iterations", [1, 2])
def test_steps_are_planned_as_the_trainer_counts_them(tmp_path, epochs, num_iterations):
    trainer, _ = build_trainer(tmp_path, 1, 2 * PROBLEMS + 1, epochs, num_iterations=num_iterations)
    *_, steps = trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())
    assert trainer.args.count_steps(2 * PROBLEMS + 1) == steps


@pytest.mark.parametrize("micro_batch", [1, 3])
def test_a_generation_serves_a_step_a_problem(tmp_path, micro_batch):
    trainer, counter = build_trainer(tmp_path, micro_batch)
    trainer.train()
    assert trainer.state.global_step == len(counter.steps) == 2 * PROBLEMS  # two generations, a step a problem
    for rows in counter.steps:
        assert len(rows) == TRAINED
        assert len(set(rows)) == 1  # of one problem
    for epoch in (counter.steps[:PROBLEMS], counter.steps[PROBLEMS:]):
        assert len({rows[0] for rows in epoch}) == PROBLEMS
    waves = [PROBLEMS * 2, PROBLEMS]  # 3 more votes a problem, 2 at once
    assert list(trainer.drawn) == 2 * [PROBLEMS * TRAINED, *waves]
    assert sum(trainer.drawn) == 2 * PROBLEMS * VOTES
