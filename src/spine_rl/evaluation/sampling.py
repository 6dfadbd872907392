"""Sampling responses with transformers: left-padded batches, longest prompts first, a random state of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Decoding:
    """How responses are drawn.

    Attributes:
        max_new_tokens: Longest response.
        temperature: Of sampling, > 0; 0 decodes greedily.
        top_p: Nucleus of sampling, in (0, 1].
        batch_size: Responses at once.
        seed: Of sampling.
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    batch_size: int = 64
    seed: int = 0


@dataclass(frozen=True)
class SampledResponse:
    """A response: its text, its tokens (the end token included), and whether it ran into the length limit."""

    text: str
    token_ids: list[int]
    truncated: bool


@torch.no_grad()
def sample_responses(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompt_ids: Sequence[list[int]],
    decoding: Decoding,
    num_samples: int = 1,
) -> list[list[SampledResponse]]:
    """Draws `num_samples` responses to each prompt, in the prompts' order.

    The model's mode and torch's random state are left as they were.
    """
    rows = sorted(
        (index for index in range(len(prompt_ids)) for _ in range(num_samples)), key=lambda i: -len(prompt_ids[i])
    )
    responses: list[list[SampledResponse]] = [[] for _ in prompt_ids]
    options = _generation_options(model, tokenizer, decoding)
    was_training = model.training
    model.eval()
    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(decoding.seed)
        for start in range(0, len(rows), decoding.batch_size):
            batch = rows[start : start + decoding.batch_size]
            inputs = _pad_left([prompt_ids[index] for index in batch], tokenizer).to(model.device)
            output = model.generate(
                input_ids=inputs, attention_mask=_attention_mask(prompt_ids, batch).to(model.device), **options
            )
            for index, ids in zip(batch, output[:, inputs.size(1) :].tolist(), strict=True):
                responses[index].append(_finish(ids, options["eos_token_id"], tokenizer))
    model.train(was_training)
    return responses


def _generation_options(model: Any, tokenizer: PreTrainedTokenizerBase, decoding: Decoding) -> dict[str, Any]:
    ends: Any = model.generation_config.eos_token_id
    ends = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
    if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in ends:
        ends.append(tokenizer.eos_token_id)
    sampling = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if decoding.temperature > 0:
        sampling = {"do_sample": True, "temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": 0}
    return {
        "max_new_tokens": decoding.max_new_tokens,
        "eos_token_id": ends,
        "pad_token_id": _pad_id(tokenizer),
        **sampling,
    }


def _pad_id(tokenizer: Any) -> int:
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id


def _pad_left(rows: list[list[int]], tokenizer: PreTrainedTokenizerBase) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([[_pad_id(tokenizer)] * (width - len(row)) + row for row in rows])


def _attention_mask(prompt_ids: Sequence[list[int]], batch: list[int]) -> torch.Tensor:
    width = max(len(prompt_ids[index]) for index in batch)
    return torch.tensor([[0] * (width - len(prompt_ids[i])) + [1] * len(prompt_ids[i]) for i in batch])


def _finish(ids: list[int], ends: list[int], tokenizer: Any) -> SampledResponse:
    """Cuts a row of `generate` after its end token."""
    length = next((position + 1 for position, token in enumerate(ids) if token in ends), None)
    kept = ids if length is None else ids[:length]
    return SampledResponse(tokenizer.decode(kept, skip_special_tokens=True), kept, truncated=length is None)
