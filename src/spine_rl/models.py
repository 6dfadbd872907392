"""Loading a model and its tokenizer from a folder or the hub; failures in one line."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from spine_rl.errors import ModelError


def load_model_and_tokenizer(
    name_or_path: str, *, revision: str = "main", trust_remote_code: bool = False, **model_options: Any
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a causal language model (an adapter's folder too) and its tokenizer.

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
    try:
        tokenizer = AutoTokenizer.from_pretrained(name_or_path, padding_side="left", **options)
        model = AutoModelForCausalLM.from_pretrained(name_or_path, **options, **model_options)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{name_or_path}: cannot be loaded as a causal language model: {reason}") from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def move_to_accelerator(model: Any) -> Any:
    """Moves a model to the GPU, where there is one."""
    device = torch.accelerator.current_accelerator(check_available=True)
    return model if device is None else model.to(device)


def get_context_length(model: PreTrainedModel) -> int | None:
    """The longest sequence the model's configuration allows, in tokens, where it states one."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)
