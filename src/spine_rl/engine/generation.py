"""A model's `generate`, faster: shared prompts, 16-bit weights; checked once against the plain path."""

import copy
import functools
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from torch.nn.functional import pad
from transformers.generation import GenerationMode

from spine_rl.engine.decode import contiguous_head, decode_groups
from spine_rl.engine.graph_decode import is_autocast
from spine_rl.engine.groups import PromptGroups, group_rows
from spine_rl.engine.images import cut_by_row
from spine_rl.engine.models import eval_mode, get_hidden_size, keep_logits, learns_prompt
from spine_rl.engine.precision import is_faster_in_16_bits
from spine_rl.engine.prepacked import prepack_linears
from spine_rl.engine.progress import phase
from spine_rl.engine.responses import Decoded
from spine_rl.engine.shared_batch import list_uncached_types
from spine_rl.engine.weights_copy import copy_weights, find_copy_obstacle
from spine_rl.errors import shorten

_CHECKED_ROWS, _CHECKED_TOKENS = 2, 32
# What log-probabilities of the tokens drawn may differ by from the plain forward's, in nats, on average.
_EXACT = (torch.float32, torch.float64)
_TOLERANCE, _LOW_PRECISION_TOLERANCE = 1e-3, 0.1


class Generator:
    """Generates with a model as its own `generate` does, sampling from the same distribution.

    Each distinct prompt is run once, rows leave when they end, and, where 16 bits are faster, the weights are a 16-bit
    copy of the model's as they are at the call; it lives as long as the call. Calls that are not served (beams, other
    caches, inputs of which it is not known whose row they are) go transformers' own way, as does a model whose first
    responses have other log-probabilities than in its plain forward.

    Attributes:
        logps: (B, T) log-probabilities of the tokens that the last call drew, as `Draw` gives them; None where
            transformers' own way was taken.
        with_entropies: Whether calls measure the entropy that each token is drawn at.
        entropies: (B, T) those of the last call, in nats; None where they were not asked for, or as `logps`.
    """

    def __init__(self, model: Any, dtype: str = "auto"):
        """
        Args:
            model: A causal or image-text-to-text model of transformers, with an adapter or without.
            dtype: Of the weights: `bfloat16` copies them, `model` takes the model's own, `auto` copies 32-bit ones
                where 16 bits are measured to be faster.
        """
        has_own_prompt = learns_prompt(model)
        self._model: Any = model.get_base_model() if isinstance(model, PeftModel) and not has_own_prompt else model
        self._original: Callable[..., Any] = functools.partial(type(self._model).generate, self._model)
        self._dtype = dtype
        self._serves_model, self._is_checked = not has_own_prompt, False
        self.with_entropies = False
        self.logps: Tensor | None = None
        self.entropies: Tensor | None = None

    @property
    def copies(self) -> bool:
        """Whether it generates with a 16-bit copy of the weights."""
        if self._dtype == "auto":
            width = get_hidden_size(self._model)
            faster = is_faster_in_16_bits(self._model.device, width, casts=False)
            self._dtype = "bfloat16" if faster and find_copy_obstacle(self._model) is None else "model"
        return self._dtype == "bfloat16"

    def __call__(self, inputs: Tensor | None = None, *args: Any, **kwargs: Any) -> Any:
        """As the model's `generate`."""
        self.logps = self.entropies = None
        input_ids = kwargs.pop("input_ids", inputs)
        request = None
        if self._serves_model and not args and input_ids is not None and _serves(self._model, kwargs):
            request = _read(self._model, input_ids, kwargs)
        with eval_mode(self._model):  # responses are the policy's own, without dropout
            decoded = None if request is None else self._decode(request)
            if decoded is None:
                return self._original(input_ids, *args, **kwargs)
        self.logps = decoded.logps.clone()  # tensors that autograd takes
        self.entropies = None if decoded.entropies is None else decoded.entropies.clone()
        return decoded.tokens.clone()

    def _decode(self, request: "_Request") -> Decoded | None:
        while self._serves_model:
            if self._is_checked:
                return self._run(request)
            decoded, obstacle = self._try(request)
            if obstacle is None:
                self._is_checked = True
                return decoded
            if self.copies:
                self._dtype = "model"
                warnings.warn(f"generation takes the weights as they are, no 16-bit copy: {obstacle}", stacklevel=5)
            else:
                self._serves_model = False
                warnings.warn(f"generation goes transformers' own way, prompt by prompt: {obstacle}", stacklevel=5)
        return None

    def _try(self, request: "_Request") -> tuple[Decoded | None, str | None]:
        if self.copies and (obstacle := find_copy_obstacle(self._model)) is not None:
            return None, obstacle
        try:
            decoded = self._run(request)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            return None, shorten(error, 200)
        difference = compare_with_plain(self._model, request, decoded)
        is_exact = not self.copies and not is_autocast(self._model) and self._model.dtype in _EXACT
        if difference > (_TOLERANCE if is_exact else _LOW_PRECISION_TOLERANCE):
            return None, f"its log-probabilities differ by {difference:.2g} nats from the plain forward's"
        return decoded, None

    def _run(self, request: "_Request") -> Decoded:
        if not self.copies:
            return request.run(self._original, with_entropies=self.with_entropies)
        with phase("copy weights"):
            model = copy_weights(self._model, torch.bfloat16)
            prepack_linears(model)
            model.generation_config = self._model.generation_config
        with torch.autocast(self._model.device.type, enabled=False):
            generate = functools.partial(type(model).generate, model)
            return request.run(generate, dtype=torch.bfloat16, with_entropies=self.with_entropies)


