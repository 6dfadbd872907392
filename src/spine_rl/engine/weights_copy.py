"""A 16-bit copy of a model's weights, to generate with: half the bytes to read, and adapters merged in."""

from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

# What others put on a module itself, bound to the original: autocast, TRL's and our own ways to call it.
_PATCHES = ("forward", "_original_forward", "generate", "_compiled_call_impl")


def find_copy_obstacle(model: nn.Module) -> str | None:
    """What keeps a model from being copied in 16 bits, or None."""
    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    if getattr(model, "hf_quantizer", None) is not None:
        return "its weights are quantised"
    if not any(weight.dtype == torch.float32 for weight in model.parameters()):
        return "it has no 32-bit weights"
    if not all(isinstance(layer, LoraLinear) for layer in layers):
        return "its adapter is no LoRA of linear layers"
    if any(layer.lora_variant or any(layer.lora_bias.values()) for layer in layers if isinstance(layer, LoraLinear)):
        return "its adapter is a variant of LoRA, with more than a product to merge"
    return None


@torch.no_grad()
def copy_weights(model: Any, dtype: torch.dtype) -> Any:
    """The same model on weights of `dtype`, for inference: 2 bytes a parameter of 16 bits.

    Configuration and buffers are shared with the original; what is tied stays tied.

    Args:
        model: Without an obstacle of `find_copy_obstacle`; LoRA is merged into the copy.
        dtype: Of the copy's parameters; buffers, as of rotary positions, stay as exact as they are.
    """
    return _copy_module(model, dtype, {}, {})


def _copy_module(
    module: nn.Module, dtype: torch.dtype, modules: dict[int, nn.Module], weights: dict[int, nn.Parameter]
) -> nn.Module:
    if id(module) in modules:
        return modules[id(module)]
    source, changed = module, {}
    if isinstance(module, LoraLinear):
        source = module.get_base_layer()
        changed = {"weight": _merge(module)}
    copied = type(source).__new__(type(source))
    copied.__dict__ = {name: value for name, value in source.__dict__.items() if name not in _PATCHES}
    modules[id(module)] = copied
    copied.training = False
    copied._buffers = dict(source._buffers)
    copied._parameters = {
        name: nn.Parameter(changed[name].to(dtype), requires_grad=False)
        if name in changed
        else _copy_weight(weight, dtype, weights)
        for name, weight in source._parameters.items()
    }
    copied._modules = {
        name: None if child is None else _copy_module(child, dtype, modules, weights)
        for name, child in source._modules.items()
    }
    return copied


def _copy_weight(
    weight: nn.Parameter | None, dtype: torch.dtype, weights: dict[int, nn.Parameter]
) -> nn.Parameter | None:
    if weight is None:
        return None
    if id(weight) not in weights:
        weights[id(weight)] = nn.Parameter(
            weight.to(dtype) if weight.is_floating_point() else weight, requires_grad=False
        )
    return weights[id(weight)]


def _merge(layer: LoraLinear) -> Tensor:
    """The weight that a LoRA layer stands for."""
    weight = layer.get_base_layer().weight
    assert isinstance(weight, Tensor)
    if layer.disable_adapters or layer.merged:
        return weight
    active = [name for name in layer.active_adapters if name in layer.lora_A]
    return weight + sum((layer.get_delta_weight(name) for name in active), torch.zeros_like(weight))
