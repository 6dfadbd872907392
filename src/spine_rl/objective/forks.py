"""Forking tokens: where a response's own entropy is high, and reasoning branches; and controls that choose otherwise.

SPINE (arXiv 2511.17938) updates these tokens only; the idea that they carry the learning signal is from "Beyond the
80/20 rule" (arXiv 2506.01939). Selection is per response, on detached entropies, and never looks at padding.
`random_fraction` and `low_entropy` are controls: what is updated is as much, and chosen without or against entropy.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from spine_rl.objective.token_statistics import widest_float
from spine_rl.presets import FORK_FRACTION


def select_forks(
    entropies: Tensor,
    completion_mask: Tensor,
    selector: str,
    *,
    fraction: float = FORK_FRACTION,
    num_bins: int = 100,
    token_ids: Tensor | None = None,
) -> Tensor:
    """Selects the forking tokens of each response.

    Args:
        entropies: (B, T) in nats; may hold anything, NaN too, off the mask.
        completion_mask: (B, T), true at response tokens; a row may have none.
        selector: `all`: every response token (plain TTRL); `top_fraction`: the ⌈fraction·T_i⌉ tokens of highest
            entropy, the earlier one first among equals; `otsu`: tokens above Otsu's threshold of the response's own
            entropy histogram, all of them where every entropy is equal. Controls: `low_entropy`: as `top_fraction`, of
            lowest entropy; `random_fraction`: as many, those with the largest of the numbers that Python's
            `random.Random(s).random()` gives them in turn, s being the response's token ids joined by spaces. So the
            choice depends on the response alone, and the same response has the same forks.
        fraction: Share of a response's tokens that `top_fraction` and the controls pick, in (0, 1]; the paper's ρ.
        num_bins: Histogram bins of `otsu`, at least 2.
        token_ids: (B, T) sampled tokens; of `random_fraction`.

    Returns:
        fork_mask: (B, T) bool, true at forking tokens; a row has none only if it has no response tokens.
    """
    mask = completion_mask.bool()
    if mask.size(1) == 0:
        return mask
    return FORK_SELECTORS[selector](_Tokens(entropies.detach(), mask, token_ids), fraction, num_bins)


def count_forks(lengths: Tensor, selector: str, *, fraction: float = FORK_FRACTION) -> Tensor | None:
    """Number of forks of responses of these lengths (B,), or None where it depends on the entropies (`otsu`)."""
    if selector == "all":
        return lengths
    if selector in ("top_fraction", "low_entropy", "random_fraction"):
        return _fraction_count(lengths, fraction)
    return None


@dataclass(frozen=True)
class _Tokens:
    """What selectors read, each (B, T); entropies may hold anything off the mask."""

    entropies: Tensor
    mask: Tensor
    ids: Tensor | None


def _select_all(tokens: _Tokens, fraction: float, num_bins: int) -> Tensor:
    return tokens.mask


def _select_top_fraction(tokens: _Tokens, fraction: float, num_bins: int) -> Tensor:
    return _select_highest(tokens.entropies, tokens.mask, fraction)


def _select_low_entropy(tokens: _Tokens, fraction: float, num_bins: int) -> Tensor:
    return _select_highest(-tokens.entropies, tokens.mask, fraction)


def _select_random_fraction(tokens: _Tokens, fraction: float, num_bins: int) -> Tensor:
    if tokens.ids is None:
        raise ValueError("random_fraction needs token_ids, the sampled tokens")
    scores = torch.zeros(tokens.mask.shape, dtype=widest_float(tokens.mask.device), device=tokens.mask.device)
    for row, mask, ids in zip(scores, tokens.mask, tokens.ids, strict=True):
        chosen = ids[mask].tolist()
        rng = random.Random(" ".join(map(str, chosen)))
        row[mask] = torch.tensor([rng.random() for _ in chosen], dtype=row.dtype, device=row.device)
    return _select_highest(scores, tokens.mask, fraction)


def _select_highest(scores: Tensor, mask: Tensor, fraction: float) -> Tensor:
    order = scores.masked_fill(~mask, -torch.inf).sort(dim=1, descending=True, stable=True).indices
    positions = torch.arange(mask.size(1), device=mask.device).expand_as(order)
    ranks = torch.empty_like(order).scatter_(1, order, positions)
    return mask & (ranks < _fraction_count(mask.sum(1), fraction).unsqueeze(1))


def _fraction_count(lengths: Tensor, fraction: float) -> Tensor:
    # Whole numbers: 0.07 · 100 is 7.000000000000001 in floating point, and its ceiling 8.
    ratio = Fraction(fraction).limit_denominator(1_000_000)
    return -(-lengths * ratio.numerator // ratio.denominator)


def _select_otsu(tokens: _Tokens, fraction: float, num_bins: int) -> Tensor:
    """Otsu 1979: the cut between bins k and k+1 with the largest variance between the two classes, the lowest cut
    among equals; the forks are the tokens in the bins above it."""
    mask = tokens.mask
    dtype = widest_float(mask.device)
    values = tokens.entropies.to(dtype)
    low = values.masked_fill(~mask, torch.inf).amin(1, keepdim=True)
    high = values.masked_fill(~mask, -torch.inf).amax(1, keepdim=True)
    spread = high > low
    scaled = torch.where(mask & spread, (values - low) / (high - low), 0.0)
    bins = (scaled * num_bins).long().clamp(max=num_bins - 1)

    histogram = torch.zeros(*mask.shape[:1], num_bins, dtype=dtype, device=mask.device)
    histogram.scatter_add_(1, bins, mask.to(dtype))
    centres = torch.arange(num_bins, dtype=dtype, device=mask.device)
    below, moment_below = histogram.cumsum(1), (histogram * centres).cumsum(1)
    above, moment_above = below[:, -1:] - below, moment_below[:, -1:] - moment_below
    both = (below > 0) & (above > 0)
    variance = (above * moment_below - below * moment_above).square() / torch.where(both, below * above, 1.0)
    cut = torch.where(both, variance, -1.0).argmax(1, keepdim=True)
    return mask & (~spread | (bins > cut))


FORK_SELECTORS: dict[str, Callable[[_Tokens, float, int], Tensor]] = {
    "all": _select_all,
    "top_fraction": _select_top_fraction,
    "otsu": _select_otsu,
    "low_entropy": _select_low_entropy,
    "random_fraction": _select_random_fraction,
}
