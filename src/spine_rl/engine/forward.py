"""The shared forward: each prompt once per group, its responses on top of its key-value cache.

Exact: in a causal model the hidden states of a prompt do not depend on what follows, so the responses to one prompt
may share them. The cache keeps its autograd graph and is repeated over the group: the gradient of the repetition is
the sum over the responses, which is what separate forward passes would have added up in the parameters.

Prompt and responses run in one call of the wrapped model (`model(shared_batch=...)`), so that PEFT, DDP and FSDP see
one forward and one backward pass.
"""

import functools
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache

from spine_rl.engine.chunks import cut_consecutive, estimate_call_cost, plan_chunks
from spine_rl.engine.lm_head import score_tokens
from spine_rl.engine.packed import score_packed
from spine_rl.engine.shared_batch import Piece, Score, SharedBatch

_CACHED = 12  # tokens in a row's cache that take as much memory as one that is run


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


def score_in_pieces(
    model: Any, batch: SharedBatch, temperature: float, *, float32_head: bool = False
) -> Iterator[Piece]:
    """Scores a batch a piece at a time, so that one piece's graph is in memory, and the prompts' it stands on.

    Whoever iterates runs `backward()` on a piece before the next one is asked for. The prompts' caches are cut from
    their graph meanwhile; they gather the gradients of all responses on them, and hand them on after the last. Only for
    gradients that no one waits for, as a wrapper for several processes does.

    Args:
        model: As for `add_shared_forward`, unwrapped; autocast is the caller's.
        batch: With `max_tokens` of a piece.
        temperature: Sampling temperature.
        float32_head: Whether logits are computed in float32 under autocast, too.
    """
    score = functools.partial(score_tokens, temperature=temperature, in_float32=float32_head, adds_in_place=True)
    return _run(model, batch, score, cut=True)


def _score(model: Any, batch: SharedBatch, score: Score) -> dict[str, Tensor]:
    pieces = list(_run_packed(model, batch, score) if batch.packed else _run(model, batch, score))
    rows = torch.cat([piece.rows for piece in pieces])
    shape = batch.completion_ids.shape
    return {
        name: values.new_zeros(shape).index_copy(0, rows, values)
        for name, values in (
            ("log_probs", torch.cat([piece.logps for piece in pieces])),
            ("entropy", torch.cat([piece.entropies for piece in pieces])),
        )
    }


def _run_packed(model: Any, batch: SharedBatch, score: Score) -> Iterator[Piece]:
    learns = torch.is_grad_enabled()
    for enabled in (True, False):
        rows = (batch.with_gradient == enabled).nonzero().squeeze(1)
        for some in _cut(batch, rows):
            with torch.set_grad_enabled(enabled and learns):
                yield score_packed(model, batch, some, score)


def _cut(batch: SharedBatch, rows: Tensor) -> Sequence[Tensor]:
    """Rows in parts that `max_tokens` allows."""
    if batch.max_tokens is None or len(rows) == 0:
        return [rows] if len(rows) > 0 else []
    groups, lengths = batch.group_index[rows], batch.completion_mask[rows].sum(1)
    prompts = batch.prompt_mask.sum(1)[groups]
    ranges = cut_consecutive(lengths.tolist(), prompts.tolist(), groups.tolist(), batch.max_tokens)
    return rows.split([*map(len, ranges)])


