"""Generation engines behind one interface, `Engine`: a name and a model in, responses out."""

from collections.abc import Callable

from spine_rl.errors import ConfigError, suggest_nearest
from spine_rl.evaluation.engines.base import Decoding, Engine, Prompt, SampledResponse
from spine_rl.evaluation.engines.generate import GenerateEngine
from spine_rl.models import load_model_and_tokenizer, move_to_accelerator

__all__ = [
    "ENGINES",
    "Decoding",
    "Engine",
    "GenerateEngine",
    "Prompt",
    "SampledResponse",
    "load_engine",
    "pick_batch_size",
]


def load_engine(name: str, model: str, dtype: str = "auto") -> Engine:
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


def _load_transformers(model: str, dtype: str) -> Engine:
    loaded, tokenizer = load_model_and_tokenizer(model, dtype=dtype)
    return GenerateEngine(move_to_accelerator(loaded), tokenizer)


def _load_continuous(model: str, dtype: str) -> Engine:
    from spine_rl.evaluation.engines.continuous import ContinuousEngine

    loaded, tokenizer = load_model_and_tokenizer(model, dtype=dtype)
    return ContinuousEngine(move_to_accelerator(loaded), tokenizer)


def _load_vllm(model: str, dtype: str) -> Engine:
    from spine_rl.evaluation.engines.vllm import VllmEngine

    return VllmEngine(model, dtype)


_BATCH_SIZES = {"transformers": 64, "continuous": 256, "vllm": 1024}
ENGINES: dict[str, Callable[[str, str], Engine]] = {
    "transformers": _load_transformers,
    "continuous": _load_continuous,
    "vllm": _load_vllm,
}
