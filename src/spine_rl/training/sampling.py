"""Responses: rows read once, prompts processed once, and the model's own `generate` where it is faster."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from datasets import Dataset
from transformers import ProcessorMixin
from trl.trainer.utils import RepeatSampler

from spine_rl.engine.generation import Generator, add_shared_generation
from spine_rl.engine.processing import OncePerPrompt
from spine_rl.engine.sampler import list_end_tokens
from spine_rl.training.config import as_mapping
from spine_rl.training.epochs import EpochSampler, number_epochs
from spine_rl.training.read_once import ReadOnce
from spine_rl.training.scoring import ScoringTrainer
from spine_rl.training.shared_scoring import is_split, unwrap_model
from spine_rl.training.vllm_weights import WeightCheck


class SamplingTrainer(ScoringTrainer):
    """TRL's sampling, with less work done twice."""

    _sampler: EpochSampler | None = None

    def share_generation(self) -> None:
        """Prepares the model's `generate`, unless another engine samples; then TRL's own way is taken."""
        args = self.args
        self._end_responses()
        self.weight_check: WeightCheck | None = WeightCheck(self) if args.use_vllm else None
        other_engine = args.use_vllm or args.use_transformers_continuous_batching
        self.generator: Generator | None = None
        if args.prompt_sharing != "off" and not other_engine and not self.is_sharded and not is_split(self.model):
            self.generator = add_shared_generation(unwrap_model(self.model), args.generation_dtype)
            args.generation_dtype = "bfloat16" if self.generator.copies else "model"  # what was measured is recorded

    def _end_responses(self) -> None:
        """Responses end, are cut, masked and counted by the same tokens, with each engine: TRL's, and those given."""
        config, given = unwrap_model(self.model).generation_config, as_mapping(self.args.generation_kwargs)
        self.eos_token_ids = ends = list_end_tokens(config, self._tokenizer, given)
        if self.args.use_vllm:  # in this process or a server
            self.vllm_generation.generation_kwargs = {**self.vllm_generation.generation_kwargs, "stop_token_ids": ends}
        else:
            self.generation_config.eos_token_id = self.generation_kwargs["eos_token_id"] = ends

    def _get_dataloader(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._get_dataloader(ReadOnce(dataset) if isinstance(dataset, Dataset) else dataset, *args, **kwargs)

    def _get_train_sampler(self, dataset: Dataset | None = None) -> EpochSampler:
        self._sampler = number_epochs(cast(RepeatSampler, super()._get_train_sampler(dataset)), self.args.data_seed)
        return self._sampler

    def _run_epoch(self, **place: Any) -> None:
        """transformers' and accelerate's ways to the sampler miss it where one of several processes skips batches."""
        if self._sampler is not None:  # there is none of a stream
            self._sampler.set_epoch(place["epoch"])
        super()._run_epoch(**place)

    @contextmanager
    def _processing_once(self) -> Iterator[None]:
        """TRL gives a processor every row, twice a batch."""
        processor = self.processing_class
        if isinstance(processor, ProcessorMixin):
            self.processing_class = cast(ProcessorMixin, OncePerPrompt(processor, unwrap_model(self.model)))
        try:
            yield
        finally:
            self.processing_class = processor

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> tuple[list[list[int]], list[list[float]] | None]:
        """TRL's, and the log-probabilities that its `generate` drew with, where it is ours."""
        completion_ids, logps = super()._generate_single_turn(*args, **kwargs)
        if logps is None and self.generator is not None and self.generator.logps is not None:
            rows = zip(self.generator.logps.tolist(), completion_ids, strict=True)
            logps = [row[: len(ids)] for row, ids in rows]
        return completion_ids, logps
