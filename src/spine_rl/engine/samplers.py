"""Generation engines behind one interface, `Sampler`: a name and a model in, responses out."""

from collections.abc import Callable

from spine_rl.engine.models import load_model_and_tokenizer, move_to_accelerator
from spine_rl.engine.sampler import Decoding, Prompt, SampledResponse, Sampler
from spine_rl.engine.transformers_sampler import TransformersSampler
from spine_rl.errors import ConfigError, suggest_nearest

__all__ = [
    "ENGINES",
    "Decoding",
    "Prompt",
    "SampledResponse",
    "Sampler",
    "TransformersSampler",
    "load_sampler",
    "pick_batch_size",
]


def load_sampler(name: str, model: str, dtype: str = "auto") -> Sampler:
    """Loads a model into an engine.

    Args:
        name: One of `ENGINES`.
        model: Its folder, an adapter's folder, or its hub id.
        dtype: Of the weights: `float32`, `bfloat16`, `auto`.

    Raises:
        ConfigError: There is no such engine, or it is not installed.
        ModelError: The model cannot be loaded.
    """
    _check_name(name)
    return ENGINES[name](model, dtype)


def pick_batch_size(name: str, asked: int | None) -> int:
    """Responses at once, and between two writes: an engine that batches by itself wants many."""
    _check_name(name)
    return asked or _BATCH_SIZES[name]


def _check_name(name: str) -> None:
    if name not in ENGINES:
        raise ConfigError(f"engine={name!r}: unknown; {suggest_nearest(name, ENGINES)}")


def _load_transformers(model: str, dtype: str) -> Sampler:
    loaded, tokenizer = load_model_and_tokenizer(model, dtype=dtype)
    return TransformersSampler(move_to_accelerator(loaded), tokenizer, "auto" if dtype == "auto" else "model")


def _load_continuous(model: str, dtype: str) -> Sampler:
    from spine_rl.engine.continuous_sampler import ContinuousSampler

    loaded, tokenizer = load_model_and_tokenizer(model, dtype=dtype)
    return ContinuousSampler(move_to_accelerator(loaded), tokenizer)


def _load_vllm(model: str, dtype: str) -> Sampler:
    from spine_rl.engine.vllm_sampler import VllmSampler

    return VllmSampler(model, dtype)


_BATCH_SIZES = {"transformers": 64, "continuous": 256, "vllm": 1024}
ENGINES: dict[str, Callable[[str, str], Sampler]] = {
    "transformers": _load_transformers,
    "continuous": _load_continuous,
    "vllm": _load_vllm,
}
