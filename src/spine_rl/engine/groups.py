"""Which rows of a batch have the same prompt: as the election numbered them, or found by content, images included."""

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
    text = torch.cat([prompt_ids, prompt_mask.to(prompt_ids)], dim=1).cpu()  # once, not a row at a time
    groups: dict[bytes, int] = {}
    index = [groups.setdefault(_digest(row), len(groups)) for row in zip(text, *images, strict=True)]
    return _number(index, prompt_ids.device)


def group_by_id(group_ids: Tensor) -> PromptGroups:
    """Groups rows (B,) whose prompts are known to be the same where their numbers are."""
    groups: dict[int, int] = {}
    return _number([groups.setdefault(id_, len(groups)) for id_ in group_ids.tolist()], group_ids.device)


def _number(index: list[int], device: torch.device) -> PromptGroups:
    first = [index.index(group) for group in range(max(index, default=-1) + 1)]
    return PromptGroups(*(torch.tensor(values, device=device) for values in (first, index)))


def _digest(tensors: Sequence[Tensor]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.digest()
