"""The shared forward: each prompt once per group, its responses on top of its key-value cache.

Exact: in a causal model the hidden states of a prompt do not depend on what follows, so the responses to one prompt
may share them. The cache keeps its autograd graph and is repeated over the group: the gradient of the repetition is
the sum over the responses, which is what separate forward passes would have added up in the parameters.

Prompt and responses run in one call of the wrapped model (`model(shared_batch=...)`), so that PEFT, DDP and FSDP see
one forward and one backward pass.
"""

import functools
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache

from spine_rl.engine.chunks import estimate_call_cost, plan_chunks
from spine_rl.engine.lm_head import score_tokens

# Per-token inputs of multimodal models, as wide as prompt and response together.
TOKEN_TYPES = ("token_type_ids", "mm_token_type_ids")

Score = Callable[[Any, Tensor, Tensor], tuple[Tensor, Tensor]]  # as `score_tokens`, at a temperature


@dataclass(frozen=True)
class SharedBatch:
    """B responses to n prompts.

    Attributes:
        prompt_ids: (n, P), left-padded.
        prompt_mask: (n, P).
        completion_ids: (B, T), right-padded.
        completion_mask: (B, T).
        group_index: (B,) the prompt of each response.
        with_gradient: (B,) false at responses whose statistics need no gradient.
        prompt_inputs: Name → n tensors, images of each prompt; run together they are concatenated.
        token_types: Name → (n, P) of the prompts; responses are text, type 0.
        max_rows: Responses run together at most.
        one_call: Every process makes the same calls, one for prompts and one for responses, as sharded models need.
    """

    prompt_ids: Tensor
    prompt_mask: Tensor
    completion_ids: Tensor
    completion_mask: Tensor
    group_index: Tensor
    with_gradient: Tensor
    prompt_inputs: dict[str, list[Tensor]] = field(default_factory=dict)
    token_types: dict[str, Tensor] = field(default_factory=dict)
    max_rows: int | None = None
    one_call: bool = False


def add_shared_forward(model: Any, temperature: float, *, float32_head: bool = False) -> None:
    """Lets `model(shared_batch=...)` score a `SharedBatch`; other calls are unchanged.

    The call returns `log_probs` and `entropy`, each (B, T) float32 and 0 off the mask.

    Args:
        model: A causal or image-text-to-text model of transformers, not yet wrapped.
        temperature: Sampling temperature.
        float32_head: Whether logits are computed in float32 under autocast, too.
    """
    score = functools.partial(score_tokens, temperature=temperature, in_float32=float32_head)
    original = model.forward

    @functools.wraps(original)  # `generate` reads the signature
    def forward(self: Any, *args: Any, shared_batch: SharedBatch | None = None, **kwargs: Any) -> Any:
        if shared_batch is None:
            return original(*args, **kwargs)
        return _score(self, shared_batch, score)

    model.forward = types.MethodType(forward, model)


def _score(model: Any, batch: SharedBatch, score: Score) -> dict[str, Tensor]:
    parts = []
    with_gradient = torch.ones_like(batch.with_gradient) if batch.one_call else batch.with_gradient
    for rows, enabled in ((with_gradient, True), (~with_gradient, False)):
        rows = rows.nonzero().squeeze(1)
        if len(rows) > 0:
            with torch.set_grad_enabled(enabled and torch.is_grad_enabled()):
                parts += _score_rows(model, batch, rows, score)
    flat_index, logps, entropies = (torch.cat(values) for values in zip(*parts, strict=True))
    shape = batch.completion_ids.shape
    return {
        name: values.new_zeros(shape.numel()).index_copy(0, flat_index, values).view(shape)
        for name, values in (("log_probs", logps), ("entropy", entropies))
    }


