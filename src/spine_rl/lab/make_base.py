"""Makes the lab's base model from nothing: `python -m spine_rl.lab.make_base [--out DIR]`, about half an hour on 2 cores.

A Qwen3-architecture model of 0.87 M parameters learns worked arithmetic chains of 2-8 operations (long ones are rare)
in both styles, 45 % careful and 55 % hasty.
"""

import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase, Qwen3Config, Qwen3ForCausalLM

from spine_rl.lab.arithmetic import Chain, draw_chain, write_solution
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


def build_model(tokenizer: PreTrainedTokenizerBase) -> Qwen3ForCausalLM:
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
    start = time.perf_counter()
    for step in range(steps):
        loss = model(**next(batches)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step:5d}  loss {loss.item():.4f}  {time.perf_counter() - start:6.0f} s", flush=True)
    return model.eval(), tokenizer


def _learning_rate_factor(step: int, steps: int) -> float:
    warmup = min(1.0, (step + 1) / WARMUP_STEPS)
    return warmup * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps))))


def _draw_training_chain(rng: random.Random) -> Chain:
    weights = [OPERATIONS_DECAY**index for index in range(len(OPERATIONS))]
    while True:
        chain = draw_chain(rng, rng.choices(OPERATIONS, weights)[0])
        if chain.split == "train":
            return chain


def _batches(tokenizer: PreTrainedTokenizerBase, rng: random.Random) -> Iterator[dict[str, torch.Tensor]]:
    while True:
        examples = sorted((_example(tokenizer, rng) for _ in range(BATCH_SIZE * BATCHES_PER_SORT)), key=lambda e: len(e[0]))
        batches = [examples[i : i + BATCH_SIZE] for i in range(0, len(examples), BATCH_SIZE)]
        rng.shuffle(batches)
        yield from map(_collate, batches)


def _example(tokenizer: PreTrainedTokenizerBase, rng: random.Random) -> tuple[list[int], int]:
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


if __name__ == "__main__":
    import sys

    model, tokenizer = train_base()
    out = Path(sys.argv[1])
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
