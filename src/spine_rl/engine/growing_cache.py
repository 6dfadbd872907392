"""A key-value cache with room to grow, whose rows can leave."""

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicLayer

_HEADROOM = 128  # tokens that it can grow by before it is copied


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
        self._show(end)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Goes on with these rows; unless they are more than before, only those that change their place are copied."""
        if not self.is_initialized:  # of a layer that takes another's keys
            return
        length = self.keys.shape[-2]
        if len(indices) > len(self.keys):
            self._store(self.keys[indices], self.values[indices])
            return
        moved = (indices != torch.arange(len(indices), device=indices.device)).nonzero().squeeze(1)
        for buffer in self._buffers:
            buffer[moved, :, :length] = buffer[indices[moved], :, :length]
        self._buffers = [buffer[: len(indices)] for buffer in self._buffers]
        self._show(length)

    def _store(self, *states: Tensor) -> None:
        length = states[0].shape[-2]
        self._buffers = [state.new_empty((*state.shape[:2], length + _HEADROOM, state.shape[-1])) for state in states]
        for buffer, state in zip(self._buffers, states, strict=True):
            buffer[:, :, :length] = state
        self._show(length)

    def _show(self, length: int) -> None:
        self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers)
