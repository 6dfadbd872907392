"""Entropy of sampled tokens, where drawing them did not measure it: one forward pass over prompts and responses."""

from collections.abc import Callable, Sequence

import torch
from transformers import PreTrainedModel

from spine_rl.engine.models import eval_mode
from spine_rl.engine.progress import tell
from spine_rl.engine.sampler import Decoding, Prompt
from spine_rl.objective import compute_logps_and_entropies

Encode = Callable[[Sequence[Prompt]], dict[str, torch.Tensor]]

_MAX_LOGITS = 2**28  # of a batch, 1 GiB as float32: a vocabulary of 150,000 and 3,000 tokens are one row of it


@torch.no_grad()
def measure_entropies(
    model: PreTrainedModel,
    prompts: Sequence[Prompt],
    responses: Sequence[list[int]],
    decoding: Decoding,
    encode: Encode,
) -> list[float]:
    """Mean entropy in nats of the distributions that each response's tokens were drawn from, before top-p; 0 if empty.

    Args:
        model: The model that drew them; its mode is left as it was.
        prompts: A row a response.
        responses: Token ids.
        decoding: Its temperature and its batch size.
        encode: Gives the model's inputs for some prompts, left-padded.
    """
    means = [0.0] * len(prompts)
    order = sorted(
        (index for index, response in enumerate(responses) if response),
        key=lambda index: -len(prompts[index]) - len(responses[index]),
    )
    with eval_mode(model):
        while order:
            tell("entropies", len(prompts) - len(order), len(prompts), "responses")
            width = len(prompts[order[0]]) + len(responses[order[0]])
            size = min(decoding.batch_size, max(1, _MAX_LOGITS // (width * model.config.get_text_config().vocab_size)))
            batch, order = order[:size], order[size:]
            sums = _sum_entropies(model, [(prompts[index], responses[index]) for index in batch], decoding, encode)
            for index, total in zip(batch, sums, strict=True):
                means[index] = total / len(responses[index])
    tell("entropies", 1, 1)
    return means


def _sum_entropies(
    model: PreTrainedModel, rows: Sequence[tuple[Prompt, list[int]]], decoding: Decoding, encode: Encode
) -> list[float]:
    """Sum over the response's tokens, a row each: prompts padded on the left, responses on the right."""
    inputs = encode([prompt for prompt, _ in rows])
    width = max(len(response) for _, response in rows)
    lengths = torch.tensor([len(response) for _, response in rows]).unsqueeze(1)
    responses = torch.tensor([response + [0] * (width - len(response)) for _, response in rows])
    is_response = torch.arange(width) < lengths
    added = {"input_ids": responses, "attention_mask": is_response.long()}
    added |= {name: torch.zeros_like(responses) for name in inputs if name.endswith("token_type_ids")}
    inputs = inputs | {name: torch.cat([inputs[name], values], dim=1) for name, values in added.items()}
    if isinstance(rows[0][0], list):  # image-text models find positions themselves
        inputs["position_ids"] = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
    inputs = {name: values.to(model.device) for name, values in inputs.items()}
    logits = model(**inputs).logits[:, -width - 1 : -1]
    _, entropies = compute_logps_and_entropies(logits, responses.to(logits.device), decoding.temperature or 1.0)
    entropies = entropies.cpu()  # not every device has float64
    return torch.where(is_response, entropies, torch.zeros_like(entropies)).double().sum(1).tolist()
