"""The LM head's statistics on a CPU: the logits of a few tokens and words at a time, small enough to stay in its cache.

One product and five passes over each tile, where the gradient is needed one product and three passes more. What is
kept of a tile is its log-sum-exp and its mean logit; log Z and the entropy follow from those. The gradient of the head
is added where it belongs: a second buffer of its size would take longer to clear than the products take.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

_WORDS, _TOKENS = 4096, 256  # of a tile
_FORKS = 256  # tokens whose gradients over the vocabulary are held at once


class Head(NamedTuple):
    """z = factor · (hidden · weightᵀ + bias), or cap · tanh(of it) with a cap.

    Attributes:
        weight: (V, d).
        bias: (V,) or None.
        factor: Of the logits; with a cap, of its argument.
        cap: A soft cap divided by the temperature, or None.
        dtype: Of the products.
        adds_in_place: The weight's gradient is added to `weight.grad` during the backward pass: only for a backward
            pass by `backward()`, with no one waiting for the gradient, as a wrapper for several processes does.
    """

    weight: Tensor
    bias: Tensor | None
    factor: float
    cap: float | None
    dtype: torch.dtype
    adds_in_place: bool

    def compute_logits(self, hidden: Tensor, weight: Tensor, start: int) -> Tensor:
        """Of the words from `start` on, in float32; `hidden` is scaled by the factor, both of `dtype`."""
        logits = torch.mm(hidden, weight.t()).float()
        if self.bias is not None:
            logits += self.bias[start : start + len(weight)].float() * self.factor
        return logits if self.cap is None else logits.tanh_().mul_(self.cap)

    def scale(self, hidden: Tensor) -> Tensor:
        return (hidden.float() * self.factor).to(self.dtype)


class CpuStatistics(torch.autograd.Function):
    """(hidden (N, d), weight, bias, targets (N,), head) → log-probabilities, entropies, each (N,) float32."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, head: Head):
        ctx.set_materialize_grads(False)
        scaled, words = head.scale(hidden), range(0, len(weight), _WORDS)
        log_sums, means = torch.empty(2, len(words), len(hidden)).unbind()
        of_targets = torch.empty(len(hidden))
        for part, start in enumerate(words):
            some = weight[start : start + _WORDS].to(head.dtype)
            for first in range(0, len(hidden), _TOKENS):
                tokens = slice(first, first + _TOKENS)
                logits = head.compute_logits(scaled[tokens], some, start)
                here, column = _find(targets[tokens], start, len(some))
                of_targets[first + here] = logits[here, column]
                largest = logits.amax(1)
                logits -= largest.unsqueeze(1)
                weights = logits.exp()
                total = weights.sum(1)
                log_sums[part, tokens] = total.log() + largest
                means[part, tokens] = weights.mul_(logits).sum(1) / total + largest
        log_z = log_sums.logsumexp(0)
        entropies = ((log_sums - log_z).exp() * (log_z - means)).sum(0)
        ctx.save_for_backward(hidden, weight, bias, targets, log_z, entropies)
        ctx.head = head
        return of_targets - log_z, entropies

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None):
        """Runs at the tokens with a gradient alone."""
        hidden, weight, bias, targets, log_z, entropies = ctx.saved_tensors
        of_logps, of_entropies = (torch.zeros_like(log_z) if grad is None else grad.float() for grad in grad_outputs)
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        grad_hidden = torch.zeros_like(hidden, dtype=torch.float32) if needs_hidden else None
        grad_weight = _find_buffer(weight, ctx.head.adds_in_place) if needs_weight else None
        grad_bias = torch.zeros_like(bias, dtype=torch.float32) if needs_bias else None
        rows = ((of_logps != 0) | (of_entropies != 0)).nonzero().squeeze(1)
        cast = weight.to(ctx.head.dtype) if len(rows) > 0 else weight
        for chosen in rows.split(_FORKS) if len(rows) > 0 else ():  # a split of nothing has a part, too
            upstream = (of_logps[chosen], of_entropies[chosen], log_z[chosen], entropies[chosen])
            grads = (grad_weight, grad_bias)
            found = _add_gradients(ctx.head, hidden[chosen], cast, targets[chosen], upstream, grads)
            if grad_hidden is not None:
                grad_hidden[chosen] = found
        return (
            None if grad_hidden is None else grad_hidden.to(hidden.dtype),
            None if grad_weight is None or grad_weight is weight.grad else grad_weight.to(weight.dtype),
            None if grad_bias is None else grad_bias.to(bias.dtype),
            None,
            None,
        )


def _add_gradients(
    head: Head,
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    upstream: tuple[Tensor, Tensor, Tensor, Tensor],
    grads: tuple[Tensor | None, Tensor | None],
) -> Tensor:
    """Adds to the gradients of weight and bias; returns that of some tokens' hidden states (n, d), float32.

    With ℓ = z − log Z, p = exp ℓ: ∂log p(target)/∂z = 1[target] − p, ∂H/∂z = −p · (ℓ + H).
    """
    of_logps, of_entropies, log_z, entropies = (values.unsqueeze(1) for values in upstream)
    grad_weight, grad_bias = grads
    scaled, constant = head.scale(hidden), of_logps + of_entropies * entropies
    # In 16 bits a product over all words is rounded once: rounded tile by tile its error would be a bias.
    whole = None if head.dtype == torch.float32 else torch.empty(len(hidden), len(weight), dtype=head.dtype)
    grad_hidden = torch.zeros_like(hidden, dtype=torch.float32)
    for start in range(0, len(weight), _WORDS):
        some = weight[start : start + _WORDS]
        words = slice(start, start + len(some))
        logits = head.compute_logits(scaled, some, start)
        slope = None if head.cap is None else (head.cap - logits.square() / head.cap)
        logits -= log_z
        grad = logits.exp()
        grad.mul_(logits.mul_(of_entropies).add_(constant).neg_())
        here, column = _find(targets, start, len(some))
        grad[here, column] += of_logps[here, 0]
        grad = grad if slope is None else grad.mul_(slope)
        if grad_bias is not None:
            grad_bias[words] += grad.sum(0) * head.factor
        cast = grad.to(head.dtype)
        if grad_weight is not None and head.dtype == grad_weight.dtype:
            grad_weight[words].addmm_(cast.t(), scaled)
        elif grad_weight is not None:
            grad_weight[words] += cast.t() @ scaled
        if whole is None:
            grad_hidden.addmm_(cast, some)
        else:
            whole[:, words] = cast
    grad_hidden = grad_hidden if whole is None else (whole @ weight).float()
    return grad_hidden * head.factor


def _find(targets: Tensor, start: int, size: int) -> tuple[Tensor, Tensor]:
    """Tokens whose target is one of `size` words from `start` on, and which."""
    here = ((targets >= start) & (targets < start + size)).nonzero().squeeze(1)
    return here, targets[here] - start


def _find_buffer(weight: Tensor, adds_in_place: bool) -> Tensor:
    if not adds_in_place:
        return torch.zeros_like(weight, dtype=torch.float32)
    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    return weight.grad
