"""What is trained of an image-text model: not its vision tower, unless asked for; adapters on the language part."""

import re
from typing import Any

from peft import LoraConfig, PeftConfig
from torch import nn


def freeze_vision_tower(model: Any) -> None:
    """Freezes the vision tower of a model that has one; what joins it to the language model stays trainable."""
    tower = model.get_encoder(modality="image")
    if tower is not model and tower is not model.base_model:
        tower.requires_grad_(False)


def adapt_language_only(config: PeftConfig | None, model: Any) -> None:
    """Points a LoRA configuration at the language part of an image-text model.

    The targets are those asked for by name, or else every linear layer; a regular expression is left as it is.
    """
    language = model.get_decoder()
    prefix = next((name for name, module in model.named_modules() if module is language), "")
    has_vision = any("image" in modality for modality in model.input_modalities)
    if not isinstance(config, LoraConfig) or not has_vision or not prefix:
        return
    targets = config.target_modules
    if isinstance(targets, str) and targets != "all-linear":
        return
    if targets is None or isinstance(targets, str):
        linear = (name for name, module in language.named_modules() if isinstance(module, nn.Linear))
        targets = {name.rpartition(".")[2] for name in linear}
    names = "|".join(sorted(map(re.escape, targets)))
    config.target_modules = rf"{re.escape(prefix)}\.(.*\.)?({names})"
