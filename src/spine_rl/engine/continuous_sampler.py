"""transformers' continuous batching: a response that ends makes room for the next, and nothing is padded."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig

from spine_rl.engine.models import eval_mode
from spine_rl.engine.sampler import Decoding, Prompt, SampledResponse, cut_response, list_end_tokens
from spine_rl.engine.transformers_sampler import TransformersSampler, sampling_options
from spine_rl.errors import ModelError

_PAGE = 32  # tokens of a cache page, where the cache is sized here


class ContinuousSampler(TransformersSampler):
    """`generate_batch` of a model in memory; `batch_size` responses share the cache at most."""

    def __init__(self, model: Any, processing_class: Any):
        super().__init__(model, processing_class)
        self.processor = None  # text only

    @torch.no_grad()
    def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[SampledResponse]:
        model: Any = self.model
        ends = list_end_tokens(model.generation_config, self.tokenizer, decoding.more)
        device = model.device
        with eval_mode(model), torch.random.fork_rng([device] if device.type == "cuda" else []):
            outputs = model.generate_batch(
                list(prompts),
                generation_config=GenerationConfig(**sampling_options(decoding, ends, self._pad_id)),
                continuous_batching_config=self._configure(prompts, decoding),
                progress_bar=False,
            )
        failed = next((output.error for output in outputs.values() if output.error is not None), None)
        if failed is not None or len(outputs) < len(prompts):
            raise ModelError(
                f"continuous batching failed ({failed or 'responses are missing'}); take --engine transformers, or a "
                "smaller --batch-size"
            )
        drawn = [cut_response(output.generated_tokens, ends, self.tokenizer) for output in outputs.values()]
        return self._add_entropies(prompts, drawn, decoding)

    def _configure(self, prompts: Sequence[Prompt], decoding: Decoding) -> ContinuousBatchingConfig:
        config = ContinuousBatchingConfig(seed=decoding.seed, max_requests_per_batch=decoding.batch_size)
        if self.model.device.type != "cuda":  # elsewhere transformers cannot infer the cache's size from free memory
            longest = max(map(len, prompts))
            requests = min(decoding.batch_size, len(prompts))
            config.page_size = _PAGE
            config.num_blocks = requests * (math.ceil((longest + decoding.max_new_tokens) / _PAGE) + 1)
            config.max_batch_tokens = max(longest, 16 * requests)
        return config
