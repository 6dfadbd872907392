"""Which rows of a batch have the same prompt, found by content: the same tokens and the same images."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class PromptGroups:
    """Rows by prompt.

    Attributes:
        first: (n,) the first row of each group.
        index: (B,) the group of each row.
    """

    first: Tensor
    index: Tensor


def group_rows(prompt_ids: Tensor, prompt_mask: Tensor, images: Sequence[Any] = ()) -> PromptGroups:
    """Groups rows whose prompts, and with them their key-value caches, are the same.

    Args:
        prompt_ids: (B, P).
        prompt_mask: (B, P), true at the prompt's own tokens.
        images: Further inputs, each a sequence of B tensors.
    """
    groups: dict[bytes, int] = {}
    index = [groups.setdefault(_digest(row), len(groups)) for row in zip(prompt_ids, prompt_mask, *images, strict=True)]
    first = [index.index(group) for group in range(len(groups))]
    return PromptGroups(*(torch.tensor(values, device=prompt_ids.device) for values in (first, index)))


def _digest(tensors: Sequence[Tensor]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.digest()
