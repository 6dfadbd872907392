"""Attention of a single new token on a CPU: the query heads that share keys are run as queries of one head.

Without a mask transformers leaves the grouping to torch, whose kernel for a CPU takes a head at a time, and several
times as long. Under a mask transformers groups them itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_ATTENTION = "spine_grouped"


@contextmanager
def grouped_attention(model: Any) -> Iterator[None]:
    """While it is entered, the text layers of a model on a CPU that has SDPA attend so."""
    config = model.config.get_text_config(decoder=True)
    if config._attn_implementation != "sdpa" or model.device.type != "cpu":
        yield
        return
    config._attn_implementation = _ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = "sdpa"


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    batch, heads, length, width = query.shape
    if length > 1 or attention_mask is not None or heads == key.size(1):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    queries = query.reshape(batch, key.size(1), heads // key.size(1), width)
    output = scaled_dot_product_attention(queries, key, value, scale=options.get("scaling"))
    return output.reshape(batch, 1, heads, output.size(-1)), None


AttentionInterface.register(_ATTENTION, _attend)
AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
