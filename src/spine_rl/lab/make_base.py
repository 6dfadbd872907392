"""Makes the lab's base model in about 20 minutes on 2 cores: `python -m spine_rl.lab.make_base --out DIR`.

A Qwen3-architecture model of 0.87 M parameters learns worked arithmetic chains of 2-8 operations (long ones are rare)
in both styles, 45 % careful and 55 % hasty.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin, Qwen3Config, Qwen3ForCausalLM

from spine_rl.evaluation import evaluate
from spine_rl.lab.adapt import evaluation_decoding
from spine_rl.lab.families.arithmetic import Chain, draw_chain, write_solution
from spine_rl.lab.families.family import detect_style, find_split
from spine_rl.lab.tasks import ARITHMETIC, Task
from spine_rl.lab.tokenizer import build_tokenizer

SEED = 0
STEPS = 3000
BATCH_SIZE = 128
LEARNING_RATE = 2e-3
WARMUP_STEPS = 100
CAREFUL_SHARE = 0.45
OPERATIONS = range(2, 9)
OPERATIONS_DECAY = 0.65  # a chain of n + 1 operations is this much as frequent as one of n
BATCHES_PER_SORT = 16  # examples are sorted by length within this many batches, to save padding


def build_model(tokenizer: Any) -> Qwen3ForCausalLM:
    """A randomly initialised model: 4 layers, 128 wide."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = Qwen3ForCausalLM(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def train_base(steps: int = STEPS, seed: int = SEED) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerBase]:
    """Trains the base model on worked solutions of the `train` split; the loss is on the solutions alone."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _learning_rate_factor(step, steps))
    batches = _batches(tokenizer, rng)
    started = time.perf_counter()
    for step in range(steps):
        loss = model(**next(batches)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step:5d}  loss {loss.item():.4f}  {time.perf_counter() - started:6.0f} s", flush=True)
    return model.eval(), tokenizer


def _learning_rate_factor(step: int, steps: int) -> float:
    warmup = min(1.0, (step + 1) / WARMUP_STEPS)
    return warmup * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps))))


def _draw_training_chain(rng: random.Random) -> Chain:
    weights = [OPERATIONS_DECAY**index for index in range(len(OPERATIONS))]
    while True:
        chain = draw_chain(rng, rng.choices(OPERATIONS, weights)[0])
        if find_split(chain.key) == "train":
            return chain


def _batches(tokenizer: PreTrainedTokenizerBase, rng: random.Random) -> Iterator[dict[str, torch.Tensor]]:
    while True:
        examples = [_example(tokenizer, rng) for _ in range(BATCH_SIZE * BATCHES_PER_SORT)]
        examples.sort(key=lambda example: len(example[0]))
        batches = [examples[i : i + BATCH_SIZE] for i in range(0, len(examples), BATCH_SIZE)]
        rng.shuffle(batches)
        yield from map(_collate, batches)


def _example(tokenizer: Any, rng: random.Random) -> tuple[list[int], int]:
    """Token ids of a prompt with its solution, and the length of the prompt."""
    chain = _draw_training_chain(rng)
    solution = write_solution(chain, "careful" if rng.random() < CAREFUL_SHARE else "hasty", rng)
    user = [{"role": "user", "content": chain.prompt}]
    prompt = tokenizer.apply_chat_template(user, tokenize=False, add_generation_prompt=True)
    prompt_ids, solution_ids = tokenizer([prompt, solution + tokenizer.eos_token], add_special_tokens=False).input_ids
    return prompt_ids + solution_ids, len(prompt_ids)


def _collate(examples: list[tuple[list[int], int]]) -> dict[str, torch.Tensor]:
    length = max(len(ids) for ids, _ in examples)
    batch = {
        "input_ids": [ids + [0] * (length - len(ids)) for ids, _ in examples],
        "attention_mask": [[1] * len(ids) + [0] * (length - len(ids)) for ids, _ in examples],
        "labels": [[-100] * prompt + ids[prompt:] + [-100] * (length - len(ids)) for ids, prompt in examples],
    }
    return {name: torch.tensor(rows) for name, rows in batch.items()}


def measure_quality(
    task: Task, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | ProcessorMixin
) -> dict[str, float]:
    """Metrics on a task's adaptation problems, and the share of careful samples."""
    problem_set = task.make_problems("adapt", 64)
    decoding = evaluation_decoding(task)
    evaluation = evaluate(model, tokenizer, problem_set.problems, problem_set.gold_answers, decoding, num_samples=8)
    styles = [detect_style(response.text) for row in evaluation.samples for response in row]
    return evaluation.metrics | {"careful": styles.count("careful") / len(styles)}


def check_quality(quality: dict[str, float]) -> None:
    """Asserts what makes a useful base: the vote knows more than the model says, and both styles are sampled.

    Raises:
        ValueError: Naming the measure that is off.
    """
    greedy, majority = quality["greedy_pass@1"], quality["maj@8"]
    demands = {
        "greedy_pass@1 in [0.1, 0.6]": 0.1 <= greedy <= 0.6,
        "maj@8 in [0.5, 0.9]": 0.5 <= majority <= 0.9,
        "maj@8 at least 0.15 above greedy_pass@1": majority - greedy >= 0.15,
        "careful in [0.2, 0.8]": 0.2 <= quality["careful"] <= 0.8,
    }
    failed = [demand for demand, met in demands.items() if not met]
    if failed:
        raise ValueError(f"the base model misses {'; '.join(failed)}: {quality}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="new folder for the model")
    out = parser.parse_args().out
    out.mkdir(parents=True)
    started = time.perf_counter()
    model, tokenizer = train_base()
    seconds = time.perf_counter() - started
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    quality = measure_quality(ARITHMETIC, model, tokenizer)
    log = {
        "steps": STEPS,
        "seed": SEED,
        "seconds": round(seconds),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "adaptation_problems": quality,
    }
    (out / "quality.json").write_text(json.dumps(log, indent=2) + "\n")
    print(json.dumps(log, indent=2))
    check_quality(quality)


if __name__ == "__main__":
    main()
