"""The order of a generation batch's rows: a problem's responses together, similar lengths together.

TRL shuffles rows. Here problems are shuffled, over the optimiser steps that a generation batch serves; within a step
the order has no effect on the gradient (`spine_rl.objective.loss`) and is chosen for speed.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def arrange_rows(group_ids: Sequence[int], lengths: Sequence[int], *, num_windows: int) -> list[int]:
    """Orders rows so that cutting them into equal micro-batches keeps groups whole where sizes allow.

    Args:
        group_ids: Of each row.
        lengths: Of each row's response, in tokens.
        num_windows: Optimiser steps that the rows are cut into, equally; a group's place among them is random.
    """
    groups: dict[int, list[int]] = {}
    for row, group in enumerate(group_ids):
        groups.setdefault(group, []).append(row)
    members = list(groups.values())
    shuffled = [row for group in torch.randperm(len(members)).tolist() for row in members[group]]
    size = len(shuffled) // num_windows
    windows = [shuffled[i : i + size] for i in range(0, len(shuffled), size)]
    return [row for window in windows for row in _sort_window(window, group_ids, lengths)]


def _sort_window(rows: Sequence[int], group_ids: Sequence[int], lengths: Sequence[int]) -> list[int]:
    longest: dict[int, int] = {}
    for row in rows:
        longest[group_ids[row]] = max(longest.get(group_ids[row], 0), lengths[row])
    return sorted(rows, key=lambda row: (longest[group_ids[row]], group_ids[row], lengths[row]))


def select_rows(batch: dict[str, Any], order: Sequence[int]) -> dict[str, Any]:
    """Rows of every entry that has rows: tensors of a dimension or more, and lists."""

    def select(value: Any) -> Any:
        if isinstance(value, list):
            return [value[row] for row in order]
        return value[list(order)] if isinstance(value, Tensor) and value.dim() > 0 else value

    return {name: select(value) for name, value in batch.items()}
