"""Generation engines behind one interface, `Sampler`: a name and a model in, responses out."""

from collections.abc import Callable, Mapping
from typing import Any

from spine_rl.engine.models import describe_loading, load_model_and_tokenizer, move_to_accelerator
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
    "check_loading",
    "load_sampler",
    "pick_batch_size",
]


def load_sampler(name: str, model: str, dtype: str = "auto", loading: Mapping[str, Any] = {}) -> Sampler:
    """Loads a model into an engine.

    Args:
        name: One of `ENGINES`.
        model: Its folder, an adapter's folder, or its hub id.
        dtype: Of the weights: `float32`, `bfloat16`, `auto`.
        loading: How else it is loaded, as `load_model_and_tokenizer` takes it.

    Raises:
        ConfigError: There is no such engine, it is not installed, or it cannot load a model so.
        ModelError: The model cannot be loaded.
    """
    check_loading(name, loading)
    return ENGINES[name](model, dtype, {each: value for each, value in loading.items() if each != "dtype"})


def check_loading(name: str, loading: Mapping[str, Any]) -> None:
    """Whether an engine can load a model so, before anything is.

    Raises:
        ConfigError: It cannot, or there is no such engine.
    """
    _check_name(name)
    others = describe_loading(loading).keys() - {"revision", "trust_remote_code", "attn_implementation"}
    if name == "vllm" and others:
        raise ConfigError(
            f"engine='vllm' loads a model in its own way, without {', '.join(sorted(others))}; take another engine, or "
            "leave that out"
        )


def pick_batch_size(name: str, asked: int | None) -> int:
    """Responses at once, and between two writes: an engine that batches by itself wants many."""
    _check_name(name)
    return asked or _BATCH_SIZES[name]


def _check_name(name: str) -> None:
    if name not in ENGINES:
        raise ConfigError(f"engine={name!r}: unknown; {suggest_nearest(name, ENGINES)}")


def _load(model: str, dtype: str, loading: Mapping[str, Any]) -> tuple[Any, Any]:
    loaded, processing_class = load_model_and_tokenizer(model, dtype=dtype, **loading)
    is_there = "quantization_config" in loading  # where it was quantised
    return loaded if is_there else move_to_accelerator(loaded), processing_class


def _load_transformers(model: str, dtype: str, loading: Mapping[str, Any]) -> TransformersSampler:
    return TransformersSampler(*_load(model, dtype, loading), "auto" if dtype == "auto" else "model")


def _load_continuous(model: str, dtype: str, loading: Mapping[str, Any]) -> Sampler:
    from spine_rl.engine.continuous_sampler import ContinuousSampler

    return ContinuousSampler(*_load(model, dtype, loading))


def _load_vllm(model: str, dtype: str, loading: Mapping[str, Any]) -> Sampler:
    from spine_rl.engine.vllm_sampler import VllmSampler

    origin = {each: value for each, value in loading.items() if each in ("revision", "trust_remote_code")}
    return VllmSampler(model, dtype, **origin)  # attention's kernels are its own


_BATCH_SIZES = {"transformers": 64, "continuous": 256, "vllm": 1024}
ENGINES: dict[str, Callable[[str, str, Mapping[str, Any]], Sampler]] = {
    "transformers": _load_transformers,
    "continuous": _load_continuous,
    "vllm": _load_vllm,
}
