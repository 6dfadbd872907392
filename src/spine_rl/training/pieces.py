"""A micro-batch in pieces of a few rows each, so that memory decides what is run at once, and not the user."""

from typing import Any

import torch
from trl.trainer.utils import split_pixel_values_by_grid, unsplit_pixel_values_by_grid

from spine_rl.engine.chunks import cut_consecutive
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
        shares: A prompt counts once for consecutive responses to it, by `group_ids`, and no padding counts; else all
            does that TRL's own forward runs.
    """
    masks = inputs["prompt_mask"], inputs["completion_mask"]
    if shares:
        prompts, lengths = (mask.sum(1).tolist() for mask in masks)
    else:
        prompts, lengths = ([mask.size(1)] * len(mask) for mask in masks)
    groups = inputs["group_ids"].tolist() if shares and "group_ids" in inputs else range(len(lengths))
    ranges = cut_consecutive(lengths, prompts, groups, max_tokens)
    if len(ranges) == 1:
        return [inputs]
    split = split_pixel_values_by_grid(inputs)
    parts: list[Any] = [select_rows(split, rows) for rows in ranges]
    return [unsplit_pixel_values_by_grid(part) for part in parts]


def select_token_inputs(inputs: dict[str, Any], rows: torch.Tensor) -> dict[str, Any]:
    """What the loss reads of some rows, without their pictures."""
    taken = {name: value[rows] for name in TOKEN_INPUTS if (value := inputs.get(name)) is not None}
    return taken | {name: inputs[name] for name in ("num_items_in_batch", "num_forks") if name in inputs}
