"""A micro-batch in pieces of a few rows each, so that memory decides what is run at once, and not the user."""

from typing import Any

import torch
from trl.trainer.utils import split_pixel_values_by_grid, unsplit_pixel_values_by_grid

from spine_rl.training.micro_batches import select_rows

TOKEN_INPUTS = (  # of a row, that the loss reads
    "prompt_ids",
    "prompt_mask",
    "completion_ids",
    "completion_mask",
    "advantages",
    "old_per_token_logps",
    "ref_per_token_logps",
    "importance_sampling_ratio",
    "sampling_per_token_logps",
)


def cut_inputs(inputs: dict[str, Any], max_tokens: int, *, shares: bool = False) -> list[dict[str, Any]]:
    """Consecutive rows together that have at most so many tokens, or a single row each.

    Args:
        inputs: A micro-batch, as TRL has it.
        max_tokens: Of a piece.
        shares: A prompt counts once for consecutive responses to it, by `group_ids`; else for each.
    """
    prompts, lengths = (inputs[f"{part}_mask"].sum(1).tolist() for part in ("prompt", "completion"))
    groups = inputs["group_ids"].tolist() if shares and "group_ids" in inputs else range(len(lengths))
    starts, tokens, group = [0], 0, None
    for row, length in enumerate(lengths):
        size = length + (prompts[row] if groups[row] != group else 0)
        if tokens + size > max_tokens and row > starts[-1]:
            starts.append(row)
            tokens, size = 0, length + prompts[row]
        tokens, group = tokens + size, groups[row]
    if len(starts) == 1:
        return [inputs]
    split = split_pixel_values_by_grid(inputs)
    ends = [*starts[1:], len(lengths)]
    parts: list[Any] = [select_rows(split, range(start, end)) for start, end in zip(starts, ends, strict=True)]
    return [unsplit_pixel_values_by_grid(part) for part in parts]


def select_token_inputs(inputs: dict[str, Any], rows: torch.Tensor) -> dict[str, Any]:
    """What the loss reads of some rows, without their pictures."""
    taken = {name: value[rows] for name in TOKEN_INPUTS if (value := inputs.get(name)) is not None}
    return taken | {name: inputs[name] for name in ("num_items_in_batch", "num_forks") if name in inputs}
