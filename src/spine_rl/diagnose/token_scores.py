"""Every token of a sampled response: its entropy, and what the model might have written instead."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from spine_rl.engine.models import eval_mode, keep_logits, learns_prompt
from spine_rl.engine.shared_batch import list_uncached_types
from spine_rl.objective import compute_logps_and_entropies, select_forks
from spine_rl.presets import FORK_FRACTION


@dataclass(frozen=True)
class TokenScores:
    """Of one response of T tokens, under the distributions that they were drawn from, before top-p.

    Attributes:
        entropies: (T,) in nats.
        token_ids: (T,) the tokens themselves.
        probabilities: (T,) of them.
        top_ids: (T, k) likeliest tokens, the likeliest first.
        top_probabilities: (T, k).
    """

    entropies: Tensor
    token_ids: Tensor
    probabilities: Tensor
    top_ids: Tensor
    top_probabilities: Tensor

    def select(self, selector: str, fraction: float = FORK_FRACTION) -> Tensor:
        """(T,) bool: the response's forks."""
        entropies, ids = self.entropies[None], self.token_ids[None]
        return select_forks(entropies, torch.ones_like(ids), selector, fraction=fraction, token_ids=ids)[0]


@torch.no_grad()
def score_responses(
    model: Any, prompt: Sequence[int], responses: Iterable[Sequence[int]], *, temperature: float = 1.0, top_k: int = 5
) -> Iterator[TokenScores]:
    """Scores responses to one prompt, which is run once; each result is on the CPU.

    Args:
        model: A causal model that `can_share_prompt`; its mode is left as it was.
        prompt: (P,) ids, at least one.
        responses: Ids of each.
        temperature: Of the distributions, > 0.
        top_k: Alternatives a token.
    """
    cache = DynamicCache()  # made without the configuration: layers with a sliding window keep the whole prompt too
    *known, last = prompt
    if known:
        _run(model, known, cache, 1)
    for response in responses:
        ids = [last, *response[:-1]]
        logits = _run(model, ids, cache, len(ids))[: len(response)]
        cache.crop(-len(ids))
        targets = torch.tensor(response, dtype=torch.long, device=logits.device)
        yield _score(logits.float(), targets, temperature, top_k)


def can_share_prompt(model: Any) -> bool:
    """Whether responses can go on from a prompt's cache: a language model whose layers all keep one, and all of it."""
    config = model.config
    is_language_model = config.get_text_config() is config and not config.is_encoder_decoder
    return is_language_model and not learns_prompt(model) and not list_uncached_types(config)


@torch.no_grad()
def score_tokens(
    model: Any, inputs: Mapping[str, Tensor], num_tokens: int, *, temperature: float = 1.0, top_k: int = 5
) -> TokenScores:
    """Scores a response by one forward pass of prompt and response; the result is on the CPU.

    Args:
        model: A causal or image-text-to-text model; its mode is left as it was.
        inputs: Of one row: a prompt of at least one token, and the response.
        num_tokens: T, the response's.
        temperature: Of the distributions, > 0.
        top_k: Alternatives a token.
    """
    inputs = {name: values.to(model.device) for name, values in inputs.items()}
    with eval_mode(model):
        logits = model(**inputs, **keep_logits(model, num_tokens + 1)).logits[0, -num_tokens - 1 : -1].float()
    targets = inputs["input_ids"][0, inputs["input_ids"].size(1) - num_tokens :]
    return _score(logits, targets, temperature, top_k)


def _run(model: Any, ids: Sequence[int], cache: DynamicCache, positions: int) -> Tensor:
    """Logits of the last `positions` of tokens that go on from the cache, to which they are added."""
    rows, kept = torch.tensor([ids], device=model.device), keep_logits(model, positions)
    with eval_mode(model):
        return model(rows, past_key_values=cache, use_cache=True, **kept).logits[0, -positions:]


def _score(logits: Tensor, targets: Tensor, temperature: float, top_k: int) -> TokenScores:
    """Of (T, V) logits and the (T,) tokens drawn from them."""
    logps, entropies = compute_logps_and_entropies(logits, targets, temperature)
    top = (logits / temperature).softmax(-1).topk(min(top_k, logits.size(-1)), dim=-1)
    return TokenScores(entropies.cpu(), targets.cpu(), logps.exp().cpu(), top.indices.cpu(), top.values.cpu())
