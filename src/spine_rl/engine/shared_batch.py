"""Responses by prompt, as they are scored, and what comes of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

# Per-token inputs of multimodal models, as wide as prompt and response together.
TOKEN_TYPES = ("token_type_ids", "mm_token_type_ids")

_CACHED_TYPES = {"full_attention", "sliding_attention"}
Score = Callable[[Any, Tensor, Tensor], tuple[Tensor, Tensor]]  # as `score_tokens`, at a temperature


def list_uncached_types(config: Any) -> list[str]:
    """Types of a text configuration's layers that keep no key-value cache, on which responses could go on."""
    return sorted(set(getattr(config, "layer_types", None) or ()) - _CACHED_TYPES)


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
        max_tokens: Run together at most, where it is more than one row.
        one_call: Every process makes the same calls, one for prompts and one for responses, as sharded models need.
        packed: Prompts and responses are run in one call, by `spine_rl.engine.packed`.
    """

    prompt_ids: Tensor
    prompt_mask: Tensor
    completion_ids: Tensor
    completion_mask: Tensor
    group_index: Tensor
    with_gradient: Tensor
    prompt_inputs: dict[str, list[Tensor]] = field(default_factory=dict)
    token_types: dict[str, Tensor] = field(default_factory=dict)
    max_tokens: int | None = None
    one_call: bool = False
    packed: bool = False


@dataclass(frozen=True)
class Piece:
    """Statistics of some responses of a batch.

    Attributes:
        rows: (b,) which ones.
        logps: (b, T) float32, 0 off the mask.
        entropies: (b, T) in nats, the same.
    """

    rows: Tensor
    logps: Tensor
    entropies: Tensor
