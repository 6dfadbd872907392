"""Matrices of a 16-bit copy in the order that a CPU's kernels read them in, brought into it once a generation.

oneDNN multiplies blocks; of a plain matrix it makes them anew in every product, a good part of the time where there are
the few rows of a decoding step. The operators are those that torch's own compiler takes for frozen weights.
"""

import functools
from typing import Any

import torch
from torch import Tensor, nn

_ROWS = 64  # for which the order is chosen; it serves any number


def prepack_linears(model: nn.Module) -> None:
    """Lets the linear layers of an inference copy multiply by reordered weights, where torch has them for a CPU.

    The layers keep their plain weights: others may read them.
    """
    for module in model.modules():
        if type(module) is nn.Linear and _is_served(module.weight):
            packed = torch.ops.mkldnn._reorder_linear_weight(module.weight.detach(), _ROWS)
            module.forward = functools.partial(_apply, packed, module.bias)


def _is_served(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def _apply(packed: Tensor, bias: Tensor | None, input: Tensor) -> Any:
    return torch.ops.mkldnn._linear_pointwise(input.contiguous(), packed, bias, "none", [], "")
