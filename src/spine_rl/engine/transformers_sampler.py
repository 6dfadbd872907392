"""transformers' `generate`: left-padded batches of prompts, each run once, and a random state of its own."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

from spine_rl.engine.generation import Generator
from spine_rl.engine.models import eval_mode, get_context_length, get_tokenizer
from spine_rl.engine.own_sampling import sampling_as_asked
from spine_rl.engine.sampler import Decoding, Prompt, SampledResponse, cut_response, list_end_tokens
from spine_rl.engine.sampler_entropy import measure_entropies
from spine_rl.problems.visual_prompts import VisualPrompt, encode_visual_prompts, render_visual_prompt


class TransformersSampler:
    """A model and its tokenizer or processor, in memory; the model's mode and torch's random state are left alone.

    Args:
        model: A causal or image-text-to-text model of transformers.
        processing_class: Its tokenizer or processor.
        generation_dtype: Of the weights, as `Generator` takes it.

    Prompts should come longest first: a batch is as wide as its longest, and memory runs out early or not at all.
    """

    def __init__(
        self,
        model: Any,
        processing_class: PreTrainedTokenizerBase | ProcessorMixin,
        generation_dtype: str = "auto",
    ):
        self.generator = Generator(model, generation_dtype)
        self.model: PreTrainedModel = model
        self.tokenizer = get_tokenizer(processing_class)
        self.processor: Any = processing_class if isinstance(processing_class, ProcessorMixin) else None
        self.context = get_context_length(model)

    @torch.no_grad()
    def generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[SampledResponse]:
        model: Any = self.model
        ends = list_end_tokens(model.generation_config, self.tokenizer, decoding.more)
        options = {**self._suppress_images(), **sampling_options(decoding, ends, self._pad_id)}
        responses: list[SampledResponse] = []
        self.generator.with_entropies = decoding.temperature > 0
        devices = [model.device] if model.device.type == "cuda" else []
        with eval_mode(model), torch.random.fork_rng(devices), sampling_as_asked(model):
            torch.manual_seed(decoding.seed)
            for start in range(0, len(prompts), decoding.batch_size):
                batch = prompts[start : start + decoding.batch_size]
                inputs = self.encode(batch)
                output = self.generator(**{name: value.to(model.device) for name, value in inputs.items()}, **options)
                rows = output[:, inputs["input_ids"].size(1) :].tolist()
                drawn = [cut_response(ids, ends, self.tokenizer) for ids in rows]
                responses += self._add_entropies(batch, drawn, decoding, self.generator.entropies)
        return responses

    def _add_entropies(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[SampledResponse],
        decoding: Decoding,
        measured: torch.Tensor | None = None,
    ) -> list[SampledResponse]:
        """From those that each token was drawn at (B, T), or else by a forward pass; greedy responses get none."""
        if decoding.temperature == 0:
            return [*responses]
        ids = [response.token_ids for response in responses]
        if measured is None:
            means = measure_entropies(self.model, prompts, ids, decoding, self.encode)
        else:
            rows = zip(measured.double().cpu(), ids, strict=True)
            means = [row[: len(tokens)].sum().item() / max(1, len(tokens)) for row, tokens in rows]
        return [replace(response, entropy=mean) for response, mean in zip(responses, means, strict=True)]

    def encode(self, prompts: Sequence[Prompt]) -> dict[str, torch.Tensor]:
        """Left-padded inputs of the model."""
        visual = [prompt for prompt in prompts if isinstance(prompt, VisualPrompt)]
        if visual:
            return encode_visual_prompts(self.processor, visual)
        return self._pad_left([prompt for prompt in prompts if isinstance(prompt, list)])

    def render(self, prompt: Prompt) -> str:
        """A prompt as text, with its special tokens; a picture is one of them."""
        if isinstance(prompt, VisualPrompt):
            return render_visual_prompt(self.processor, prompt)
        return str(self.tokenizer.decode(prompt))

    @property
    def _pad_id(self) -> int:
        pad, end = self.tokenizer.pad_token_id, self.tokenizer.eos_token_id
        return pad if pad is not None else end  # pyright: ignore[reportReturnType]

    def _suppress_images(self) -> dict[str, Any]:
        """As in training: a drawn image token would have no picture."""
        token = getattr(self.model.config, "image_token_id", None)
        return {"suppress_tokens": [token]} if self.processor is not None and token is not None else {}

    def _pad_left(self, prompts: Sequence[list[int]]) -> dict[str, torch.Tensor]:
        width = max(map(len, prompts))
        ids = torch.tensor([[self._pad_id] * (width - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        return {"input_ids": ids, "attention_mask": mask}


def sampling_options(decoding: Decoding, ends: Sequence[int], pad: int) -> dict[str, Any]:
    """What `generate` is asked for; responses end with `ends`, and are padded after them."""
    options = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "min_p": None}
    if decoding.temperature > 0:
        options = {"do_sample": True, "temperature": decoding.temperature, "top_p": decoding.top_p}
        options["top_k"] = decoding.more.get("top_k", 0)
    length = {"max_new_tokens": decoding.max_new_tokens}
    return {**decoding.more, **length, **options, "eos_token_id": list(ends), "pad_token_id": pad}
