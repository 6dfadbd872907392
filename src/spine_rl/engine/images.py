"""Whose image is whose: inputs of a batch cut by row, however the model's processor lays them out."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

IMAGE_INPUTS = ("pixel_values", "pixel_attention_mask", "image_grid_thw", "image_sizes", "image_position_ids")


def cut_by_row(model: Any, input_ids: Tensor, inputs: dict[str, Tensor]) -> dict[str, list[Tensor]] | None:
    """Each input as a tensor a row, to be concatenated; None where it cannot be told which row an image belongs to.

    Args:
        model: An image-text-to-text model, or a causal one, which has no images.
        input_ids: (B, P).
        inputs: Further inputs, those of images as rows of images or, with `image_grid_thw`, of patches.
    """
    images = {name: value for name, value in inputs.items() if name in IMAGE_INPUTS}
    others = {name: value for name, value in inputs.items() if name not in images}
    if any(len(value) != len(input_ids) for value in others.values()):
        return None
    cut = {name: list(value.split(1)) for name, value in others.items()}
    if not images:
        return cut
    counts = _count_images(model, input_ids, images)
    if counts is None:
        return None
    grid = images.get("image_grid_thw")
    for name, value in images.items():
        sizes = counts
        if grid is not None and name == "pixel_values":
            sizes = [int(part.prod(1).sum()) for part in grid.split(counts)]
        if sum(sizes) != len(value):
            return None
        cut[name] = list(value.split(sizes))
    return cut


def _count_images(model: Any, input_ids: Tensor, images: dict[str, Tensor]) -> list[int] | None:
    """Entries of each row, by the image tokens in it."""
    pixels, grid = images["pixel_values"], images.get("image_grid_thw")
    in_row = (input_ids == model.config.image_token_id).sum(1)
    if "pixel_attention_mask" in images and pixels.dim() == 5:  # Idefics3: padded to an entry a row
        return [1] * len(input_ids)
    if grid is not None:
        of_image = grid.prod(1) // model.config.vision_config.spatial_merge_size**2
    elif "image_sizes" in images:  # as many tokens as a picture's size asks for: known only of one in every row
        return [1] * len(input_ids) if in_row.all() and len(pixels) == len(input_ids) else None
    else:
        total = int(in_row.sum())
        if total % max(1, len(pixels)) != 0:
            return None
        of_image = torch.full((len(pixels),), total // max(1, len(pixels)), device=in_row.device)
    ends = [0, *of_image.cumsum(0).tolist()]
    wanted = [0, *in_row.cumsum(0).tolist()]
    if len(set(ends)) < len(ends) or not set(wanted) <= set(ends):
        return None
    return [ends.index(stop) - ends.index(start) for start, stop in pairwise(wanted)]
