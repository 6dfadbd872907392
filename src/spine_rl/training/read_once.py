"""A batch's rows, read once however often the sampler repeats them: a row's pictures are decoded when it is read."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from torch.utils.data import Dataset as TorchDataset


class ReadOnce(TorchDataset):
    """Rows of a data set as a data loader asks for them, by the batch."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.dataset[index]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Rows of the same index share their values, pictures too, but not their dictionaries."""
        distinct = list(dict.fromkeys(indices))
        rows = dict(zip(distinct, self.dataset.__getitems__(distinct), strict=True))
        return [dict(rows[index]) for index in indices]
