"""Decoding on a GPU: a cache of fixed size, and one CUDA graph a step.

A step of a small model is hundreds of short kernels, and a GPU waits for Python to launch each. A graph launches them
at once. What it reads and writes stays where it is: tokens, masks, positions and the cache are made once for a wave of
rows, and a step writes into them. When half of a wave has ended, the others go on with a graph of their own.
"""

import warnings
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from transformers import Cache, StaticLayer
from transformers.generation import EosTokenCriteria, MaxLengthCriteria

from spine_rl.engine.budget import measure_free_memory
from spine_rl.engine.draw import Draw
from spine_rl.engine.estimate import WHILE_LEAVING
from spine_rl.engine.responses import Responses, check_finite
from spine_rl.errors import shorten

_LOOK_EVERY = 16  # steps between two looks at which rows have ended: a look waits for the GPU
_LEAVE_TOGETHER = 1 / 2  # share of a wave that has ended, at which it leaves: the others need a graph of their own
_SHARE_OF_MEMORY = 0.8  # of what is free, for a wave
_WAITS = "called a synchronizing"  # torch's words

# Rows of a wave (b,) → the prompt of each, and the model's inputs for their second token.
Prepare = Callable[[Tensor], tuple[Tensor, dict[str, Any]]]


def is_static(model: Any, draw: Draw, stopping_criteria: Any) -> bool:
    """Whether responses are decoded here: on a GPU, if a step asks nothing of Python, by attention that takes masks of
    booleans: eager attention would add them."""
    return (
        model.device.type == "cuda"
        and not draw.reads_tokens
        and all(isinstance(criterion, EosTokenCriteria | MaxLengthCriteria) for criterion in stopping_criteria)
        and not is_autocast(model)
        and model.config.get_text_config(decoder=True)._attn_implementation == "sdpa"
    )


def is_autocast(model: Any) -> bool:
    """Whether a model is run in 16 bits on its 32-bit weights: within autocast, or as Accelerate prepares it."""
    return "_original_forward" in vars(model) or torch.is_autocast_enabled(model.device.type)


def decode_in_graphs(
    model: Any, responses: Responses, draw: Draw, outputs: Any, prepare: Prepare, generation_config: Any
) -> None:
    """Draws all responses, in waves that memory allows.

    Args:
        model: A causal or image-text-to-text model.
        responses: Takes what is drawn.
        draw: Draws it.
        outputs: Of the n prompts, with their cache.
        prepare: Inputs of a wave.
        generation_config: Names the end tokens.
    """
    ends = getattr(generation_config, "_eos_token_tensor", None)
    waiting = torch.arange(responses.uniforms.size(1), device=model.device)
    size, total = pick_wave_size(outputs, responses, model.device), len(waiting)
    while len(waiting) > 0:
        rows = waiting[:size]
        try:
            _Wave(model, responses, draw, rows, outputs, prepare, ends).run(total - len(waiting))
        except torch.OutOfMemoryError:
            if len(rows) <= 1:
                raise
            size = len(rows) // 2  # what did not fit is freed with the handler; the allocator makes room by itself
        else:
            waiting = waiting[size:]


def pick_wave_size(outputs: Any, responses: Responses, device: torch.device) -> int:
    """Rows whose cache and logits fit into free memory; at least one, all on a CPU."""
    num_rows = responses.uniforms.size(1)
    if device.type != "cuda":
        return num_rows
    states = [states for layer in outputs.past_key_values.layers for states in (layer.keys, layer.values)]
    a_token = sum(state[0, :, 0].numel() * state.element_size() for state in states)
    a_row = a_token * (responses.width + responses.longest) * WHILE_LEAVING
    a_row += outputs.logits.size(-1) * (outputs.logits.element_size() + 3 * 4)  # with the float32 copies of a draw
    return max(1, min(num_rows, int(_SHARE_OF_MEMORY * measure_free_memory(device) / a_row)))


