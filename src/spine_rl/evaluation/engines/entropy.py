"""Entropy of sampled tokens: one forward pass over prompts with their responses."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from spine_rl.evaluation.engines.base import Decoding
from spine_rl.objective import compute_logps_and_entropies

_MAX_LOGITS = 2**28  # of a batch, 1 GiB as float32: a vocabulary of 150,000 and 3,000 tokens are one row of it


@torch.no_grad()
def measure_entropies(
    model: PreTrainedModel, prompts: Sequence[list[int]], responses: Sequence[list[int]], decoding: Decoding
) -> list[float]:
    """Mean entropy in nats of the distributions that each response's tokens were drawn from, before top-p; 0 if empty.

    Args:
        model: The model that drew them; its mode is left as it was.
        prompts: Token ids, a row a response.
        responses: Token ids.
        decoding: Its temperature and its batch size.
    """
    means = [0.0] * len(prompts)
    order = sorted(
        (index for index, response in enumerate(responses) if response),
        key=lambda index: -len(prompts[index]) - len(responses[index]),
    )
    was_training = model.training
    model.eval()
    while order:
        width = len(prompts[order[0]]) + len(responses[order[0]])
        size = min(decoding.batch_size, max(1, _MAX_LOGITS // (width * model.config.get_text_config().vocab_size)))
        batch, order = order[:size], order[size:]
        sums = _sum_entropies(model, [(prompts[index], responses[index]) for index in batch], width, decoding)
        for index, total in zip(batch, sums, strict=True):
            means[index] = total / len(responses[index])
    model.train(was_training)
    return means


def _sum_entropies(
    model: PreTrainedModel, rows: Sequence[tuple[list[int], list[int]]], width: int, decoding: Decoding
) -> list[float]:
    """Sum over the response's tokens, a row each; right-padded to `width`."""
    ids = torch.tensor(
        [[*prompt, *response] + [0] * (width - len(prompt) - len(response)) for prompt, response in rows]
    )
    starts = torch.tensor([len(prompt) for prompt, _ in rows]).unsqueeze(1)
    attended = torch.tensor([len(prompt) + len(response) for prompt, response in rows]).unsqueeze(1)
    positions = torch.arange(width)
    ids, mask = ids.to(model.device), (positions < attended).long().to(model.device)
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
    _, entropies = compute_logps_and_entropies(logits, ids[:, 1:], decoding.temperature or 1.0)
    is_response = ((positions[1:] >= starts) & (positions[1:] < attended)).to(model.device)
    entropies = torch.where(is_response, entropies, torch.zeros_like(entropies)).cpu()  # not every device has float64
    return entropies.double().sum(1).tolist()
