"""Prompts and their responses in one call: every prompt once, its responses behind it, all in one row.

A block mask of FlexAttention lets a token see its prompt and its own response up to itself, and nothing else. It is
made once and used by all layers. There is no padding but up to a block's end, no row that is masked whole, and no
cache, so gradient checkpointing works. For GPUs: on a CPU FlexAttention has no backward pass.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from transformers import AttentionInterface

from spine_rl.engine.shared_batch import Piece, Score, SharedBatch

BLOCK = 128
_LEAST_TOKENS = 2 * BLOCK  # a shorter row takes another kernel, which wants other numbers of heads
_LEAST_WIDTH = 16  # of a head: Triton multiplies no smaller matrices
_ATTENTION = "spine_packed"  # its name in transformers' registry


def find_packing_obstacle(model: Any, device: torch.device) -> str | None:
    """What keeps a model from this path, or None."""
    config = model.config
    text = config.get_text_config()
    obstacles = {
        f"FlexAttention has no backward pass on a device of type {device.type}": device.type != "cuda",
        "it sees images": text is not config,
        "transformers does not give it FlexAttention": not getattr(model, "_supports_flex_attn", False),
        "it drops out attention weights": (getattr(text, "attention_dropout", 0) or 0) > 0,
        f"FlexAttention's kernels want heads of {_LEAST_WIDTH} features or more": _has_narrow_heads(text),
    }
    return next((reason for reason, found in obstacles.items() if found), None)


def _has_narrow_heads(config: Any) -> bool:
    """As far as a configuration says: of some models layers differ in it, and others have no heads."""
    width, heads = getattr(config, "head_dim", None), getattr(config, "num_attention_heads", None)
    if width is None and isinstance(heads, int):
        width = config.hidden_size // heads
    return isinstance(width, int) and width < _LEAST_WIDTH


def score_packed(model: Any, batch: SharedBatch, rows: Tensor, score: Score) -> Piece:
    """Scores responses `rows` of a batch in one call."""
    row, previous = pack(batch, rows)
    with _packed_layers(model):
        output = model.base_model(
            input_ids=row.ids[None],
            position_ids=row.positions[None],
            attention_mask=_make_masks(model.config, row),
            use_cache=False,
        )
    mask = batch.completion_mask[rows].bool()
    here = mask.nonzero(as_tuple=True)
    scores = score(model, output.last_hidden_state[0, previous[here]], batch.completion_ids[rows][here])
    logps, entropies = (torch.zeros(mask.shape, device=mask.device).index_put(here, values) for values in scores)
    return Piece(rows, logps, entropies)


@dataclass(frozen=True)
class PackedRow:
    """Tokens of a row, each (M,), M a multiple of `BLOCK`.

    Attributes:
        ids: Token ids; 0 in the padding at the end.
        positions: Within prompt and response.
        documents: Which prompt; of its responses too. The padding is one more.
        segments: Which response, numbered as they follow; 0 in prompts and padding.
    """

    ids: Tensor
    positions: Tensor
    documents: Tensor
    segments: Tensor


def pack(batch: SharedBatch, rows: Tensor) -> tuple[PackedRow, Tensor]:
    """The row of responses `rows` (b,), and where the token before each response token stands in it (b, T)."""
    prompts, owner = batch.group_index[rows].unique(return_inverse=True)
    prompt_mask, mask = batch.prompt_mask[prompts].bool(), batch.completion_mask[rows].bool()
    lengths = torch.cat([prompt_mask.sum(1), mask.sum(1)])
    owners = torch.cat([torch.arange(len(prompts), device=owner.device), owner])
    order = owners.argsort(stable=True)  # each prompt, then its responses
    starts, places = torch.empty_like(lengths), torch.empty_like(order)
    starts[order] = lengths[order].cumsum(0) - lengths[order]
    places[order] = torch.arange(len(order), device=order.device)

    size = max(_LEAST_TOKENS, -(-int(lengths.sum()) // BLOCK) * BLOCK)
    ids, positions, segments = (torch.zeros(size, dtype=torch.long, device=rows.device) for _ in range(3))
    documents = torch.full_like(ids, len(prompts))
    steps = torch.arange(mask.size(1), device=rows.device)
    prompt_lengths, first = lengths[: len(prompts)], starts[len(prompts) :]
    within = prompt_mask.cumsum(1) - 1
    for here, offsets, own_positions, tokens, document, segment in (
        (prompt_mask, starts[: len(prompts)], within, batch.prompt_ids[prompts], owners[: len(prompts)], None),
        (mask, first, steps, batch.completion_ids[rows], owner, places[len(prompts) :] + 1),
    ):
        behind = 0 if segment is None else prompt_lengths[owner].unsqueeze(1)
        at = (offsets.unsqueeze(1) + own_positions)[here]
        ids[at] = tokens[here]
        positions[at] = (own_positions + behind).expand(here.shape)[here]
        documents[at] = document.unsqueeze(1).expand(here.shape)[here]
        if segment is not None:
            segments[at] = segment.unsqueeze(1).expand(here.shape)[here]
    ends = (starts[: len(prompts)] + prompt_lengths - 1)[owner].unsqueeze(1)
    previous = torch.where(steps == 0, ends, first.unsqueeze(1) + steps - 1)
    return PackedRow(ids, positions, documents, segments), previous


def make_block_mask(row: PackedRow, window: int | None = None) -> BlockMask:
    """Causal within prompt and response, within a window of so many tokens where one is given.

    Which blocks are looked at follows from the ranges of documents and segments in each: no matrix of all tokens by all
    tokens is built.
    """
    documents, segments, positions = row.documents, row.segments, row.positions

    def sees(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        own = (segments[key] == 0) | (segments[key] == segments[query])
        causal = (query >= key) & (documents[query] == documents[key]) & own
        return causal if window is None else causal & (positions[query] - positions[key] < window)

    of_documents, of_segments = documents.view(-1, BLOCK), segments.view(-1, BLOCK)
    own = _range(of_segments, of_segments > 0)
    needed = _overlap(_range(of_documents), _range(of_documents, of_segments == 0)) | _overlap(own, own)
    needed &= torch.ones_like(needed).tril()
    count = needed.sum(1, dtype=torch.int32)[None, None]
    indices = needed.int().argsort(dim=1, descending=True, stable=True).int()[None, None]
    size = len(documents)
    return BlockMask.from_kv_blocks(count, indices, BLOCK_SIZE=BLOCK, mask_mod=sees, seq_lengths=(size, size))


def _range(values: Tensor, chosen: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Least and greatest value of each block, of the chosen ones alone; without any, an empty range."""
    if chosen is None:
        return values.amin(1), values.amax(1)
    return values.where(chosen, torch.iinfo(values.dtype).max).amin(1), values.where(chosen, -1).amax(1)


