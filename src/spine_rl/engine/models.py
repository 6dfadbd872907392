"""Loading a model and its tokenizer or processor from a folder or the hub; failures in one line."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from spine_rl.engine.progress import phase
from spine_rl.errors import ModelError


def load_model_and_tokenizer(
    name_or_path: str, *, revision: str = "main", trust_remote_code: bool = False, **model_options: Any
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | ProcessorMixin]:
    """Loads a language model (an adapter's folder too) and its tokenizer, or an image-text model and its processor.

    Args:
        name_or_path: A local folder or a hub id.
        revision: Of a hub repository.
        trust_remote_code: Whether code that comes with the model may run.
        model_options: Passed on to `from_pretrained`, e.g. `dtype`.

    Raises:
        ModelError: It is not a model, or cannot be loaded.
    """
    folder = Path(name_or_path)
    if folder.is_dir() and not any((folder / name).is_file() for name in ("config.json", "adapter_config.json")):
        raise ModelError(f"{name_or_path}: no model folder, it has no config.json; give one saved by save_pretrained")
    options = {"revision": revision, "trust_remote_code": trust_remote_code}
    with phase(f"load {Path(name_or_path).name}"):
        return _load(name_or_path, options, model_options)


def _load(
    name_or_path: str, options: dict[str, Any], model_options: dict[str, Any]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase | ProcessorMixin]:
    try:
        sees = _takes_images(name_or_path, options)
        model_class, processor_class = (
            (AutoModelForImageTextToText, AutoProcessor) if sees else (AutoModelForCausalLM, AutoTokenizer)
        )
        processor = processor_class.from_pretrained(name_or_path, padding_side="left", **options)
        model = model_class.from_pretrained(name_or_path, **options, **model_options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{name_or_path}: cannot be loaded as a language model: {reason}") from None
    if sees and not isinstance(processor, ProcessorMixin):
        raise ModelError(f"{name_or_path}: its processor is missing, there is only a tokenizer; save the processor too")
    tokenizer = get_tokenizer(processor)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, processor


def get_tokenizer(processing_class: Any) -> PreTrainedTokenizerBase:
    """The tokenizer itself, or a processor's."""
    return processing_class.tokenizer if isinstance(processing_class, ProcessorMixin) else processing_class


def _takes_images(name_or_path: str, options: dict[str, Any]) -> bool:
    adapter = Path(name_or_path) / "adapter_config.json"
    if adapter.is_file():
        name_or_path = json.loads(adapter.read_text())["base_model_name_or_path"]
    config = AutoConfig.from_pretrained(name_or_path, **options)
    return type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING


def get_device() -> torch.device:
    """The accelerator, where there is one."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def move_to_accelerator(model: Any) -> Any:
    """Moves a model to the GPU, where there is one."""
    return model if get_device().type == "cpu" else model.to(get_device())


def get_vision_tower(model: Any) -> Any:
    """The part of an image-text model that reads pictures, without what joins it to the language model; else None."""
    tower = model.get_encoder(modality="image")
    return None if tower is model or tower is model.base_model else tower


def get_context_length(model: PreTrainedModel) -> int | None:
    """The longest sequence the model's configuration allows, in tokens, where it states one."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)
