"""Training with the real vLLM in the same process; `make test-vllm`."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed; make test-vllm")

from vllm import SamplingParams

from spine_rl import SpineConfig, SpineTrainer
from spine_rl.engine.sampler import Decoding
from spine_rl.engine.transformers_sampler import TransformersSampler
from spine_rl.lab.tasks import ARITHMETIC
from spine_rl.problems import encode_prompts
from spine_rl.training.problem_dataset import build_dataset

LIMIT = 110
OF_A_LAUNCH = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}  # which TRL sets for its engine


@pytest.fixture(scope="module")
def problems():
    return ARITHMETIC.make_problems("adapt", 4).problems


@pytest.fixture(scope="module")
def trainer(problems, tmp_path_factory):
    model, tokenizer = ARITHMETIC.load_base()
    dataset = build_dataset(problems, tokenizer, context=None, max_new_tokens=LIMIT)
    config = SpineConfig(
        output_dir=str(tmp_path_factory.mktemp("run")),
        preset="ttrl",
        use_vllm=True,
        generation_dtype="model",  # 32 bits
        num_generations=4,
        per_device_train_batch_size=16,
        max_steps=2,
        learning_rate=3e-4,
        lr_scheduler_type="constant",
        max_completion_length=LIMIT,
        use_cpu=True,
        bf16=False,
        keep_best="none",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    return SpineTrainer(model, config, dataset, tokenizer)


def generate_greedily(trainer, prompts):
    params = SamplingParams(temperature=0.0, max_tokens=LIMIT, **trainer.vllm_generation.generation_kwargs)
    outputs = trainer.vllm_generation.llm.generate([{"prompt_token_ids": ids} for ids in prompts], params)
    return [list(output.outputs[0].token_ids) for output in outputs]


def test_weights_after_a_sync_are_the_trained_ones(trainer, problems):
    prompts = encode_prompts(trainer.processing_class, [[{"role": "user", "content": p.prompt}] for p in problems])
    longest = max(map(len, prompts))
    assert trainer.vllm_generation.llm.llm_engine.model_config.max_model_len == longest + LIMIT
    before = generate_greedily(trainer, prompts)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "step .*vLLM drew")
        trainer.train()
    logged = [row for row in trainer.state.log_history if "sampling/logp_gap" in row]
    assert len(logged) == 2
    assert all(row["sampling/logp_gap"] < 1e-3 for row in logged)  # the second generation's weights are one step on
    assert all(abs(row["sampling/importance_sampling_ratio/mean"] - 1) < 1e-3 for row in logged)
    trainer.vllm_generation.sync_weights()
    after = generate_greedily(trainer, prompts)
    assert after != before
    sampler = TransformersSampler(trainer.unwrapped_model, trainer.processing_class)
    expected = sampler.generate(prompts, Decoding(LIMIT, temperature=0.0))
    assert after == [response.token_ids for response in expected]


def test_stale_weights_are_told(trainer, monkeypatch):
    monkeypatch.setattr(trainer.vllm_generation, "sync_weights", lambda: None)
    trainer.args.learning_rate = 3e-3
    with pytest.warns(UserWarning, match=r"vLLM drew with log-probabilities that differ by .* not the trained ones"):
        trainer.train()


@pytest.mark.parametrize("adapter", [False, True])
def test_command(tmp_path, adapter):
    data = tmp_path / "data.jsonl"
    rows = [{"id": each.id, "prompt": each.prompt} for each in ARITHMETIC.make_problems("adapt", 4).problems]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--use_vllm", "true", "--max_steps", "2", "--num_generations", "4", "--learning_rate", "1e-3"]
    options += ["--per_device_train_batch_size", "8", "--max_completion_length", "100", "--use_cpu", "true"]
    options += ["--use_peft", "true", "--lora_r", "4"] if adapter else []
    command = [str(Path(sys.executable).parent / "spine"), "train", "--model", str(ARITHMETIC.base)]
    command += ["--data", str(data), "--output_dir", str(tmp_path / "run"), *options]
    env = {name: value for name, value in os.environ.items() if name not in OF_A_LAUNCH} | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "vLLM drew" not in done.stderr
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    gaps = [row["sampling/logp_gap"] for row in metrics if "sampling/logp_gap" in row]
    assert len(gaps) == 2
    assert 0 < max(gaps) < 0.05  # in 16 bits, vLLM's own choice
