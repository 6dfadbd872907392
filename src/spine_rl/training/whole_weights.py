"""Single weights as a whole, of a model whose processes hold parts of them: FSDP2's DTensors, DeepSpeed's ZeRO-3.

Every process makes the same calls in the same order. A weight that is not sharded is what it is.
"""

from importlib import import_module
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


def find_obstacle(accelerator: Accelerator) -> str | None:
    """What keeps a run's weights from being read one by one, or None."""
    version = getattr(getattr(accelerator.state, "fsdp_plugin", None), "fsdp_version", 2)
    if accelerator.distributed_type == DistributedType.FSDP and version == 1:
        return "the first FSDP has no single weights, and best ones cannot be kept; take fsdp_version: 2"
    return None


def is_sharded(weight: Tensor) -> bool:
    """Whether this process holds a part of it."""
    return isinstance(weight, DTensor) or hasattr(weight, "ds_id")


def get_shape(weight: Tensor) -> torch.Size:
    """Of the whole."""
    return cast(Any, weight).ds_shape if hasattr(weight, "ds_id") else weight.shape


def get_local(weight: Tensor) -> Tensor:
    """What this process holds of it, without a copy."""
    weight = weight.detach() if not hasattr(weight, "ds_id") else cast(Any, weight).ds_tensor
    return weight.to_local() if isinstance(weight, DTensor) else weight


@torch.no_grad()
def read_whole(weight: Tensor) -> Tensor:
    """The whole weight, which is not to be changed; on every process."""
    if isinstance(weight, DTensor):
        here: Any = weight.detach().to(weight.device_mesh.device_type)  # an offloaded one moves to be gathered
        return here.full_tensor()
    if hasattr(weight, "ds_id"):
        with import_module("deepspeed").zero.GatheredParameters([weight]):
            return weight.detach().clone()
    return weight.detach()


@torch.no_grad()
def write_whole(weight: Tensor, value: Tensor | None) -> None:
    """Changes a weight, which keeps its place.

    Args:
        weight: Of the model.
        value: The whole of it; of a sharded weight the first process's counts, and others may give None.
    """
    if isinstance(weight, DTensor):
        mesh = weight.device_mesh
        if value is None:
            value = torch.empty(weight.shape, dtype=weight.dtype)
        parts = distribute_tensor(value.to(mesh.device_type, weight.dtype), mesh, weight.placements)
        weight.to_local().copy_(parts.to_local())
    elif hasattr(weight, "ds_id"):
        with import_module("deepspeed").zero.GatheredParameters([weight], modifier_rank=0):
            if value is not None:
                weight.copy_(value)
    else:
        assert value is not None
        weight.copy_(value)