def _run(model: Any, batch: SharedBatch, score: Score, *, cut: bool = False) -> Iterator[Piece]:
    """Prompts of similar length together; on them, responses of similar length together."""
    learns = torch.is_grad_enabled()
    with_gradient = torch.ones_like(batch.with_gradient) if batch.one_call else batch.with_gradient
    prompts, group_of_row = batch.group_index.unique(return_inverse=True)
    room = batch.max_tokens
    for prompt_chunk in _plan(model, batch, batch.prompt_mask[prompts], None if room is None else room // 4):
        position = torch.full_like(prompts, -1).index_copy(0, prompt_chunk, torch.arange(len(prompt_chunk)).to(prompts))
        prompt = position[group_of_row]
        here = prompt >= 0
        needed = learns and bool(with_gradient[here].any())
        with torch.set_grad_enabled(needed), _sparse_embedding(model, enabled=cut and needed):
            past = _run_prompts(model, batch, prompts[prompt_chunk])
        source = past.detach() if cut and needed else past
        width = source.mask.size(1)
        for enabled in (True, False):
            rows = (here & (with_gradient == enabled)).nonzero().squeeze(1)
            left = None if room is None else max(room // 2, room - len(prompt_chunk) * width)
            for chunk in _plan(model, batch, batch.completion_mask[rows], left, width // _CACHED) if len(rows) else ():
                with (
                    torch.set_grad_enabled(enabled and learns),
                    _sparse_embedding(model, enabled=cut and needed and enabled),
                ):
                    piece = _score_responses(model, batch, rows[chunk], source, prompt[rows[chunk]], score)
                yield piece
        if source is not past:
            past.take_gradients(source)


def _plan(model: Any, batch: SharedBatch, mask: Tensor, max_tokens: int | None, row_cost: int = 0) -> list[Tensor]:
    lengths = mask.sum(1).tolist()
    if batch.one_call:
        return [torch.arange(len(lengths), device=mask.device)]
    cost = estimate_call_cost(model.config.get_text_config(), mask.device.type)
    chunks = plan_chunks(lengths, cost, max_tokens, row_cost) or [range(len(lengths))]  # all empty: the graph is whole
    return [torch.tensor(chunk, device=mask.device) for chunk in chunks]


@contextmanager
def _sparse_embedding(model: Any, *, enabled: bool) -> Iterator[None]:
    """Gradients of the words that occur, instead of a buffer for all words that is cleared, filled and added up.

    They are added to `grad`, which is dense: as an optimiser wants it.
    """
    embedding = model.get_input_embeddings()
    if not enabled or type(embedding).forward is not torch.nn.Embedding.forward or embedding.sparse:
        yield
        return
    if embedding.weight.requires_grad and embedding.weight.grad is None:
        embedding.weight.grad = torch.zeros_like(embedding.weight)
    embedding.sparse = True
    try:
        yield
    finally:
        embedding.sparse = False


@dataclass(frozen=True)
class _Past:
    """Prompts that were run: (n, P) mask, each layer's keys and values, last hidden state (n, d)."""

    mask: Tensor
    layers: list[tuple[Tensor, Tensor]]
    last_hidden: Tensor
    rope_deltas: Tensor | None

    @property
    def tensors(self) -> list[Tensor]:
        return [self.last_hidden, *(tensor for layer in self.layers for tensor in layer)]

    def detach(self) -> "_Past":
        """The same without its graph, to gather gradients."""

        def cut(tensor: Tensor) -> Tensor:
            return tensor.detach().requires_grad_(tensor.requires_grad)

        layers = [(cut(keys), cut(values)) for keys, values in self.layers]
        return replace(self, layers=layers, last_hidden=cut(self.last_hidden))

    def take_gradients(self, gathered: "_Past") -> None:
        """Runs the backward pass with the gradients that were gathered."""
        pairs = [(own, cut.grad) for own, cut in zip(self.tensors, gathered.tensors, strict=True)]
        used = [(own, grad) for own, grad in pairs if grad is not None]
        if used:
            with torch.autocast(self.mask.device.type, enabled=False):
                tensors, grads = zip(*used, strict=True)
                torch.autograd.backward(tensors, grads)


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
    layers = [(layer.keys, layer.values) for layer in cast(Any, cache.layers)]
    return _Past(mask, layers, output.last_hidden_state[:, -1], getattr(backbone, "rope_deltas", None))


def _score_responses(model: Any, batch: SharedBatch, rows: Tensor, past: _Past, prompt: Tensor, score: Score) -> Piece:
    """Of responses `rows` on prompts `prompt` of `past`."""
    width = max(1, int(batch.completion_mask[rows].sum(1).max()))
    ids, mask = batch.completion_ids[rows, :width], batch.completion_mask[rows, :width].bool()
    if batch.one_call and width == 1:  # other processes' responses are longer
        ids, mask, width = pad(ids, (0, 1)), pad(mask, (0, 1)), 2
    hidden = past.last_hidden[prompt].unsqueeze(1)
    if width > 1:
        hidden = torch.cat([hidden, _run_responses(model, batch, ids[:, :-1], mask[:, :-1], past, prompt)], dim=1)
    here = mask.nonzero(as_tuple=True)
    shape = (len(rows), batch.completion_ids.size(1))
    scores = (
        torch.zeros(shape, device=values.device).index_put(here, values)
        for values in score(model, hidden[here], ids[here])
    )
    return Piece(rows, *scores)


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
