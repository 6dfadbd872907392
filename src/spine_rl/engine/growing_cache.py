"""A key-value cache with room to grow, whose rows can leave."""

from typing import Any

from torch import Tensor
from transformers import DynamicLayer

_HEADROOM = 64  # tokens that it can grow by before it is copied


class GrowingLayer(DynamicLayer):
    """A cache layer with room to grow in place. With a sliding window it keeps all tokens, under the model's mask."""

    keys: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]
    values: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._store(key_states, value_states)
            return self.keys, self.values
        start, end = self.keys.shape[-2], self.keys.shape[-2] + key_states.shape[-2]
        if end > self._buffers[0].shape[-2]:
            self._store(self.keys, self.values)
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, start:end] = states
        self.keys, self.values = (buffer[:, :, :end] for buffer in self._buffers)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        self._store(self.keys, self.values, indices)

    def _store(self, keys: Tensor, values: Tensor, rows: Tensor | None = None) -> None:
        length = keys.shape[-2]
        self._buffers = []
        for states in (keys, values):
            shape = (len(states) if rows is None else len(rows), states.shape[1], length + _HEADROOM, states.shape[-1])
            buffer = states.new_empty(shape)
            buffer[:, :, :length] = states if rows is None else states[rows]
            self._buffers.append(buffer)
        self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers)
