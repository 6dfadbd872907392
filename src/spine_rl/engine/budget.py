"""How many tokens may hold their activations for the backward pass at once: from the free memory.

What a micro-batch does not fit in is run in pieces, forward and backward each; the gradients of a step are the same.
"""

import warnings
from typing import Any

import torch

from spine_rl.engine.estimate import CPU_BYTES, estimate_bytes_per_token
from spine_rl.engine.host_memory import give_back_freed_memory, measure_free_host_memory
from spine_rl.errors import UpdateMemoryError

_LEAST_TOKENS = 32
_CPU_SHARE, _GPU_SHARE = 0.25, 0.8  # of the free memory: a CPU's is everyone's, and running out of it ends the process


class TokenBudget:
    """Tokens that one piece may have.

    Args:
        model: Of transformers; its configuration says how wide its layers are.
        device: Where it is run.
    """

    def __init__(self, model: Any, device: torch.device):
        self._model, self._device = model, device
        self._bytes_per_token = estimate_bytes_per_token(model.config.get_text_config())
        self._halvings = 0

    def count_tokens(self, optimizer: Any = None, *, with_gradient: bool = True) -> int:
        """As many as fit now.

        Args:
            optimizer: Its states that are yet to be allocated, two numbers a weight, are left room for.
            with_gradient: Activations are kept; without, a layer's are freed when it is through.
        """
        free = measure_free_memory(self._device) - self._count_bytes_to_come(optimizer)
        share, most = (_CPU_SHARE, CPU_BYTES) if self._device.type == "cpu" else (_GPU_SHARE, free)
        tokens = int(min(most, share * max(0, free)) / self._bytes_per_token)
        return max(_LEAST_TOKENS, (tokens if with_gradient else 4 * tokens) >> self._halvings)

    def halve(self) -> None:
        """After running out of memory.

        Raises:
            UpdateMemoryError: It has been halved so often that a piece is as small as can be.
        """
        self._halvings += 1
        if self.count_tokens() <= _LEAST_TOKENS:
            raise UpdateMemoryError(
                "the update ran out of memory with a single response at a time; give a smaller model, shorter "
                "responses (max_completion_length), or LoRA"
            )
        if self._halvings == 1:
            warnings.warn(
                "the update ran out of memory: the step begins anew, in pieces of half as many tokens", stacklevel=3
            )

    def _count_bytes_to_come(self, optimizer: Any) -> int:
        trained = [p for p in self._model.parameters() if p.requires_grad]
        states = 2 if optimizer is not None and not getattr(optimizer, "state", None) else 0
        return sum(p.nbytes * (states + (p.grad is None)) for p in trained)


def measure_free_memory(device: torch.device) -> int:
    """Bytes that new tensors may take on a device; what its allocator holds and does not use is free, too."""
    if device.type != "cuda":
        give_back_freed_memory()
        return measure_free_host_memory()
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused
