"""What an engine takes and gives back: prompts in, responses out. Every engine is used through `Sampler`."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from transformers import PreTrainedTokenizerBase

from spine_rl.problems.visual_prompts import VisualPrompt

Prompt = list[int] | VisualPrompt


@dataclass(frozen=True)
class Decoding:
    """How responses are drawn.

    Attributes:
        max_new_tokens: Longest response.
        temperature: Of sampling, > 0; 0 decodes greedily.
        top_p: Nucleus of sampling, in (0, 1].
        batch_size: Responses at once.
        seed: Of sampling.
        more: What else transformers' `generate` is given, where a run is: `top_k`, `eos_token_id` and the like.
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    batch_size: int = 64
    seed: int = 0
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SampledResponse:
    """A response.

    Attributes:
        text: Without special tokens.
        token_ids: The end token included.
        truncated: Whether it ran into the length limit.
        entropy: Mean in nats of the distributions that its tokens were drawn from, at the sampling temperature and
            before top-p; 0 without tokens, None of a greedy response and where it is out of the engine's reach.
    """

    text: str
    token_ids: list[int]
    truncated: bool
    entropy: float | None = None


class Sampler(Protocol):
    """A model that can be sampled.

    Attributes:
        tokenizer: Renders and encodes prompts.
        processor: Of an image-text model, which renders its prompts; None where images are not taken.
        context: The model's, in tokens, where it states one.
    """

    tokenizer: PreTrainedTokenizerBase
    processor: Any
    context: int | None

    def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[SampledResponse]:
        """Draws a response to each prompt, in their order; a prompt may stand there several times.

        The same arguments give the same responses.
        """
        ...


def list_end_tokens(
    generation_config: Any, tokenizer: PreTrainedTokenizerBase, given: Mapping[str, Any] = {}
) -> list[int]:
    """Tokens that end a response: the model's, the tokenizer's, and those given, as transformers or vLLM name them."""
    return _flatten([generation_config.eos_token_id, tokenizer.eos_token_id, *list_given_ends(given)])


def list_given_ends(given: Mapping[str, Any]) -> list[int]:
    """Those among the options of a generation, as transformers or vLLM name them."""
    return _flatten([given.get(name) for name in ("eos_token_id", "stop_token_ids")])


def _flatten(several: Sequence[Any]) -> list[int]:
    lists = (ends if isinstance(ends, Sequence) else [ends] for ends in several)
    return [*dict.fromkeys(end for ends in lists for end in ends if isinstance(end, int))]


def cut_response(ids: list[int], ends: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> SampledResponse:
    """Cuts generated ids after their first end token; without one, the response is truncated."""
    length = next((position + 1 for position, token in enumerate(ids) if token in ends), None)
    kept = ids if length is None else ids[:length]
    text = tokenizer.decode(kept, skip_special_tokens=True)
    assert isinstance(text, str)
    return SampledResponse(text, kept, truncated=length is None)


def derive_seed(seed: int, first_row: int) -> int:
    """The seed of a batch, from the run's seed and the batch's first row; the first batch's is the run's own."""
    if first_row == 0:
        return seed
    return int.from_bytes(hashlib.blake2b(f"{seed} {first_row}".encode(), digest_size=4).digest()) >> 1  # 31 bits
