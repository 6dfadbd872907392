"""Generation that runs each prompt once, however many samples are drawn, and lets go of responses that have ended.

`generate` of transformers goes on preparing inputs, image features, logits processors and stopping criteria; it is
given the distinct prompts and this module's decoding loop. Each row draws its tokens independently, so samples are
distributed as those of separate rows; the random numbers fall differently, so the same seed gives other samples.
"""

import copy
import functools
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicLayer
from transformers.generation import GenerationMode

from spine_rl.engine.groups import group_rows
from spine_rl.engine.images import IMAGE_INPUTS, cut_by_row

_HEADROOM = 64  # tokens that a cache can grow by before it is copied
_LEAVE_TOGETHER = 1 / 4  # share of the rows that have ended, at which they leave: leaving copies the cache


def add_shared_generation(model: Any) -> None:
    """Lets `model.generate` of a causal or image-text-to-text model be `generate_shared`."""
    original = model.generate

    @functools.wraps(original)
    def generate(self: Any, *args: Any, **kwargs: Any) -> Any:
        return generate_shared(self, original, *args, **kwargs)

    model.generate = types.MethodType(generate, model)


def generate_shared(
    model: Any, original: Callable[..., Any], inputs: Tensor | None = None, *args: Any, **kwargs: Any
) -> Any:
    """`generate`, with each distinct prompt run once; calls that are not served go transformers' own way.

    Served are sampling and greedy decoding from `input_ids`, with inputs of which it is known whose row they are, by
    models whose layers keep keys and values.

    Args:
        model: A causal or image-text-to-text model.
        original: Its own `generate`.
        inputs: As of `generate`, like all that follows.
        args: Passed on.
        kwargs: Inputs and options.
    """
    input_ids = kwargs.pop("input_ids", inputs)
    if args or input_ids is None or not _serves(model, kwargs):
        return original(input_ids, *args, **kwargs)
    rows = cut_by_row(model, input_ids, _tensors(kwargs))
    if rows is None:
        return original(input_ids, *args, **kwargs)
    mask = kwargs.get("attention_mask")
    mask = torch.ones_like(input_ids) if mask is None else mask
    groups = group_rows(input_ids, mask, [values for name, values in rows.items() if name != "attention_mask"])
    first = groups.first.tolist()
    kwargs |= {name: torch.cat([values[row] for row in first]) for name, values in rows.items()}
    decode = functools.partial(decode_groups, group_index=groups.index)
    tokens = original(input_ids[groups.first], **kwargs, custom_generate=decode)
    return tokens.clone()  # a tensor that autograd takes


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
) -> Tensor:
    """A decoding loop as `generate(custom_generate=...)` takes it, with several rows a prompt.

    Args:
        model: A causal or image-text-to-text model.
        input_ids: (n, P) distinct prompts, left-padded.
        logits_processor: As prepared by `generate`, like all that follows.
        stopping_criteria: By row.
        generation_config: Of sampling or greedy decoding.
        group_index: (B,) the prompt of each row.
        model_kwargs: Inputs of the model, n rows.

    Returns:
        (B, P + longest response), padded after each response.
    """
    width, num_rows = input_ids.size(1), len(group_index)
    model_kwargs["past_key_values"] = Cache(layer_class_to_replicate=GrowingLayer)
    inputs = model.prepare_inputs_for_generation(input_ids, is_first_iteration=True, **model_kwargs)
    outputs = model(**inputs, return_dict=True)
    cache, logits = outputs.past_key_values, outputs.logits[:, -1][group_index]
    cache.batch_select_indices(group_index)
    model_kwargs = _select_rows(model_kwargs, group_index)

    pad = generation_config.pad_token_id or 0
    result = input_ids.new_full((num_rows, generation_config.max_length), pad)
    result[:, :width] = input_ids[group_index]
    tokens, rows = result.clone(), torch.arange(num_rows, device=input_ids.device)  # of what is still in the batch
    running = torch.ones_like(rows, dtype=torch.bool)  # of those, not ended
    for length in range(width + 1, generation_config.max_length + 1):
        scores = logits_processor(tokens[:, : length - 1], logits.float())
        next_tokens = _draw(scores, generation_config.do_sample)
        tokens[:, length - 1] = torch.where(running, next_tokens, pad)
        running = running & ~stopping_criteria(tokens[:, :length], None)
        if not running.any() or length == generation_config.max_length:
            break
        model_kwargs = model._update_model_kwargs_for_generation(outputs, model_kwargs)
        if running.sum() <= (1 - _LEAVE_TOGETHER) * len(rows):
            result[rows] = tokens
            staying = running.nonzero().squeeze(1)
            cache.batch_select_indices(staying)
            model_kwargs = _select_rows(model_kwargs, staying)
            tokens, rows, running = tokens[staying], rows[staying], running[staying]
        inputs = model.prepare_inputs_for_generation(tokens[:, :length], next_sequence_length=1, **model_kwargs)
        outputs = model(**inputs, return_dict=True)
        logits = outputs.logits[:, -1]
    result[rows] = tokens
    return result[:, :length]


