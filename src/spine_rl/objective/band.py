"""The entropy band: forks are pulled back when their entropy leaves [H_low, H_high] of their own response.

SPINE v1 (arXiv 2511.17938) takes quantiles of the forks' entropies, v2 their median and median absolute deviation.
Thresholds are detached: the gradient flows through the entropies alone.
"""

from collections.abc import Callable

import torch
from torch import Tensor

MAD_TO_STD = 1.4826  # makes the median absolute deviation of a normal distribution its standard deviation
MIN_SCALE = 1e-6


def compute_band_thresholds(
    entropies: Tensor, fork_mask: Tensor, band: str, *, low_quantile: float = 0.1, high_quantile: float = 0.5
) -> tuple[Tensor, Tensor]:
    """The band of each response, from the entropies of its own forks.

    Args:
        entropies: (B, T) in nats.
        fork_mask: (B, T) bool, true at forks.
        band: `quantile`: H_low, H_high = Q(low_quantile), Q(high_quantile), linearly interpolated; `median_mad`:
            c = median, s = max(1.4826·MAD, 1e-6), H_low = max(0, c − s), H_high = c; `none`: the band is everything;
            `zero`, a control: H_low = H_high = 0, so that all entropy is minimised.
        low_quantile: Of `quantile`, in [0, high_quantile].
        high_quantile: Of `quantile`, in [low_quantile, 1].

    Returns:
        low and high, each (B,), detached; 0 in a row without forks.
    """
    return BANDS[band](entropies.detach(), fork_mask, low_quantile, high_quantile)


def compute_band_penalty(
    entropies: Tensor, fork_mask: Tensor, low: Tensor, high: Tensor, *, low_coef: float = 1.0, high_coef: float = 1.0
) -> Tensor:
    """β_low·max(0, H_low − H_t) + β_high·max(0, H_t − H_high) at forks, 0 elsewhere: (B, T).

    Args:
        entropies: (B, T) in nats, with gradient.
        fork_mask: (B, T) bool, true at forks.
        low: (B,) H_low.
        high: (B,) H_high.
        low_coef: β_low, ≥ 0.
        high_coef: β_high, ≥ 0.
    """
    inside = torch.where(fork_mask, entropies, 0.0)
    penalty = low_coef * (low.unsqueeze(1) - inside).clamp(min=0) + high_coef * (inside - high.unsqueeze(1)).clamp(
        min=0
    )
    return torch.where(fork_mask, penalty, 0.0)


def _no_band(entropies: Tensor, fork_mask: Tensor, low_quantile: float, high_quantile: float) -> tuple[Tensor, Tensor]:
    low = entropies.new_zeros(entropies.size(0))
    return low, torch.full_like(low, torch.inf)


def _zero_band(
    entropies: Tensor, fork_mask: Tensor, low_quantile: float, high_quantile: float
) -> tuple[Tensor, Tensor]:
    zero = entropies.new_zeros(entropies.size(0))
    return zero, zero


def _quantile_band(
    entropies: Tensor, fork_mask: Tensor, low_quantile: float, high_quantile: float
) -> tuple[Tensor, Tensor]:
    return (
        _masked_quantile(entropies, fork_mask, low_quantile),
        _masked_quantile(entropies, fork_mask, high_quantile),
    )


def _median_mad_band(
    entropies: Tensor, fork_mask: Tensor, low_quantile: float, high_quantile: float
) -> tuple[Tensor, Tensor]:
    centre = _masked_quantile(entropies, fork_mask, 0.5)
    deviation = _masked_quantile((entropies - centre.unsqueeze(1)).abs(), fork_mask, 0.5)
    scale = (MAD_TO_STD * deviation).clamp(min=MIN_SCALE)
    return (centre - scale).clamp(min=0), centre


def _masked_quantile(values: Tensor, mask: Tensor, quantile: float) -> Tensor:
    """Linearly interpolated quantile of each row's masked values (B,), 0 where a row has none."""
    counts = mask.sum(1, keepdim=True)
    if values.size(1) == 0:
        return values.new_zeros(values.size(0))
    ordered = values.masked_fill(~mask, torch.inf).sort(dim=1).values
    position = quantile * (counts - 1).clamp(min=0).to(values.dtype)
    lower, upper = ordered.gather(1, position.floor().long()), ordered.gather(1, position.ceil().long())
    interpolated = lower + (upper - lower) * (position - position.floor())
    return torch.where(counts > 0, interpolated, 0.0).squeeze(1)


BANDS: dict[str, Callable[[Tensor, Tensor, float, float], tuple[Tensor, Tensor]]] = {
    "none": _no_band,
    "quantile": _quantile_band,
    "median_mad": _median_mad_band,
    "zero": _zero_band,
}
