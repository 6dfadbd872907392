"""The decoding loop: each prompt is run once, however many samples are drawn; responses that have ended leave.

`generate` of transformers goes on preparing inputs, image features, logits processors and stopping criteria; it is
given the distinct prompts and `decode_groups`. A GPU takes another loop (`graph_decode`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from spine_rl.engine.draw import Draw
from spine_rl.engine.graph_decode import decode_in_graphs, is_static
from spine_rl.engine.grouped_attention import grouped_attention
from spine_rl.engine.growing_cache import GrowingLayer
from spine_rl.engine.images import IMAGE_INPUTS
from spine_rl.engine.progress import phase
from spine_rl.engine.responses import Decoded, Responses, check_finite

_LEAVE_TOGETHER = 1 / 8  # share of the rows that have ended, at which they leave: leaving moves rows of the cache


@torch.inference_mode()
def decode_groups(
    model: Any,
    input_ids: Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    *,
    group_index: Tensor,
    with_entropies: bool = False,
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
        with_entropies: Whether the entropy that each token was drawn at is measured.
        model_kwargs: Inputs of the model, n rows.
    """
    longest = generation_config.max_length - input_ids.size(1)
    draw = Draw(logits_processor, generation_config.do_sample, group_index, with_entropies=with_entropies)
    responses = Responses(input_ids[group_index], longest, generation_config.pad_token_id or 0, draw.num_measures)
    model_kwargs["past_key_values"] = Cache(layer_class_to_replicate=GrowingLayer)
    inputs = model.prepare_inputs_for_generation(input_ids, is_first_iteration=True, **model_kwargs)
    with phase("read prompts"), contiguous_head(model):
        outputs = model(**inputs, return_dict=True)
    model_kwargs = model._update_model_kwargs_for_generation(outputs, model_kwargs)
    if is_static(model, draw, stopping_criteria):

        def prepare(rows: Tensor) -> tuple[Tensor, dict[str, Any]]:
            kwargs = select_rows(model_kwargs, group_index[rows])
            tokens = responses.read(rows, 1)
            return group_index[rows], model.prepare_inputs_for_generation(tokens, next_sequence_length=1, **kwargs)

        decode_in_graphs(model, responses, draw, outputs, prepare, generation_config)
    else:
        with grouped_attention(model):
            _decode_growing(model, responses, draw, stopping_criteria, outputs, model_kwargs, group_index)
    return responses.finish()


@contextmanager
def contiguous_head(model: Any) -> Iterator[None]:
    """Gives the LM head last states as rows of their own: of a slice, torch's product in 16 bits on a CPU takes 200
    times as long."""
    head = model.get_output_embeddings()
    if head is None:
        yield
        return
    hook = head.register_forward_pre_hook(lambda _, args: tuple(value.contiguous() for value in args))
    try:
        yield
    finally:
        hook.remove()


def _decode_growing(
    model: Any,
    responses: Responses,
    draw: Draw,
    stopping_criteria: Any,
    outputs: Any,
    model_kwargs: dict[str, Any],
    group_index: Tensor,
) -> None:
    cache, logits = outputs.past_key_values, outputs.logits[:, -1][group_index]
    cache.batch_select_indices(group_index)
    model_kwargs = select_rows(model_kwargs, group_index)
    rows = torch.arange(len(group_index), device=group_index.device)  # those not yet left
    running = torch.ones_like(rows, dtype=torch.bool)  # of these, not ended
    for length in range(responses.longest):
        drawn, measures = draw(responses.read(rows, length), logits, responses.uniforms[length, rows])
        if length == 0:
            check_finite(measures)
        drawing = rows[running]
        responses.write(drawing, length, drawn[running].unsqueeze(1), measures[running].unsqueeze(1), length + 1)
        responses.tell((length + 1) * len(group_index))
        tokens = responses.read(rows, length + 1)
        running = running & ~stopping_criteria(tokens, None)
        if length + 1 == responses.longest or not running.any():
            return
        if running.sum() <= (1 - _LEAVE_TOGETHER) * len(rows):
            staying = close_gaps(running)
            cache.batch_select_indices(staying)
            draw.select_rows(staying)
            model_kwargs, tokens = select_rows(model_kwargs, staying), tokens[staying]
            rows, running = rows[staying], running[staying]
        inputs = model.prepare_inputs_for_generation(tokens, next_sequence_length=1, **model_kwargs)
        outputs = model(**inputs, return_dict=True)
        logits = outputs.logits[:, -1]
        model_kwargs = model._update_model_kwargs_for_generation(outputs, model_kwargs)


def close_gaps(running: Tensor) -> Tensor:
    """The running rows, in an order that moves few: the last ones take the places of those that have ended."""
    count = int(running.sum())
    order = torch.arange(count, device=running.device)
    order[~running[:count]] = running[count:].nonzero().squeeze(1) + count
    return order


def select_rows(kwargs: dict[str, Any], rows: Tensor) -> dict[str, Any]:
    """Inputs by row, for the steps after the first, which need no images; multimodal positions are (3 or 4, B, T)."""
    kept = {name: value for name, value in kwargs.items() if name not in ("mm_encoder_outputs", *IMAGE_INPUTS)}
    return kept | {
        name: value[:, rows] if name == "position_ids" and value.dim() == 3 else value[rows]
        for name, value in kept.items()
        if isinstance(value, Tensor) and value.dim() > 0
    }
