"""Group-relative advantages (GRPO, arXiv 2402.03300): Â_i = (r_i − mean_group) / (std_group + ε)."""

from typing import Literal

import torch
from torch import Tensor

StdKind = Literal["sample", "population"]


def compute_group_advantages(
    rewards: Tensor, group_ids: Tensor, *, std: StdKind = "sample", epsilon: float = 1e-4
) -> Tensor:
    """Advantage of every response within its group; groups may differ in size and stand in any order.

    A group whose rewards are all equal (unanimous, or all abstaining) and a group of one response get exactly 0.

    Args:
        rewards: (B,).
        group_ids: (B,) integers; responses of one problem share one.
        std: `sample` divides the variance by n − 1 (as TRL does), `population` by n; the paper leaves it open.
        epsilon: Added to the standard deviation.

    Returns:
        (B,) float32, or float64 where the rewards are.
    """
    rewards = rewards.to(torch.promote_types(rewards.dtype, torch.float32))
    _, group = group_ids.unique(return_inverse=True)
    sizes = torch.bincount(group).to(rewards.dtype)

    def group_sum(values: Tensor) -> Tensor:
        return torch.zeros_like(sizes).index_add_(0, group, values)

    lowest = torch.zeros_like(sizes).scatter_reduce_(0, group, rewards, "amin", include_self=False)
    above = rewards - lowest[group]  # equal ones, such as 1/3, would differ from their rounded mean
    centred = above - (group_sum(above) / sizes)[group]
    degrees = sizes - 1 if std == "sample" else sizes
    deviations = (group_sum(centred.square()) / degrees.clamp(min=1)).sqrt()
    return centred / (deviations[group] + epsilon)
