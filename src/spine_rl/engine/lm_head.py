"""Log-probabilities and entropies of every token, with the LM head's backward pass only at tokens that have a gradient.

Exact: both statistics of a token depend on that token's logits alone, so a token whose two incoming gradients are zero
adds nothing to the gradient of the hidden states or of the head. With SPINE a fifth of the tokens are forks, and the
backward pass, which costs three matrix products a token to the forward's one, runs on those.
"""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from trl.kernels import ChunkedLogProbFunction
from trl.trainer.utils import maybe_gather_lm_head_ctx

from spine_rl.engine.cpu_head import CpuStatistics, Head

VOCABULARY_CHUNK = 32768  # of the logits that are held at once, in tokens of the vocabulary


def score_tokens(
    model: Any,
    hidden: Tensor,
    targets: Tensor,
    *,
    temperature: float,
    in_float32: bool = False,
    adds_in_place: bool = False,
) -> tuple[Tensor, Tensor]:
    """Scores sampled tokens; the logits are never held whole.

    Args:
        model: Its output embeddings, and the scale and soft cap of logits that its configuration states, are used.
        hidden: (N, d) last hidden states, each of the position before its target.
        targets: (N,) token ids.
        temperature: Sampling temperature, > 0.
        in_float32: Logits too, where autocast would have them in 16 bits.
        adds_in_place: On a CPU the head's gradient may be added to `weight.grad` itself (`cpu_head.Head`).

    Returns:
        Log-probabilities and entropies in nats, each (N,) float32.
    """
    head, config = model.get_output_embeddings(), model.config.get_text_config()
    weights: Any = (head.weight, head.bias)
    weight, bias = [p.full_tensor() if isinstance(p, DTensor) else p for p in weights]
    scale = read_logit_scale(config)
    if in_float32:
        hidden = hidden.float()
    cap = getattr(config, "final_logit_softcapping", None)
    hidden, targets = hidden.to(weight.device), targets.to(weight.device)
    autocast = torch.autocast(hidden.device.type, enabled=False) if in_float32 else nullcontext()
    with autocast, maybe_gather_lm_head_ctx(weight, bias):  # pyright: ignore[reportArgumentType]
        if hidden.device.type == "cpu":
            head = Head(
                weight,
                bias,
                scale / (cap or temperature),
                None if cap is None else cap / temperature,
                torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else hidden.dtype,
                adds_in_place=adds_in_place and weight.is_leaf and weight.dtype == torch.float32,
            )
            return cast(tuple[Tensor, Tensor], CpuStatistics.apply(hidden, weight, bias, targets, head))
        logps, entropies, *_ = _ForksOnlyBackward.apply(
            hidden, weight, bias, targets, temperature, VOCABULARY_CHUNK, cap, scale, ("log_probs", "entropy")
        )
    return logps, entropies


def read_logit_scale(config: Any) -> float:
    """What a model multiplies its logits by, from its text configuration; families have names of their own for it."""
    for name in ("logit_scale", "output_multiplier", "lm_head_multiplier"):
        if getattr(config, name, None) is not None:
            return getattr(config, name)
    scaling = getattr(config, "logits_scaling", None) or 1.0
    return scaling if config.model_type == "hyperclovax" else 1 / scaling  # others divide by it


class _ForksOnlyBackward(ChunkedLogProbFunction):
    @staticmethod
    def backward(ctx: Any, grad_logps: Tensor | None, grad_entropies: Tensor | None, *_: Any):  # pyright: ignore
        hidden, weight, bias, targets, log_z, entropies = ctx.saved_tensors
        given = [grad for grad in (grad_logps, grad_entropies) if grad is not None]
        rows = torch.stack([grad != 0 for grad in given]).any(0).nonzero().squeeze(1)
        context = SimpleNamespace(
            saved_tensors=(hidden[rows], weight, bias, targets[rows], log_z[rows], entropies[rows]),
            compute_dtype=ctx.compute_dtype,
            chunk_size=ctx.chunk_size,
            kernel_args=ctx.kernel_args,
            needs_input_grad=ctx.needs_input_grad,
        )
        grads = [None if grad is None else grad[rows] for grad in (grad_logps, grad_entropies)]
        grad_hidden, *others = ChunkedLogProbFunction.backward(context, *grads)
        if grad_hidden is not None:
            grad_hidden = torch.zeros_like(hidden).index_copy(0, rows, grad_hidden)
        return grad_hidden, *others
