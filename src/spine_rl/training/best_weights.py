"""The trained weights of one step, held in host memory; a checkpoint has them too, so that a resumed run does."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

FILE = "best_weights.safetensors"


class BestWeights:
    """A copy of what is trained of a model: all of it, or an adapter.

    Args:
        model: Without wrappers of processes; its weights are whole.
    """

    def __init__(self, model: Any):
        self._model = model
        self._copies: dict[str, Tensor] = {}

    def take(self) -> None:
        """Copies the weights as they are now."""
        for name, weight in self._list_trained():
            if name not in self._copies:
                self._copies[name] = torch.empty_like(weight, device="cpu")
            self._copies[name].copy_(weight.detach())

    @torch.no_grad()
    def put_back(self) -> None:
        """Makes the model what it was when they were taken."""
        for name, weight in self._list_trained():
            weight.copy_(self._copies[name])

    def save(self, folder: Path) -> None:
        save_file(self._copies, folder / FILE)

    def load(self, folder: Path) -> bool:
        """Takes up what was saved in a folder; False where nothing was, or another model's."""
        path = folder / FILE
        saved = load_file(path) if path.is_file() else {}
        fits = {name: weight.shape for name, weight in self._list_trained()}
        if {name: copy.shape for name, copy in saved.items()} != fits:
            return False
        self._copies = saved
        return True

    def _list_trained(self) -> list[tuple[str, Tensor]]:
        return [(name, weight) for name, weight in self._model.named_parameters() if weight.requires_grad]


def reset_moments(optimizer: Any) -> None:
    """Makes an optimiser, wrapped or not, forget what it gathered of the gradients of weights that were left."""
    getattr(optimizer, "optimizer", optimizer).state.clear()
