"""Each prompt's text and pictures go through the processor once, however many responses it gets.

Exact: a processor treats rows on their own, up to padding; padded to the longest of the different rows, they are as
wide as if all had been given.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import BatchFeature, ProcessorMixin

from spine_rl.engine.images import IMAGE_INPUTS, cut_by_row


class OncePerPrompt:
    """Stands in for a processor and gives what it gives; rows of the same text and the same picture objects are one."""

    def __init__(self, processor: ProcessorMixin, model: Any):
        self._processor, self._model = processor, model

    @property
    def __class__(self):  # isinstance finds a processor
        return type(self._processor)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)

    def __call__(self, images: Any = None, text: Any = None, **options: Any) -> BatchFeature:
        if images is None or isinstance(text, str):
            return self._processor(images=images, text=text, **options)

        def process(rows: Sequence[Any]) -> BatchFeature:
            pictures: Any = [row[0] or [] for row in rows]  # processors take no None for a text-only prompt
            return self._processor(images=pictures, text=[row[1] for row in rows], **options)

        return self._process_once([*zip(images, text, strict=True)], process)

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any:
        def process(rows: Sequence[Any]) -> Any:
            return self._processor.apply_chat_template(conversation=list(rows), **options)

        is_batch = bool(conversation) and not isinstance(conversation[0], dict)
        if is_batch and options.get("tokenize") and options.get("return_dict"):
            return self._process_once(conversation, process)
        return process(conversation)

    def _process_once(self, rows: Sequence[Any], process: Callable[[Sequence[Any]], BatchFeature]) -> BatchFeature:
        groups: dict[Any, int] = {}
        index = [groups.setdefault(_identify(row), len(groups)) for row in rows]
        if len(groups) == len(rows):
            return process(rows)
        repeated = repeat_rows(process([rows[index.index(group)] for group in groups.values()]), index, self._model)
        return process(rows) if repeated is None else repeated


def _identify(value: Any) -> Any:
    """Equal for the same text in the same structure around the same pictures."""
    if isinstance(value, dict):
        return tuple((name, _identify(part)) for name, part in sorted(value.items()))
    if isinstance(value, list | tuple):
        return tuple(map(_identify, value))
    return value if value is None or isinstance(value, str) else id(value)


def repeat_rows(batch: BatchFeature, index: Sequence[int], model: Any) -> BatchFeature | None:
    """A processor's rows, chosen and repeated by index; None where it cannot be told whose an input is."""
    lengths = [*map(len, batch["input_ids"])]
    pictures = {name: _to_tensor(value) for name, value in batch.items() if name in IMAGE_INPUTS}
    texts = {name: value for name, value in batch.items() if name not in pictures}
    cut = cut_by_row(model, _pad(batch["input_ids"]), pictures)
    if cut is None or any([*map(len, value)] != lengths for value in texts.values()):
        return None
    chosen = {
        name: value[torch.tensor(index)] if isinstance(value, Tensor) else [value[row] for row in index]
        for name, value in texts.items()
    }
    return BatchFeature(chosen | {name: torch.cat([parts[row] for row in index]) for name, parts in cut.items()})


def _to_tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(np.array(value))


def _pad(input_ids: Any) -> Tensor:
    if isinstance(input_ids, Tensor):
        return input_ids
    return pad_sequence([torch.tensor(ids) for ids in input_ids], batch_first=True, padding_value=-1)
