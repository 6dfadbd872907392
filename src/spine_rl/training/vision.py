"""What is trained of an image-text model: not its vision tower, unless asked for; adapters on the language part."""

import re
from typing import Any

import torch
from peft import LoraConfig, PeftConfig
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from spine_rl.engine.images import IMAGE_INPUTS
from spine_rl.engine.models import get_vision_tower


def freeze_vision_tower(model: Any) -> None:
    """Freezes the vision tower of a model that has one; what joins it to the language model stays trainable."""
    tower = get_vision_tower(model)
    if tower is not None:
        tower.requires_grad_(False)


def allow_no_images(model: Any) -> None:
    """Lets an image-text model run prompts of which none has an image: its vision tower fails on no pictures."""
    model.base_model.register_forward_pre_hook(_drop_no_images, with_kwargs=True)


def _drop_no_images(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    pixels, mask = kwargs.get("pixel_values"), kwargs.get("pixel_attention_mask")
    if pixels is None or (len(pixels) > 0 and (mask is None or mask.any())):
        return args, kwargs
    return args, {name: value for name, value in kwargs.items() if name not in IMAGE_INPUTS}


def count_pixel_rows(inputs: dict[str, Any]) -> dict[str, Any]:
    """TRL's inputs with `num_images` as rows of `pixel_values`, by which TRL splits them.

    A processor like Idefics3's pads them to one row a prompt, however many images that has; where the images happen to
    be as many as the prompts, TRL takes them for one row an image.
    """
    mask, counts = inputs.get("pixel_attention_mask"), inputs.get("num_images")
    if mask is None or counts is None or "spatial_shapes" in inputs or len(mask) != len(counts):
        return inputs
    return {**inputs, "num_images": [1] * len(counts)}


def read_config(name_or_path: str, args: Any) -> Any:
    """A model's configuration before TRL loads the model, by the same options of the run (`SpineConfig`)."""
    revision = (args.model_init_kwargs or {}).get("revision", "main")
    return AutoConfig.from_pretrained(name_or_path, revision=revision, trust_remote_code=_trusts_code(args))


def _trusts_code(args: Any) -> bool:
    return bool((args.model_init_kwargs or {}).get("trust_remote_code", args.trust_remote_code))


def outline_model(name_or_path: str, args: Any) -> nn.Module:
    """A model's modules without weights, by which adapters are placed before TRL loads it."""
    config = read_config(name_or_path, args)
    is_visual = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    auto: Any = AutoModelForImageTextToText if is_visual else AutoModelForCausalLM
    with torch.device("meta"):
        return auto.from_config(config, trust_remote_code=_trusts_code(args))


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
