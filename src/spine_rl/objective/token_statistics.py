"""Log-probability, entropy and KL of every token: exact sums over the vocabulary, in float32 or better, in nats."""

import torch
from torch import Tensor


def widest_float(device: torch.device) -> torch.dtype:
    """float64 where the device has it; Apple's GPUs do not."""
    return torch.float32 if device.type == "mps" else torch.float64


def compute_logps_and_entropies(logits: Tensor, targets: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probability of each target and entropy H = −Σ_v π(v) log π(v) of its distribution.

    Args:
        logits: (..., V) of any floating dtype; −inf marks an impossible token. Statistics are taken in float32,
            or in float64 where the logits are.
        targets: (...) token ids.
        temperature: Sampling temperature, > 0; the statistics are those of the distribution sampled from.

    Returns:
        logps and entropies, each (...), in nats; both carry gradients.
    """
    log_probs = _log_softmax(logits, temperature)
    logps = log_probs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return logps, -_expectation(log_probs, log_probs)


def compute_token_kl(logits: Tensor, ref_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(π ‖ π_ref) of each token's distribution, exact over the vocabulary.

    Args:
        logits: (..., V), the policy's.
        ref_logits: (..., V), the reference model's; finite wherever the policy's are.
        temperature: Sampling temperature, > 0, of both.

    Returns:
        (...) in nats, with the gradient of `logits`; the reference's is cut.
    """
    log_probs = _log_softmax(logits, temperature)
    ref_log_probs = _log_softmax(ref_logits.detach(), temperature)
    return _expectation(log_probs, log_probs - ref_log_probs)


def _log_softmax(logits: Tensor, temperature: float) -> Tensor:
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return (precise / temperature).log_softmax(-1)


def _expectation(log_probs: Tensor, values: Tensor) -> Tensor:
    """Σ_v π(v)·values(v); impossible tokens (log-probability −inf) add nothing, to the gradient neither."""
    possible = log_probs > -torch.inf
    return (log_probs.exp() * torch.where(possible, values, 0.0)).sum(-1)
