"""SPINE's objective (arXiv 2511.17938): clipped surrogate, entropy band and KL anchor, each at forking tokens alone.

    loss = Σ_forks −min(r·Â, clip(r, 1−ε_lo, 1+ε_hi)·Â) / response tokens
         + Σ_forks band penalty                         / response tokens
         + λ_KL · Σ_forks KL(π ‖ π_ref)                 / forks

Both denominators count the whole optimiser step, over micro-batches and processes, and are arguments: then the loss of
a step is the sum of its micro-batches' losses, however they are cut.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from spine_rl.objective.band import compute_band_penalty, compute_band_thresholds
from spine_rl.objective.forks import select_forks
from spine_rl.presets import FORK_FRACTION


@dataclass(frozen=True)
class Objective:
    """The objective's settings; `spine_rl.presets` names useful ones.

    Attributes:
        fork_selector: Which tokens are updated: `all`, `top_fraction` or `otsu`; `low_entropy` and `random_fraction`
            are controls.
        fork_fraction: Share of a response's tokens that `top_fraction` and these controls pick; the paper's ρ.
        otsu_bins: Histogram bins of `otsu`.
        band: Which band holds the forks' entropy: `none`, `quantile` or `median_mad`; `zero` is a control.
        band_low_quantile: Of `quantile`.
        band_high_quantile: Of `quantile`.
        band_low_coef: β_low, ≥ 0: pull of forks below the band.
        band_high_coef: β_high, ≥ 0: pull of forks above the band.
        band_weight: Weight of a response's band: `equal`, 1, as in the paper; `advantage`, |Â|, so that the band ends
            where all responses of a problem are rewarded alike: what sharpens the model ends with the vote.
        clip_low: ε_lo > 0.
        clip_high: ε_hi > 0.
        kl_coef: λ_KL ≥ 0; with 0, `ref_logps` are not needed.
    """

    fork_selector: str = "top_fraction"
    fork_fraction: float = FORK_FRACTION
    otsu_bins: int = 100
    band: str = "quantile"
    band_low_quantile: float = 0.1
    band_high_quantile: float = 0.5
    band_low_coef: float = 1.0
    band_high_coef: float = 1.0
    band_weight: str = "equal"
    clip_low: float = 0.2
    clip_high: float = 0.2
    kl_coef: float = 0.0


@dataclass(frozen=True)
class TokenBatch:
    """What the objective reads of B responses of at most T tokens; off the mask anything may stand, NaN too.

    Attributes:
        logps: (B, T) log-probabilities of the sampled tokens, with gradient.
        entropies: (B, T) in nats, with gradient.
        completion_mask: (B, T), true at response tokens.
        advantages: (B,).
        old_logps: (B, T) under the sampling policy; None when on-policy: the ratio is then exactly 1.
        ref_logps: (B, T) under the reference model; needed if `kl_coef` > 0.
        importance_ratio: (B, 1) or (B, T) correction for a sampler whose probabilities differ; None for none.
        token_ids: (B, T) the sampled tokens; needed if `fork_selector` is `random_fraction`.
    """

    logps: Tensor
    entropies: Tensor
    completion_mask: Tensor
    advantages: Tensor
    old_logps: Tensor | None = None
    ref_logps: Tensor | None = None
    importance_ratio: Tensor | None = None
    token_ids: Tensor | None = None


@dataclass(frozen=True)
class ObjectiveOutput:
    """A micro-batch's share of the step's loss, its terms (their sum), and what was decided per token.

    Attributes:
        loss: Scalar with gradient.
        policy_loss: Scalar, detached.
        band_loss: Scalar, detached.
        kl_loss: Scalar, detached, λ_KL included.
        fork_mask: (B, T) bool, true at forks.
        below_band: (B, T) bool, true at forks whose entropy is under the band.
        above_band: (B, T) bool, true at forks whose entropy is over the band.
        clipped: (B, T) bool, true at forks whose ratio is clipped, so that they carry no policy gradient.
        band_low: (B,) H_low of each response, in nats.
        band_high: (B,) H_high, infinite without a band.
        token_kl: (B, T) estimates at forks, 0 elsewhere, detached; None without a KL anchor.
    """

    loss: Tensor
    policy_loss: Tensor
    band_loss: Tensor
    kl_loss: Tensor
    fork_mask: Tensor
    below_band: Tensor
    above_band: Tensor
    clipped: Tensor
    band_low: Tensor
    band_high: Tensor
    token_kl: Tensor | None


def compute_loss(
    batch: TokenBatch, objective: Objective, *, num_response_tokens: Tensor | float, num_forks: Tensor | float
) -> ObjectiveOutput:
    """A micro-batch's share of the loss.

    Args:
        batch: The micro-batch.
        objective: Settings.
        num_response_tokens: Response tokens of the whole optimiser step; the policy's and the band's denominator.
        num_forks: Forking tokens of the whole optimiser step; the KL anchor's denominator, unused without one.
    """
    fork_mask = select_forks(
        batch.entropies,
        batch.completion_mask,
        objective.fork_selector,
        fraction=objective.fork_fraction,
        num_bins=objective.otsu_bins,
        token_ids=batch.token_ids,
    )
    ratio = compute_token_ratio(batch, fork_mask)
    token_policy, clipped = compute_token_surrogate(batch, fork_mask, ratio, objective.clip_low, objective.clip_high)
    policy_loss = token_policy.sum() / _at_least_one(num_response_tokens)

    low, high = compute_band_thresholds(
        batch.entropies,
        fork_mask,
        objective.band,
        low_quantile=objective.band_low_quantile,
        high_quantile=objective.band_high_quantile,
    )
    penalty = compute_band_penalty(
        batch.entropies, fork_mask, low, high, low_coef=objective.band_low_coef, high_coef=objective.band_high_coef
    )
    if objective.band_weight == "advantage":
        penalty = penalty * batch.advantages.abs().unsqueeze(1)
    band_loss = penalty.sum() / _at_least_one(num_response_tokens)

    token_kl, kl_loss = None, policy_loss.new_zeros(())
    if objective.kl_coef > 0:
        token_kl = estimate_token_kl(batch, fork_mask, ratio)
        kl_loss = objective.kl_coef * token_kl.sum() / _at_least_one(num_forks)

    return ObjectiveOutput(
        loss=policy_loss + band_loss + kl_loss,
        policy_loss=policy_loss.detach(),
        band_loss=band_loss.detach(),
        kl_loss=kl_loss.detach(),
        fork_mask=fork_mask,
        below_band=fork_mask & (batch.entropies.detach() < low.unsqueeze(1)),
        above_band=fork_mask & (batch.entropies.detach() > high.unsqueeze(1)),
        clipped=clipped,
        band_low=low,
        band_high=high,
        token_kl=None if token_kl is None else token_kl.detach(),
    )


def select_rows_with_gradient(advantages: Tensor, objective: Objective) -> Tensor:
    """Responses whose tokens can have a gradient: (B,) bool, at least one true, so that there is a backward pass.

    Without a band (or with one weighted by the advantage) and a KL anchor, a response of advantage 0 has none.
    """
    has_band = objective.band != "none" and max(objective.band_low_coef, objective.band_high_coef) > 0
    holds_entropy = has_band and objective.band_weight == "equal"
    if holds_entropy or objective.kl_coef > 0:
        return torch.ones_like(advantages, dtype=torch.bool)
    rows = advantages != 0
    rows[0] |= ~rows.any()
    return rows


def compute_token_ratio(batch: TokenBatch, fork_mask: Tensor) -> Tensor:
    """r_t = π(token) / π_old(token) at forks and 1 elsewhere: (B, T), with gradient."""
    logps = torch.where(fork_mask, batch.logps, 0.0)
    old_logps = logps.detach() if batch.old_logps is None else torch.where(fork_mask, batch.old_logps, 0.0)
    return (logps - old_logps).exp()


def compute_token_surrogate(
    batch: TokenBatch, fork_mask: Tensor, ratio: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """−min(r·Â, clip(r)·Â) at forks and 0 elsewhere, and where the clip cut the gradient: each (B, T)."""
    advantages = batch.advantages.unsqueeze(1)
    unclipped, clipped = ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages
    surrogate = torch.min(unclipped, clipped)
    if batch.importance_ratio is not None:
        surrogate = surrogate * batch.importance_ratio
    return -torch.where(fork_mask, surrogate, 0.0), fork_mask & (clipped < unclipped).detach()


def estimate_token_kl(batch: TokenBatch, fork_mask: Tensor, ratio: Tensor) -> Tensor:
    """r·(exp(Δ) − Δ − 1) with Δ = log π_ref − log π of the sampled token, at forks; 0 elsewhere: (B, T).

    The k3 estimate of KL(π ‖ π_ref) (Schulman 2020, "Approximating KL divergence"), which needs two log-probabilities
    only. With the ratio r its gradient is unbiased too, as TRL's `use_bias_correction_kl` (DeepSeek-V3.2, arXiv
    2512.02556). `compute_token_kl` is the exact sum over the vocabulary.
    """
    if batch.ref_logps is None:
        raise ValueError("kl_coef > 0 needs ref_logps, the sampled tokens' log-probabilities under the reference model")
    delta = torch.where(fork_mask, batch.ref_logps, 0.0) - torch.where(fork_mask, batch.logps, 0.0)
    return torch.where(fork_mask, ratio * (delta.exp() - delta - 1), 0.0)


def _at_least_one(count: Tensor | float) -> Tensor | float:
    """A step without a single response token has loss 0, not 0/0."""
    return count.clamp(min=1) if isinstance(count, Tensor) else max(count, 1.0)