def _overlap(queries: tuple[Tensor, Tensor], keys: tuple[Tensor, Tensor]) -> Tensor:
    return (keys[0] <= queries[1].unsqueeze(1)) & (keys[1] >= queries[0].unsqueeze(1))


def _make_masks(config: Any, row: PackedRow) -> BlockMask | dict[str, BlockMask]:
    """As the model's layers want it: one for all, or one for each type of layer."""
    window = getattr(config, "sliding_window", None)
    types = getattr(config, "layer_types", None)
    if types is None:
        return make_block_mask(row, window)
    return {type_: make_block_mask(row, window if type_ == "sliding_attention" else None) for type_ in set(types)}


@contextmanager
def _packed_layers(model: Any) -> Iterator[None]:
    """Layers attend so within, and where gradient checkpointing runs one anew in the backward pass, after it."""
    layers = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
    checkpoints = [layer._gradient_checkpointing_func for layer in layers]
    for layer, checkpoint in zip(layers, checkpoints, strict=True):
        layer._gradient_checkpointing_func = functools.partial(_run_checkpointed, checkpoint, model.config)
    try:
        with _attention(model.config):
            yield
    finally:
        for layer, checkpoint in zip(layers, checkpoints, strict=True):
            layer._gradient_checkpointing_func = checkpoint


def _run_checkpointed(checkpoint: Callable[..., Any], config: Any, run: Callable[..., Any], *args: Any) -> Any:
    def run_packed(*args: Any) -> Any:
        with _attention(config):
            return run(*args)

    return checkpoint(run_packed, *args)


@contextmanager
def _attention(config: Any) -> Iterator[None]:
    before = config._attn_implementation
    config._attn_implementation = _ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = before


@functools.cache
def _compile() -> Callable[..., Tensor]:
    """Once: a new length compiles nothing again."""
    return torch.compile(flex_attention, dynamic=True)


def _attend(
    _module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: BlockMask,
    scaling: float | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """transformers' interface: heads before tokens in, (1, M, heads, width) out; keys are not repeated over heads."""

    def cap(scores: Tensor, *_: Tensor) -> Tensor:
        assert softcap is not None
        return softcap * torch.tanh(scores / softcap)

    attend = _compile() if query.is_cuda else flex_attention
    output = attend(
        query.to(value.dtype),
        key.to(value.dtype),
        value,
        score_mod=None if softcap is None else cap,
        block_mask=attention_mask,
        scale=scaling,
        enable_gqa=query.size(1) != key.size(1),
    )
    return cast(Tensor, output).transpose(1, 2).contiguous(), None


AttentionInterface.register(_ATTENTION, _attend)
