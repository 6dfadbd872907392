"""vLLM within a run: what TRL leaves open when it starts one, and whether what it holds are the trained weights."""

import functools
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from datasets import Dataset, IterableDataset
from transformers import ProcessorMixin
from trl.generation import vllm_generation

from spine_rl.engine.models import get_context_length
from spine_rl.engine.vllm_sampler import list_engine_options
from spine_rl.problems.prompts import encode_prompts

# Mean |difference| of log-probabilities, in nats, that rounding explains; other weights make more.
_ROUNDING_32_BITS, _ROUNDING = 1e-3, 0.05


@contextmanager
def completing_engine(trainer: Any, dataset: Dataset | IterableDataset) -> Iterator[None]:
    """Within the block, an engine that TRL starts in this process is told what `VllmSampler` tells its own.

    On a CPU it also keeps the weights as they were loaded, so that trained ones can take their place.

    Args:
        trainer: Under construction.
        dataset: Its problems, whose longest prompt and response vLLM is to have room for, where the configuration
            does not say how many tokens it has.
    """
    module: Any = vllm_generation
    start = getattr(module, "LLM", None)
    if start is None:  # vLLM is not installed, which TRL says
        yield
        return

    @functools.wraps(start)
    def start_completed(**options: Any) -> Any:
        if not torch.accelerator.is_available():
            layers: Any = import_module("vllm.model_executor.layers.utils")
            layers.dispatch_cpu_unquantized_gemm = _multiply_plainly
        if options.get("max_model_len") is None:
            options["max_model_len"] = _count_needed(trainer, dataset)
        return start(**list_engine_options(), **_choose_dtype(trainer), **options)

    module.LLM = start_completed
    try:
        yield
    finally:
        module.LLM = start


def _count_needed(trainer: Any, dataset: Dataset | IterableDataset) -> int | None:
    """None, which is the model's context, where prompts have pictures or come one by one."""
    if not isinstance(dataset, Dataset) or isinstance(trainer.processing_class, ProcessorMixin):
        return None
    prompts = encode_prompts(trainer.processing_class, dataset["prompt"], trainer.args.chat_template_kwargs or {})
    needed = max(map(len, prompts)) + trainer.args.max_completion_length
    return min(needed, get_context_length(trainer.model) or needed)


def _choose_dtype(trainer: Any) -> dict[str, str]:
    """`generation_dtype`, as vLLM names it; by its own choice it computes in 16 bits."""
    asked = trainer.args.generation_dtype
    dtype = next(trainer.model.parameters()).dtype if asked == "model" else asked
    return {} if asked == "auto" else {"dtype": str(dtype).removeprefix("torch.")}


def _multiply_plainly(layer: Any, remove_weight: bool) -> None:
    """In place of vLLM's, which packs a layer's weight for its kernels and throws away what could be loaded anew."""
    layer.cpu_linear = torch.nn.functional.linear


class WeightCheck:
    """Compares the log-probabilities that vLLM drew responses with to the update's, for the same weights.

    Args:
        trainer: Whose run it is.
    """

    def __init__(self, trainer: Any):
        args = trainer.args
        # What is drawn from less than the whole distribution has other log-probabilities than the update's.
        self._is_comparable = not args.top_k and not args.min_p and args.repetition_penalty == 1.0
        self._expected = self._find_rounding(trainer) - math.log(args.top_p)
        self._warned_of = 0.0

    def _find_rounding(self, trainer: Any) -> float:
        engine = getattr(trainer.vllm_generation, "llm", None)
        drawn_in = None if engine is None else engine.llm_engine.model_config.dtype
        exact = drawn_in == torch.float32 and trainer.accelerator.mixed_precision == "no"
        exact = exact and next(trainer.model.parameters()).dtype == torch.float32
        return _ROUNDING_32_BITS if exact else _ROUNDING

    def look(self, gap: float | None, step: int) -> None:
        """Warns of a gap that rounding does not explain, and again where it has doubled.

        Args:
            gap: Mean |difference| over the tokens of a step; None where vLLM gave none.
            step: Whose responses they are.
        """
        if gap is None or not self._is_comparable or gap <= max(self._expected, 2 * self._warned_of):
            return
        self._warned_of = gap
        warnings.warn(
            f"step {step}: vLLM drew with log-probabilities that differ by {gap:.2g} nats from the trained model's "
            f"(rounding explains {self._expected:.2g}): its weights are not the trained ones, or it computes them "
            "otherwise; look at sampling/logp_gap, and try vllm_model_impl=transformers, or generate without vLLM",
            stacklevel=3,
        )
