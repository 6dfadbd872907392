"""Means over each response's tokens that a label rule reads, where they come from, and what they cost.

- `mean_logps`: what the sampler drew with, at no cost; where it does not say, the pass for entropies.
- `mean_entropies`: a forward pass over the generation batch without gradient, each prompt once per problem.
- `self_certainties`: a plain forward pass, each prompt once per response.

An update runs the same forward pass, and a backward pass after it. Rounding makes means differ by about 5e-7 nats
between micro-batches; where responses differ by little more, the advantage's standard deviation enlarges it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from spine_rl.engine.certainty import compute_self_certainties, find_certainty_obstacle, keep_logit_leads
from spine_rl.engine.models import eval_mode
from spine_rl.errors import ConfigError
from spine_rl.training.shared_scoring import unwrap_model


def measure_responses(trainer: Any, batch: dict[str, Any], needs: Sequence[str]) -> list[dict[str, float]]:
    """Statistics of each of this process's responses, by name.

    Args:
        trainer: A `SpineTrainer`.
        batch: Its generation batch.
        needs: Of `spine_rl.voting.STATISTICS`.

    Raises:
        ConfigError: The model cannot tell.
    """
    mask = batch["completion_mask"].bool()
    drawn = batch.get("sampling_per_token_logps")
    tokens: dict[str, Tensor] = {}
    with trainer.clock.phase("forward"), torch.no_grad():
        if "mean_logps" in needs and _is_known_everywhere(trainer.accelerator, drawn, mask):
            assert drawn is not None
            tokens["mean_logps"] = drawn
        if "mean_entropies" in needs or ("mean_logps" in needs and not tokens):
            with eval_mode(trainer.model):
                logps, entropies, _ = trainer.score_tokens(trainer.model, batch)
            tokens = {"mean_logps": logps, "mean_entropies": entropies, **tokens}
        if "self_certainties" in needs:
            tokens["self_certainties"] = _measure_certainties(trainer, batch)
    means = {name: average_tokens(tokens[name], mask).tolist() for name in needs}
    return [dict(zip(means, values, strict=True)) for values in zip(*means.values(), strict=True)]


def _is_known_everywhere(accelerator: Any, drawn: Tensor | None, mask: Tensor) -> bool:
    """Whether every process has what its sampler drew with; else all run the forward pass, which has collectives."""
    known = drawn is not None and not bool(drawn[mask].isnan().any())
    return bool(accelerator.gather(torch.tensor([known], device=mask.device)).all())


def average_tokens(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of each row's masked values (B,), in float64 where the device has it; 0 of an empty row."""
    kept = torch.where(mask, values, 0.0).cpu().double()
    return kept.sum(1) / mask.sum(1).cpu().clamp(min=1)


def _measure_certainties(trainer: Any, batch: dict[str, Any]) -> Tensor:
    model = unwrap_model(trainer.model)
    obstacle = find_certainty_obstacle(model)
    if obstacle is not None:
        raise ConfigError(f"label_rule={trainer.args.label_rule!r} cannot read this model: {obstacle}")
    width = batch["completion_ids"].size(1)
    with eval_mode(trainer.model), keep_logit_leads(model, width) as leads:
        logps = trainer.score_plainly(trainer.model, batch)
    vocabulary = len(model.get_output_embeddings().weight)
    return compute_self_certainties(torch.cat(leads), logps, trainer.args.temperature, vocabulary)
