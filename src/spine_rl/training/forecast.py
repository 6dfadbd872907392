"""Before the first step: what a step, the run and its memory come to at most."""

import time
from typing import Any

import torch

from spine_rl.engine.live import format_seconds
from spine_rl.engine.models import eval_mode, get_tokenizer
from spine_rl.problems.placeholders import to_parts
from spine_rl.training.estimate import estimate_trainer
from spine_rl.training.probe import Probe

_TOKENS, _PROMPTS = 64, 64  # of the forward pass that is timed; prompts whose length is counted


def forecast(trainer: Any, steps_done: int = 0) -> list[str]:
    """Time, memory and probe of a run before its next step, in a line; in another, what to do if memory is too small.

    Of several processes the time is left out.

    The time is that of every response running to its limit: prompts once a problem, a token at a time for all rows, and
    an update of three forward passes. A forward pass of 64 tokens and one of a single token are timed for it.

    Args:
        trainer: A `SpineTrainer` that is ready to train.
        steps_done: Of a run that is gone on with.
    """
    tokenizer = get_tokenizer(trainer.processing_class)
    texts = [row["prompt"] for row in trainer.train_dataset.select(range(min(_PROMPTS, len(trainer.train_dataset))))]
    lengths = [len(ids) for ids in tokenizer([_read_text(text) for text in texts])["input_ids"]]
    steps = trainer.args.count_steps(len(trainer.train_dataset))
    probe = trainer.plan_probe(steps)
    memory = estimate_trainer(trainer, max(lengths))
    line = memory.describe() + _describe(probe)
    left = steps - steps_done
    if left > 0 and trainer.accelerator.num_processes == 1 and not trainer.args.use_vllm:
        line = f"{_describe_time(trainer, sum(lengths) / len(lengths), probe, left)}; {line}"
    shortage = memory.advise()
    return [line] if shortage is None else [line, f"this may end out of memory: {shortage}"]


def _describe_time(trainer: Any, prompt_tokens: float, probe: Probe | None, steps: int) -> str:
    seconds = _estimate_step(trainer, prompt_tokens, probe)
    return (
        f"estimated time: at most {format_seconds(seconds)} a step and {format_seconds(steps * seconds)} for {steps} "
        f"steps, if every response takes {trainer.args.max_completion_length} tokens"
    )


def _describe(probe: Probe | None) -> str:
    if probe is None:
        return ""
    return (
        f"; {len(probe.rows)} problems are voted on at the start and every {probe.steps} steps, for the collapse "
        "monitor alone (probe_problems: 0 for none)"
    )


def _read_text(prompt: Any) -> str:
    """Of a prompt, or of its messages; what a chat template adds is a few tokens, and pictures are not counted."""
    if isinstance(prompt, str):
        return prompt
    return " ".join(part.get("text") or "" for message in to_parts(prompt) for part in message["content"])


def _estimate_step(trainer: Any, prompt_tokens: float, probe: Probe | None) -> float:
    args = trainer.args
    many, one = _time_forward(trainer, _TOKENS) / _TOKENS, _time_forward(trainer, 1)
    rows, limit, drawn = args.responses_per_step, args.max_completion_length, args.problems_per_rollout
    voting = drawn * (args.num_votes or args.num_generations)
    generating = drawn * prompt_tokens * many + limit * max(one, voting * many)
    updating = 3 * (rows / args.num_generations * prompt_tokens + rows * limit) * many
    if probe is not None:
        generating *= 1 + len(probe.rows) * args.steps_per_rollout / (drawn * probe.steps)
    return generating / args.steps_per_rollout + updating


def _time_forward(trainer: Any, num_tokens: int) -> float:
    """Seconds, the faster of two; the first may still make what later ones have."""
    model = trainer.model
    ids, seconds = torch.zeros(1, num_tokens, dtype=torch.long, device=model.device), []
    with eval_mode(model), torch.no_grad():
        for _ in range(2):
            started = time.perf_counter()
            with trainer.compute_loss_context_manager():
                model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -1, 0].item()
            seconds.append(time.perf_counter() - started)
    return min(seconds)