class GrowingLayer(DynamicLayer):
    """A cache layer with room to grow in place. With a sliding window it keeps all tokens, under the model's mask."""

    keys: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]
    values: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._store(key_states, value_states)
            return self.keys, self.values
        start, end = self.keys.shape[-2], self.keys.shape[-2] + key_states.shape[-2]
        if end > self._buffers[0].shape[-2]:
            self._store(self.keys, self.values)
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, start:end] = states
        self.keys, self.values = (buffer[:, :, :end] for buffer in self._buffers)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        self._store(self.keys, self.values, indices)

    def _store(self, keys: Tensor, values: Tensor, rows: Tensor | None = None) -> None:
        length = keys.shape[-2]
        self._buffers = []
        for states in (keys, values):
            shape = (len(states) if rows is None else len(rows), states.shape[1], length + _HEADROOM, states.shape[-1])
            buffer = states.new_empty(shape)
            buffer[:, :, :length] = states if rows is None else states[rows]
            self._buffers.append(buffer)
        self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers)


# Options whose logits processors are made for the prompts that `generate` is given, a row each, and their values that
# are off: rows that come of one prompt, or leave early, are not theirs.
_PROMPT_BOUND = {
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "encoder_no_repeat_ngram_size": 0,
    "guidance_scale": 1.0,
}


def _serves(model: Any, kwargs: dict[str, Any]) -> bool:
    layer_types = getattr(model.config.get_text_config(), "layer_types", None) or ["full_attention"]
    config = copy.deepcopy(kwargs.get("generation_config") or model.generation_config)
    config.update(**kwargs)
    plain = (
        config.get_generation_mode() in (GenerationMode.SAMPLE, GenerationMode.GREEDY_SEARCH)
        and config.use_cache is not False
        and config.num_return_sequences in (None, 1)
        and config.cache_implementation in (None, "dynamic")
        and not config.return_dict_in_generate
        and all(getattr(config, name, None) in (None, off) for name, off in _PROMPT_BOUND.items())
        and not any(
            kwargs.get(name)
            for name in ("streamer", "custom_generate", "assistant_model", "synced_gpus", "prefix_allowed_tokens_fn")
        )
    )
    return plain and set(layer_types) <= {"full_attention", "sliding_attention"} and not model.config.is_encoder_decoder


def _tensors(kwargs: dict[str, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in kwargs.items() if isinstance(value, Tensor)}


def _select_rows(kwargs: dict[str, Any], rows: Tensor) -> dict[str, Any]:
    """Inputs by row, for the steps after the first, which need no images; multimodal positions are (3 or 4, B, T)."""
    kept = {name: value for name, value in kwargs.items() if name not in ("mm_encoder_outputs", *IMAGE_INPUTS)}
    return kept | {
        name: value[:, rows] if name == "position_ids" and value.dim() == 3 else value[rows]
        for name, value in _tensors(kept).items()
        if value.dim() > 0
    }


def _draw(scores: Tensor, sample: bool) -> Tensor:
    if not sample:
        return scores.argmax(-1)
    return torch.multinomial(scores.softmax(-1), num_samples=1).squeeze(1)
