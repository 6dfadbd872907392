"""Self-certainty of every token, from hidden states: KL(uniform ‖ π) without a pass over the vocabulary.

    KL(U ‖ π) = −log V − mean_v log π(v) = (z_y − z̄)/τ − log π(y) − log V

for any token y: beside the sampled one's log-probability nothing is missing but its logit's lead over the mean logit,
and as logits are linear in the hidden state, that is the hidden state times the token's row less the mean row of the
LM head.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from trl.trainer.utils import maybe_gather_lm_head_ctx

from spine_rl.engine.lm_head import read_logit_scale


def find_certainty_obstacle(model: Any) -> str | None:
    """What keeps a model's logits from being linear in its hidden states, or None."""
    capped = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    return None if capped is None else f"its logits have a soft cap ({capped:g})"


@torch.no_grad()
def compute_logit_leads(model: Any, hidden: Tensor, targets: Tensor) -> Tensor:
    """z_y − z̄ of tokens (...), at temperature 1.

    Args:
        model: Its output embeddings, and the scale of logits that its configuration states, are used.
        hidden: (..., d) last hidden states, each of the position before its target.
        targets: (...) token ids y.
    """
    head, config = model.get_output_embeddings(), model.config.get_text_config()
    with maybe_gather_lm_head_ctx(head.weight, head.bias):
        mean_row = head.weight.float().mean(0)
        leads = (hidden.float() * (head.weight[targets].float() - mean_row)).sum(-1)
        if head.bias is not None:
            leads = leads + head.bias[targets].float() - head.bias.float().mean()
    return leads * read_logit_scale(config)


def compute_self_certainties(leads: Tensor, logps: Tensor, temperature: float, vocabulary: int) -> Tensor:
    """KL(U ‖ π) of each token's distribution, in nats, from its lead and its log-probability at the temperature."""
    return leads / temperature - logps.float() - math.log(vocabulary)


@contextmanager
def keep_logit_leads(model: Any, width: int) -> Iterator[list[Tensor]]:
    """Gathers the leads (b, width) of the last tokens of each of an unwrapped model's calls meanwhile."""
    kept: list[Tensor] = []

    def keep(_module: Any, _args: Any, inputs: Mapping[str, Any], output: Any) -> None:
        hidden = output.last_hidden_state[:, -width - 1 : -1]
        kept.append(compute_logit_leads(model, hidden, inputs["input_ids"][:, -width:]))

    handle = model.base_model.register_forward_hook(keep, with_kwargs=True)
    try:
        yield kept
    finally:
        handle.remove()