class _Wave:
    """Rows that are decoded together; a step reads and writes tensors that stay where they are."""

    def __init__(
        self,
        model: Any,
        responses: Responses,
        draw: Draw,
        rows: Tensor,
        outputs: Any,
        prepare: Prepare,
        ends: Tensor | None,
    ):
        self._model, self._responses, self._draw, self._rows = model, responses, draw, rows
        device, width, longest = rows.device, responses.width, responses.longest
        self._ends = torch.empty(0, dtype=torch.long, device=device) if ends is None else ends.flatten()
        self._uniforms = responses.uniforms[:, rows].contiguous()
        self._tokens = torch.full((len(rows), longest), responses.pad, device=device)
        self._measures = torch.zeros(len(rows), longest, draw.num_measures, device=device)
        self._lengths = torch.zeros(len(rows), dtype=torch.long, device=device)
        self._running = torch.ones(len(rows), dtype=torch.bool, device=device)
        self._column = torch.zeros(1, dtype=torch.long, device=device)  # of the token that is drawn next
        self._slot = torch.full((1,), width, device=device)  # of the cache that is written next

        prompts, inputs = prepare(rows)
        self._ids = torch.empty(len(rows), 1, dtype=torch.long, device=device)
        self._store(outputs.logits[prompts, -1])
        check_finite(self._measures[:, 0])
        seen = inputs.pop("attention_mask", None)
        self._seen = torch.zeros(len(rows), 1, 1, width + longest, dtype=torch.bool, device=device)
        self._seen[..., :width] = True if seen is None else seen[:, None, None, :width].bool()
        self._window = getattr(model.config.get_text_config(), "sliding_window", None)
        types = set(getattr(model.config.get_text_config(), "layer_types", None) or [])
        self._has_types = len(types) > 0
        slides = "sliding_attention" in types or (not types and self._window is not None)
        self._near = torch.zeros_like(self._seen) if slides else None
        self._inputs = {
            name: value.clone() if isinstance(value, Tensor) else value for name, value in inputs.items()
        } | {
            "input_ids": self._ids,
            "attention_mask": self._masks(),
            "past_key_values": _copy_cache(outputs.past_key_values, prompts, width + longest),
        }

    def run(self, rows_before: int) -> None:
        """Decodes until every row has ended; `rows_before` have been decoded in earlier waves."""
        longest, step, first_rows = self._responses.longest, None, len(self._rows)
        for length in range(1, longest):
            if length % _LOOK_EVERY == 0 or length == 1:
                self._responses.tell(rows_before * longest + length * first_rows)
                num_running = int(self._running.sum())
                if num_running == 0:
                    break
                if num_running <= (1 - _LEAVE_TOGETHER) * len(self._rows):
                    step = None  # its memory is free before the cache is copied
                    self._leave()
            if step is None:
                step = run_and_capture(self.step, self._rows.device)
            else:
                step()
        self._write()

    def step(self) -> None:
        """Runs the tokens drawn last and draws the next; nothing here waits for the GPU or asks how far it is."""
        self._seen.index_fill_(-1, self._slot, True)
        if self._near is not None:
            columns = torch.arange(self._seen.size(-1), device=self._slot.device)
            self._near.copy_(self._seen & (columns > self._slot - cast(int, self._window)))
        self._store(self._model(**self._inputs, return_dict=True).logits[:, -1])
        self._slot.add_(1)
        if "position_ids" in self._inputs:
            self._inputs["position_ids"].add_(1)

    def _store(self, logits: Tensor) -> None:
        drawn, measures = self._draw(self._tokens, logits, self._uniforms.index_select(0, self._column).squeeze(0))
        drawn = torch.where(self._running, drawn, self._responses.pad).unsqueeze(1)
        self._tokens.index_copy_(1, self._column, drawn)
        measures = torch.where(self._running.unsqueeze(1), measures, 0.0)
        self._measures.index_copy_(1, self._column, measures.unsqueeze(1))
        self._lengths.add_(self._running)
        self._running.logical_and_(~(drawn == self._ends).any(1))
        self._ids.copy_(drawn)
        self._column.add_(1)

    def _leave(self) -> None:
        """What has ended is written down, and the others go on without it."""
        self._write()
        staying = self._running.nonzero().squeeze(1)
        for name in ("_rows", "_tokens", "_measures", "_lengths", "_running", "_ids", "_seen"):
            setattr(self, name, getattr(self, name)[staying])
        self._uniforms = self._uniforms[:, staying]
        self._near = None if self._near is None else self._near[staying]
        for name, value in self._inputs.items():
            if isinstance(value, Tensor) and value.dim() > 0:
                self._inputs[name] = value[:, staying] if value.dim() == 3 else value[staying]  # positions: (3, b, 1)
        self._inputs["input_ids"] = self._ids
        self._inputs["attention_mask"] = self._masks()
        for layer in cast(Any, self._inputs["past_key_values"]).layers:
            layer.keys, layer.values = layer.keys[staying], layer.values[staying]

    def _write(self) -> None:
        self._responses.write(self._rows, 0, self._tokens, self._measures, self._lengths)

    def _masks(self) -> Tensor | dict[str, Tensor]:
        """As the model takes them, (b, 1, 1, P + T) true at what is attended to: one, or one for each type of layer."""
        if self._near is None:
            return self._seen
        if not self._has_types:
            return self._near
        return {"full_attention": self._seen, "sliding_attention": self._near}


def _copy_cache(cache: Any, prompts: Tensor, length: int) -> Cache:
    """The prompts' cache for rows of them, with room for `length` tokens; sliding layers keep all, under their mask."""
    layers = []
    for source in cache.layers:
        layer, width = cast(Any, StaticLayer(length)), source.keys.shape[-2]
        keys, values = source.keys[prompts], source.values[prompts]
        layer.lazy_initialization(keys, values)
        layer.keys[:, :, :width], layer.values[:, :, :width] = keys, values
        layer.cumulative_length.fill_(width)
        layers.append(layer)
    return Cache(layers=layers)


def run_and_capture(step: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Runs a step as it is, and gives what repeats it: a CUDA graph, or without CUDA the step itself.

    A step in which the host waits for the GPU (a position encoding that asks for the longest row, experts that are
    counted) is run as it is, with a warning. It is not even tried to capture: where that fails, torch's allocator takes
    it to be under way for the rest of the process, and cannot free its cache any more.
    """
    if device.type != "cuda":
        step()
        return step
    current, side = torch.cuda.current_stream(device), torch.cuda.Stream(device)
    side.wait_stream(current)
    with torch.cuda.stream(side):  # a first run of its own: libraries allocate their workspaces
        obstacle = _run_and_find_wait(step)
    current.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        if obstacle is None:
            with torch.cuda.stream(current), torch.cuda.graph(graph):  # of itself, a failure leaves another stream
                step()
            return graph.replay
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        obstacle = shorten(error, 200)
    warnings.warn(f"generation launches kernels one by one, without a CUDA graph: {obstacle}", stacklevel=2)
    return step


def _run_and_find_wait(step: Callable[[], None]) -> str | None:
    """What torch says of a step that makes the host wait for the GPU; None where none does."""
    mode = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode(mode)
    return next((str(warning.message) for warning in said if _WAITS in str(warning.message)), None)
