"""The order of problems over epochs, the same for a resumed run as for an unbroken one."""

import torch
from trl.trainer.utils import RepeatSampler


class EpochSampler(RepeatSampler):
    """TRL's sampler, whose n-th epoch has the n-th permutation, wherever the run began."""

    def set_epoch(self, epoch: int) -> None:
        """Called before each epoch, counted from 0; TRL's own would give a resumed run the first permutation again."""
        if not self.shuffle or self.seed is None:
            return
        self.generator.manual_seed(self.seed)
        for _ in range(epoch):
            torch.randperm(self.num_samples, generator=self.generator)


def number_epochs(sampler: RepeatSampler, seed: int | None = None) -> EpochSampler:
    """The same sampler, told its epoch; with another seed, if one is given."""
    return EpochSampler(
        sampler.data_source,
        mini_repeat_count=sampler.mini_repeat_count,
        batch_size=sampler.batch_size,
        repeat_count=sampler.repeat_count,
        shuffle=sampler.shuffle,
        seed=sampler.seed if seed is None else seed,
    )
