"""transformers' `generate`: left-padded batches of prompts, each run once, and a random state of its own."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from spine_rl.evaluation.engines.base import Decoding, SampledResponse, cut_response, list_end_tokens
from spine_rl.evaluation.engines.entropy import measure_entropies
from spine_rl.models import get_context_length
from spine_rl.sharing.decode import generate_shared


class GenerateEngine:
    """A model and its tokenizer, as they are in memory; the model's mode and torch's random state are left alone.

    Prompts should come longest first: a batch is as wide as its longest, and memory runs out early or not at all.
    """

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase):
        self.model: PreTrainedModel = model
        self.tokenizer = tokenizer
        self.context = get_context_length(model)

    @torch.no_grad()
    def generate(self, prompts: Sequence[list[int]], decoding: Decoding) -> list[SampledResponse]:
        model: Any = self.model
        ends = list_end_tokens(model.generation_config, self.tokenizer)
        responses: list[SampledResponse] = []
        was_training = model.training
        model.eval()
        with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
            torch.manual_seed(decoding.seed)
            for start in range(0, len(prompts), decoding.batch_size):
                inputs, mask = self._pad_left(prompts[start : start + decoding.batch_size])
                output = generate_shared(
                    model,
                    model.generate,
                    input_ids=inputs.to(model.device),
                    attention_mask=mask.to(model.device),
                    eos_token_id=ends,
                    pad_token_id=self._pad_id,
                    **sampling_options(decoding),
                )
                rows = output[:, inputs.size(1) :].tolist()
                responses += [cut_response(ids, ends, self.tokenizer) for ids in rows]
        model.train(was_training)
        return responses

    def measure_entropies(
        self, prompts: Sequence[list[int]], responses: Sequence[SampledResponse], decoding: Decoding
    ) -> list[float]:
        return measure_entropies(self.model, prompts, [response.token_ids for response in responses], decoding)

    @property
    def _pad_id(self) -> int:
        pad, end = self.tokenizer.pad_token_id, self.tokenizer.eos_token_id
        return pad if pad is not None else end  # pyright: ignore[reportReturnType]

    def _pad_left(self, prompts: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(map(len, prompts))
        ids = torch.tensor([[self._pad_id] * (width - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        return ids, mask


def sampling_options(decoding: Decoding) -> dict[str, Any]:
    """Every option of `GenerationConfig` that decides what is drawn, so that none of a model's own defaults enters."""
    options = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if decoding.temperature > 0:
        options = {"do_sample": True, "temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": 0}
    return {"max_new_tokens": decoding.max_new_tokens, **options}