def _score_rows(model: Any, batch: SharedBatch, rows: Tensor, score: Score) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Prompts of similar length together; on them, responses of similar length together."""
    prompts, group_of_row = batch.group_index[rows].unique(return_inverse=True)
    scored = []
    for prompt_chunk in _plan(model, batch, batch.prompt_mask[prompts]):
        past = _run_prompts(model, batch, prompts[prompt_chunk])
        position = torch.full_like(prompts, -1).index_copy(0, prompt_chunk, torch.arange(len(prompt_chunk)).to(rows))
        prompt = position[group_of_row]
        here = (prompt >= 0).nonzero().squeeze(1)
        for chunk in _plan(model, batch, batch.completion_mask[rows[here]]):
            chosen = here[chunk]
            scored.append(_score_responses(model, batch, rows[chosen], past, prompt[chosen], score))
    return scored


def _plan(model: Any, batch: SharedBatch, mask: Tensor) -> list[Tensor]:
    lengths = mask.sum(1).tolist()
    if batch.one_call:
        return [torch.arange(len(lengths), device=mask.device)]
    cost = estimate_call_cost(model.config.get_text_config(), mask.device.type)
    chunks = plan_chunks(lengths, cost, batch.max_rows) or [range(len(lengths))]  # all empty: the graph stays whole
    return [torch.tensor(chunk, device=mask.device) for chunk in chunks]


@dataclass(frozen=True)
class _Past:
    """Prompts that were run: (n, P) mask, each layer's keys and values, last hidden state (n, d)."""

    mask: Tensor
    layers: list[tuple[Tensor, Tensor]]
    last_hidden: Tensor
    rope_deltas: Tensor | None


def _run_prompts(model: Any, batch: SharedBatch, prompts: Tensor) -> _Past:
    width = int(batch.prompt_mask[prompts].sum(1).max())
    mask = batch.prompt_mask[prompts, -width:]
    cache = DynamicCache()  # made without the configuration: layers with a sliding window keep the whole prompt too
    backbone = model.base_model
    if hasattr(backbone, "rope_deltas"):
        backbone.rope_deltas = None  # those of other prompts
    output = backbone(
        input_ids=batch.prompt_ids[prompts, -width:],
        attention_mask=mask,
        past_key_values=cache,
        use_cache=True,
        **{name: torch.cat([values[i] for i in prompts.tolist()]) for name, values in batch.prompt_inputs.items()},
        **{name: types_[prompts, -width:] for name, types_ in batch.token_types.items()},
    )
    layers: Any = cache.layers
    layers = [(layer.keys, layer.values) for layer in layers]
    return _Past(mask, layers, output.last_hidden_state[:, -1], getattr(backbone, "rope_deltas", None))


def _score_responses(
    model: Any, batch: SharedBatch, rows: Tensor, past: _Past, prompt: Tensor, score: Score
) -> tuple[Tensor, Tensor, Tensor]:
    """Of responses `rows` on prompts `prompt` of `past`: indices in the flat batch, log-probabilities, entropies."""
    width = max(1, int(batch.completion_mask[rows].sum(1).max()))
    ids, mask = batch.completion_ids[rows, :width], batch.completion_mask[rows, :width].bool()
    if batch.one_call and width == 1:  # other processes' responses are longer
        ids, mask, width = pad(ids, (0, 1)), pad(mask, (0, 1)), 2
    hidden = past.last_hidden[prompt].unsqueeze(1)
    if width > 1:
        hidden = torch.cat([hidden, _run_responses(model, batch, ids[:, :-1], mask[:, :-1], past, prompt)], dim=1)
    logps, entropies = score(model, hidden[mask], ids[mask])
    flat_index = rows.unsqueeze(1) * batch.completion_ids.size(1) + torch.arange(width, device=rows.device)
    return flat_index[mask], logps, entropies


def _run_responses(model: Any, batch: SharedBatch, ids: Tensor, mask: Tensor, past: _Past, prompt: Tensor) -> Tensor:
    cache = DynamicCache()
    for layer, (keys, values) in enumerate(past.layers):
        cache.update(keys.index_select(0, prompt), values.index_select(0, prompt), layer)
    attention_mask = torch.cat([past.mask[prompt], mask.to(past.mask.dtype)], dim=1)
    inputs = {name: torch.zeros_like(ids) for name in batch.token_types}
    if past.rope_deltas is not None:  # multimodal rotary positions go on where each prompt's images left them
        positions = attention_mask.cumsum(1)[:, -ids.size(1) :] - 1 + past.rope_deltas[prompt]
        inputs["position_ids"] = positions.expand(3, -1, -1)
    output = model.base_model(
        input_ids=ids, attention_mask=attention_mask, past_key_values=cache, use_cache=True, **inputs
    )
    return output.last_hidden_state
