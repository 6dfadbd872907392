"""Self-certainty of every token, from hidden states: KL(uniform ‖ π) without a pass over the vocabulary.

    KL(U ‖ π) = −log V − mean_v log π(v) = (z_y − z̄)/τ − log π(y) − log V

for any token y: with the sampled one's logit z_y and log-probability nothing is missing but the mean logit z̄, and that is
the hidden state times the mean row of the LM head, as logits are linear in it.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from trl.trainer.utils import maybe_gather_lm_head_ctx


def find_certainty_obstacle(model: Any) -> str | None:
    """What keeps a model's logits from being linear in its hidden states, or None."""
    capped = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    return None if capped is None else f"its logits have a soft cap ({capped:g}), so that their mean is not that of rows"


def compute_self_certainties(model: Any, hidden: Tensor, targets: Tensor, logps: Tensor, temperature: float) -> Tensor:
    """Of tokens, in nats.

    Args:
        model: Its output embeddings, and the scale of logits that its configuration states, are used.
        hidden: (..., d) last hidden states, each of the position before its target.
        targets: (...) token ids.
        logps: (...) log-probabilities of the targets at the temperature.
        temperature: Sampling temperature, > 0.
    """
    head, config = model.get_output_embeddings(), model.config.get_text_config()
    scale = getattr(config, "logit_scale", None)
    if scale is None:
        scale = 1 / (getattr(config, "logits_scaling", None) or 1.0)
    with torch.no_grad(), maybe_gather_lm_head_ctx(head.weight, head.bias):
        above = head.weight[targets].float() - head.weight.float().mean(0)
        lead = (hidden.float() * above).sum(-1)
        if head.bias is not None:
            lead = lead + head.bias[targets].float() - head.bias.float().mean()
    return scale / temperature * lead - logps.float() - math.log(len(head.weight))


@contextmanager
def keep_hidden_states(model: Any) -> Iterator[list[Tensor]]:
    """Gathers the last hidden states (B, L, d) of every call of an unwrapped model meanwhile."""
    kept: list[Tensor] = []

    def keep(_module: Any, _args: Any, output: Any) -> None:
        kept.append(output.last_hidden_state)

    handle = model.base_model.register_forward_hook(keep)
    try:
        yield kept
    finally:
        handle.remove()
