"""Statistics of an optimiser step, summed over its micro-batches and processes before any ratio is taken."""

import math
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor

from spine_rl.objective import ObjectiveOutput, TokenBatch, widest_float


class StepStatistics:
    """Adds up micro-batches; `pop` gives the step's metrics, exact whatever the micro-batches were."""

    def __init__(self):
        self._sums: Tensor | None = None
        self._names: list[str] = []  # of the sums

    def add(self, batch: TokenBatch, output: ObjectiveOutput, gap: Tensor | None = None) -> None:
        """Adds a micro-batch; `gap` is (B, T) as `measure_sampler_gap` gives it."""
        summands = _summands(batch, output, gap)
        self._names = [*summands]
        sums = torch.stack([value.detach().to(widest_float(value.device)) for value in summands.values()])
        self._sums = sums if self._sums is None else self._sums + sums

    def pop(self, accelerator: Accelerator, *, kl: bool) -> dict[str, float]:
        """Metrics since the last call, over all processes; one collective."""
        assert self._sums is not None
        totals = cast(Tensor, accelerator.reduce(self._sums, reduction="sum")).tolist()
        self._sums = None
        total = dict(zip(self._names, totals, strict=True))
        tokens, forks = max(total["tokens"], 1.0), max(total["forks"], 1.0)
        outside = total["below_band"] + total["above_band"]
        metrics = {
            "entropy/all": total["entropy"] / tokens,
            "entropy/forks": total["fork_entropy"] / forks,
            "forks/share": total["forks"] / tokens,
            "forks/below_band": total["below_band"] / forks,
            "forks/in_band": (total["forks"] - outside) / forks,
            "forks/above_band": total["above_band"] / forks,
            "forks/clipped": total["clipped"] / forks,
            # Each process divides by its share of the step's tokens, as gradients are averaged over processes.
            "loss/policy": total["policy_loss"] / accelerator.num_processes,
            "loss/band": total["band_loss"] / accelerator.num_processes,
            "loss/kl": total["kl_loss"] / accelerator.num_processes,
        }
        if total["measured"] > 0:
            metrics["sampling/logp_gap"] = total["gap"] / total["measured"]
        if math.isfinite(total["band_high"]):
            rows = max(total["rows_with_forks"], 1.0)
            metrics |= {"band/low": total["band_low"] / rows, "band/high": total["band_high"] / rows}
        return metrics | ({"kl": total["kl"] / forks} if kl else {})


def measure_sampler_gap(logps: Tensor, inputs: dict[str, Any]) -> Tensor | None:
    """log π(token) of the update less the sampler's, (B, T), for the same weights; NaN where unknown, None if all are.

    Args:
        logps: (B, T) in the update.
        inputs: TRL's batch; where the weights have moved since, it holds what the update's were before.
    """
    drawn = inputs.get("sampling_per_token_logps")
    if drawn is None:
        return None
    before = inputs.get("old_per_token_logps")
    gap = (logps.detach() if before is None else before) - drawn
    return torch.where(inputs["completion_mask"].bool(), gap, torch.nan)


def _summands(batch: TokenBatch, output: ObjectiveOutput, gap: Tensor | None) -> dict[str, Tensor]:
    mask, has_forks = batch.completion_mask.bool(), output.fork_mask.any(1)
    nothing = output.loss.new_zeros(())
    return {
        "tokens": mask.sum(),
        "entropy": torch.where(mask, batch.entropies, 0.0).sum(),
        "forks": output.fork_mask.sum(),
        "fork_entropy": torch.where(output.fork_mask, batch.entropies, 0.0).sum(),
        "below_band": output.below_band.sum(),
        "above_band": output.above_band.sum(),
        "clipped": output.clipped.sum(),
        "rows_with_forks": has_forks.sum(),
        "band_low": torch.where(has_forks, output.band_low, 0.0).sum(),
        "band_high": torch.where(has_forks, output.band_high, 0.0).sum(),
        "kl": nothing if output.token_kl is None else output.token_kl.sum(),
        "policy_loss": output.policy_loss,
        "band_loss": output.band_loss,
        "kl_loss": output.kl_loss,
        "gap": nothing if gap is None else gap.abs().nansum(),
        "measured": nothing if gap is None else (~gap.isnan()).sum(),
    }
