"""The trained weights of one step, held in host memory; a checkpoint has them too, so that a resumed run does."""

from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from safetensors.torch import load_file, save_file
from torch import Tensor

from spine_rl.training.whole_weights import get_shape, is_sharded, read_whole, write_whole

FILE = "best_weights.safetensors"


class BestWeights:
    """A copy of what is trained of a model: all of it, or an adapter.

    Of a sharded model the first process alone has it, whole; the others take part in each call.

    Args:
        model: Without wrappers of processes.
        is_main: Whether this process is the first.
    """

    def __init__(self, model: Any, *, is_main: bool = True):
        self._model, self._is_main = model, is_main
        self._copies: dict[str, Tensor] = {}

    def take(self) -> None:
        """Copies the weights as they are now."""
        for name, weight in self._list_trained():
            whole = read_whole(weight)
            if not self._holds(weight):
                continue
            if name in self._copies:
                self._copies[name].copy_(whole)
            else:
                self._copies[name] = whole.to("cpu", copy=True)

    def put_back(self, optimizer: Any = None) -> None:
        """Makes the model what it was when they were taken, and an optimiser that has weights of its own follow."""
        for name, weight in self._list_trained():
            write_whole(weight, self._copies.get(name))
        refresh = getattr(_unwrap(optimizer), "refresh_fp32_params", None)  # DeepSpeed's
        if refresh is not None:
            refresh()

    def save(self, folder: Path) -> None:
        """Writes them into a folder; for the first process."""
        save_file(self._copies, folder / FILE)

    def load(self, folder: Path) -> bool:
        """Takes up what was saved in a folder; False where nothing was, or another model's."""
        trained = self._list_trained()
        shares = any(is_sharded(weight) for _, weight in trained)
        fits = True
        if self._is_main or not shares:
            path = folder / FILE
            saved = load_file(path) if path.is_file() else {}
            fits = {name: copy.shape for name, copy in saved.items()} == {name: get_shape(w) for name, w in trained}
            if fits:
                self._copies = saved
        if shares:
            box = [fits]
            broadcast_object_list(box)
            fits = box[0]
        return fits

    def _holds(self, weight: Tensor) -> bool:
        return self._is_main or not is_sharded(weight)

    def _list_trained(self) -> list[tuple[str, Tensor]]:
        return [(name, weight) for name, weight in self._model.named_parameters() if weight.requires_grad]


def reset_moments(optimizer: Any) -> None:
    """Makes an optimiser, wrapped or not, forget what it gathered of the gradients of weights that were left."""
    inner = _unwrap(optimizer)
    if hasattr(inner, "refresh_fp32_params"):  # DeepSpeed's, which keeps its tensors: Adam's begin at 0
        for state in inner.state.values():
            for value in state.values():
                if isinstance(value, Tensor):
                    value.zero_()
    else:
        inner.state.clear()


def _unwrap(optimizer: Any) -> Any:
    return getattr(optimizer, "optimizer", optimizer)