def add_shared_generation(model: Any, dtype: str = "auto") -> Generator:
    """Lets `model.generate` of a causal or image-text-to-text model be a `Generator`'s, which is returned."""
    generator = Generator(model, dtype)

    @functools.wraps(type(model).generate)
    def generate(self: Any, *args: Any, **kwargs: Any) -> Any:
        return generator(*args, **kwargs)

    model.generate = types.MethodType(generate, model)
    return generator


@dataclass(frozen=True)
class _Request:
    """A call of `generate`, by distinct prompts.

    Attributes:
        input_ids: (n, P).
        groups: Of the rows.
        inputs: Name → a tensor a row of the call, to be concatenated.
        options: What else was given.
    """

    input_ids: Tensor
    groups: PromptGroups
    inputs: dict[str, list[Tensor]]
    options: dict[str, Any]

    def run(
        self, generate: Callable[..., Any], *, dtype: torch.dtype | None = None, with_entropies: bool = False
    ) -> Decoded:
        decode = functools.partial(decode_groups, group_index=self.groups.index, with_entropies=with_entropies)
        inputs = self.select(self.groups.first.tolist(), dtype)
        return generate(self.input_ids, **inputs, **self.options, custom_generate=decode)

    def select(self, rows: list[int], dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """Further inputs of some of the call's rows, those of images in `dtype`."""
        inputs = {name: torch.cat([values[row] for row in rows]) for name, values in self.inputs.items()}
        return {name: value.to(dtype) if value.is_floating_point() else value for name, value in inputs.items()}


def _read(model: Any, input_ids: Tensor, kwargs: dict[str, Any]) -> _Request | None:
    tensors = {name: value for name, value in kwargs.items() if isinstance(value, Tensor)}
    rows = cut_by_row(model, input_ids, tensors)
    if rows is None:
        return None
    mask = kwargs.get("attention_mask")
    mask = torch.ones_like(input_ids) if mask is None else mask
    groups = group_rows(input_ids, mask, [values for name, values in rows.items() if name != "attention_mask"])
    options = {name: value for name, value in kwargs.items() if name not in tensors}
    return _Request(input_ids[groups.first], groups, rows, options)


# Options whose logits processors are made for the prompts that `generate` is given, a row each, and their values that
# are off: rows that come of one prompt, or leave early, are not theirs.
_PROMPT_BOUND = {"encoder_repetition_penalty": 1.0, "encoder_no_repeat_ngram_size": 0, "guidance_scale": 1.0}


def _serves(model: Any, kwargs: dict[str, Any]) -> bool:
    config = _read_config(model, kwargs)
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
    return plain and not list_uncached_types(model.config.get_text_config()) and not model.config.is_encoder_decoder


def _read_config(model: Any, kwargs: dict[str, Any]) -> Any:
    config = copy.deepcopy(kwargs.get("generation_config") or model.generation_config)
    config.update(**kwargs)
    return config


@torch.no_grad()
def compare_with_plain(model: Any, request: _Request, decoded: Decoded) -> float:
    """Mean difference in nats of log-probabilities of some tokens drawn, from one plain forward over them.

    The first rows of two prompts are taken, and their first tokens.
    """
    config = _read_config(model, request.options)
    rows = request.groups.first[:_CHECKED_ROWS].tolist()
    width, longest = request.input_ids.size(1), min(_CHECKED_TOKENS, int(decoded.lengths[rows].max()))
    inputs = request.select(rows)
    mask = inputs.pop("attention_mask", torch.ones_like(decoded.tokens[rows, :width]))
    drawn = decoded.tokens[rows, width : width + longest]
    is_drawn = torch.arange(longest, device=mask.device) < decoded.lengths[rows].unsqueeze(1)
    image_token = getattr(model.config, "image_token_id", None)
    if image_token is not None:  # a drawn one has no picture
        is_drawn &= (drawn == image_token).cumsum(1) == 0
        drawn = drawn.masked_fill(~is_drawn, config.pad_token_id or 0)
    inputs["input_ids"] = torch.cat([decoded.tokens[rows, :width], drawn], 1)
    inputs["attention_mask"] = torch.cat([mask, is_drawn.to(mask)], 1)
    for name in (name for name in inputs if name.endswith("token_type_ids")):
        inputs[name] = pad(inputs[name], (0, longest))
    if image_token is None:  # image-text models find positions themselves
        inputs["position_ids"] = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
    with contiguous_head(model):
        logits = model(**inputs, **keep_logits(model, longest + 1)).logits[:, -longest - 1 : -1].float()
    if config.suppress_tokens:
        logits[..., config.suppress_tokens] = -torch.inf
    temperature = config.temperature if config.do_sample and config.temperature is not None else 1.0
    plain = (logits / temperature).log_softmax(-1).gather(-1, drawn.unsqueeze(-1)).squeeze(-1)
    differences = (plain - decoded.logps[rows, :longest])[is_drawn].abs()
    return differences.mean().nan_to_num(nan=torch.inf).item() if len(differences) > 0 else 0.0
