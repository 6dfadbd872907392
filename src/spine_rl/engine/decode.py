"""The decoding loop: each prompt is run once, however many samples are drawn; responses that have ended leave.

`generate` of transformers goes on preparing inputs, image features, logits processors and stopping criteria; it is
given the distinct prompts and this loop. Each row draws its tokens by random numbers of its own, so what it draws does
not depend on which others have left.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from spine_rl.engine.draw import Draw
from spine_rl.engine.growing_cache import GrowingLayer
from spine_rl.engine.images import IMAGE_INPUTS
from spine_rl.engine.progress import tell
from spine_rl.errors import ModelError
from spine_rl.objective import widest_float

_LEAVE_TOGETHER = 1 / 4  # share of the rows that have ended, at which they leave: leaving copies the cache


@dataclass(frozen=True)
class Decoded:
    """Responses as drawn.

    Attributes:
        tokens: (B, P + T) prompts and responses, padded after each.
        logps: (B, T) log-probabilities of their tokens as `Draw` gives them, float32; 0 after each response.
        lengths: (B,) tokens of each response, the end token included.
    """

    tokens: Tensor
    logps: Tensor
    lengths: Tensor


class Responses:
    """What is drawn of B responses, by row; written by a decoding loop that may let rows leave."""

    def __init__(self, prompts: Tensor, longest: int, pad: int):
        width = prompts.size(1)
        self.width, self.longest, self._pad = width, longest, pad
        self._tokens = prompts.new_full((len(prompts), width + longest), pad)
        self._tokens[:, :width] = prompts
        self._logps = torch.zeros(len(prompts), longest, device=prompts.device)
        self._lengths = torch.zeros_like(prompts[:, 0])
        # A random number for each token, in advance: which rows have left, or run together, changes none.
        exact = widest_float(prompts.device)
        self._uniforms = torch.rand(longest, len(prompts), dtype=exact, device=prompts.device)
        self.rows = torch.arange(len(prompts), device=prompts.device)  # those not yet left
        self.running = torch.ones_like(self.rows, dtype=torch.bool)  # of these, not ended
        self.length = 0

    @property
    def tokens(self) -> Tensor:
        """(rows, P + length) of the rows not yet left."""
        return self._tokens[self.rows, : self.width + self.length]

    @property
    def uniforms(self) -> Tensor:
        return self._uniforms[self.length, self.rows]

    def add(self, drawn: Tensor, logps: Tensor) -> None:
        """A token a row."""
        if self.length == 0 and not logps.isfinite().all():
            raise ModelError("the model's logits are not finite: its weights are broken, or training has diverged")
        running, column = self.rows[self.running], self.length
        self._tokens[running, self.width + column] = drawn[self.running]
        self._logps[running, column] = logps[self.running]
        self._lengths[running] += 1
        self.length += 1
        tell("generate", self.length * len(self._tokens), self.longest * len(self._tokens), "tokens")

    def end(self, ended: Tensor) -> None:
        """Rows among those not yet left that have their last token."""
        self.running = self.running & ~ended

    @property
    def are_complete(self) -> bool:
        return self.length == self.longest or not bool(self.running.any())

    def leave(self) -> Tensor:
        """Lets those that have ended go; gives the positions of the others among those not yet left."""
        staying = self.running.nonzero().squeeze(1)
        self.rows, self.running = self.rows[staying], self.running[staying]
        return staying

    def finish(self) -> Decoded:
        tell("generate", 1, 1)
        stop = self.width + self.length
        return Decoded(self._tokens[:, :stop].clone(), self._logps[:, : self.length].clone(), self._lengths)


@torch.inference_mode()
def decode_groups(
    model: Any,
    input_ids: Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    *,
    group_index: Tensor,
    **model_kwargs: Any,
) -> Decoded:
    """A decoding loop as `generate(custom_generate=...)` takes it, with several rows a prompt.

    Args:
        model: A causal or image-text-to-text model.
        input_ids: (n, P) distinct prompts, left-padded.
        logits_processor: As prepared by `generate`, like all that follows.
        stopping_criteria: By row.
        generation_config: Of sampling or greedy decoding.
        group_index: (B,) the prompt of each row.
        model_kwargs: Inputs of the model, n rows.
    """
    responses = Responses(
        input_ids[group_index], generation_config.max_length - input_ids.size(1), generation_config.pad_token_id or 0
    )
    draw = Draw(logits_processor, generation_config.do_sample, group_index)
    outputs, model_kwargs = run_prompts(model, input_ids, group_index, model_kwargs)
    cache, logits = outputs.past_key_values, outputs.logits[:, -1][group_index]
    while True:
        responses.add(*draw(responses.tokens, logits, responses.uniforms))
        tokens = responses.tokens
        responses.end(stopping_criteria(tokens, None))
        if responses.are_complete:
            return responses.finish()
        model_kwargs = model._update_model_kwargs_for_generation(outputs, model_kwargs)
        if responses.running.sum() <= (1 - _LEAVE_TOGETHER) * len(tokens):
            staying = responses.leave()
            cache.batch_select_indices(staying)
            draw.select_rows(staying)
            model_kwargs, tokens = _select_rows(model_kwargs, staying), tokens[staying]
        inputs = model.prepare_inputs_for_generation(tokens, next_sequence_length=1, **model_kwargs)
        outputs = model(**inputs, return_dict=True)
        logits = outputs.logits[:, -1]


def run_prompts(
    model: Any, input_ids: Tensor, group_index: Tensor, model_kwargs: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Runs each prompt once; gives the outputs, their cache repeated for each row, and the inputs of the rows."""
    model_kwargs = model_kwargs | {"past_key_values": Cache(layer_class_to_replicate=GrowingLayer)}
    inputs = model.prepare_inputs_for_generation(input_ids, is_first_iteration=True, **model_kwargs)
    outputs = model(**inputs, return_dict=True)
    outputs.past_key_values.batch_select_indices(group_index)
    return outputs, _select_rows(model_kwargs, group_index)


def _select_rows(kwargs: dict[str, Any], rows: Tensor) -> dict[str, Any]:
    """Inputs by row, for the steps after the first, which need no images; multimodal positions are (3 or 4, B, T)."""
    kept = {name: value for name, value in kwargs.items() if name not in ("mm_encoder_outputs", *IMAGE_INPUTS)}
    return kept | {
        name: value[:, rows] if name == "position_ids" and value.dim() == 3 else value[rows]
        for name, value in kept.items()
        if isinstance(value, Tensor) and value.dim() > 0
    }
