"""What a run is said to take before its first step."""

import re
from pathlib import Path

import psutil
from test_trainer import make_trainer

from models import build_qwen2
from spine_rl.runs.run_folder import Start
from spine_rl.training import estimate
from spine_rl.training import forecast as module
from spine_rl.training.forecast import forecast


def test_time_grows_with_steps_and_responses_and_the_model_is_left_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_time_forward", lambda trainer, num_tokens: 0.064 * num_tokens)
    trainer = make_trainer(tmp_path, build_qwen2(), max_steps=10, max_completion_length=100)
    trainer.model.train()
    (said,) = forecast(trainer)
    rows = trainer.args.responses_per_step
    prompts = rows / trainer.args.num_generations * _mean_prompt_length(trainer)
    seconds = 0.064 * (prompts + 100 * rows + 3 * (prompts + rows * 100))
    minutes, rest = divmod(round(seconds), 60)
    assert f"at most {minutes}:{rest:02d} a step" in said
    assert re.search(r"for 10 steps, if every response takes 100 tokens; estimated memory: [\d.]+ to [\d.]+ GiB", said)
    assert trainer.model.training
    assert "for 4 steps" in forecast(trainer, Start(Path("checkpoint-6")).steps_done)[0]


def test_too_little_memory_is_said_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(estimate, "measure_free_memory", lambda device: -psutil.Process().memory_info().rss)
    _, warning = forecast(make_trainer(tmp_path, build_qwen2(), max_steps=1))
    assert re.match(r"this may end out of memory: a process needs [\d.]+ GiB at least, and may have 0\.0: ", warning)


def test_a_forward_pass_is_timed(tmp_path):
    trainer = make_trainer(tmp_path, build_qwen2(), max_steps=1)
    assert 0 < module._time_forward(trainer, 8) < 60


def _mean_prompt_length(trainer):
    texts = [" ".join(message["content"] for message in row["prompt"]) for row in trainer.train_dataset]
    lengths = [len(trainer.processing_class(text)["input_ids"]) for text in texts]
    return sum(lengths) / len(lengths)
