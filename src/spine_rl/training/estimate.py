"""A run's memory before its first step: what `SpineConfig` and a model say of it, for `spine_rl.engine.estimate`."""

import copy
from dataclasses import replace
from typing import Any

import psutil
import torch
from accelerate.utils import DistributedType
from peft import PeftConfig, get_peft_model

from spine_rl.engine.budget import measure_free_memory
from spine_rl.engine.estimate import SHARDINGS, MemoryEstimate, MemoryPlan, ModelSize, estimate_memory, measure_size
from spine_rl.engine.models import get_vision_tower
from spine_rl.training.config import SpineConfig
from spine_rl.training.vision import adapt_language_only


def estimate_run(
    model: Any,
    args: SpineConfig,
    prompt_tokens: int,
    *,
    peft_config: PeftConfig | None = None,
    copies_weights: bool = False,
    num_processes: int = 1,
    sharding: str = "none",
) -> MemoryEstimate:
    """The memory of one process of a run.

    Args:
        model: On the device that it will be trained on, whole, not wrapped but by an adapter.
        args: The run's.
        prompt_tokens: Of the longest prompt.
        peft_config: Of an adapter that the model is yet to get.
        copies_weights: Whether a 16-bit copy generates, if the model itself does (`Generator.copies`).
        num_processes: Of the run.
        sharding: One of `engine.estimate.SHARDINGS`.
    """
    size = measure_size(model) if peft_config is None else _add_adapter(measure_size(model), model, peft_config)
    adapts = peft_config is not None or hasattr(model, "peft_config")
    if args.freeze_vision and not adapts:
        size = _leave_out_tower(size, model)
    is_elsewhere = args.use_vllm or args.use_transformers_continuous_batching
    assert args.generation_batch_size is not None
    available = _measure_available(model.device)
    if args.use_vllm and args.vllm_mode == "colocate":
        available = int(available * (1 - args.vllm_gpu_memory_utilization))
    plan = MemoryPlan(
        rows_generated=0 if is_elsewhere else args.generation_batch_size // num_processes,
        rows_updated=args.per_device_train_batch_size,
        prompt_tokens=prompt_tokens,
        response_tokens=args.max_completion_length or 0,
        optimizer=str(getattr(args.optim, "value", args.optim)),
        copies_weights=copies_weights and not is_elsewhere,
        in_16_bits=bool(args.bf16 or args.fp16),
        has_reference=args.beta > 0 and not adapts,
        holds_best=args.holds_best,
        checkpoints_layers=bool(args.gradient_checkpointing),
        num_processes=num_processes,
        sharding=sharding,
        device_type=model.device.type,
        available=available,
    )
    return estimate_memory(size, plan)


def estimate_trainer(trainer: Any, prompt_tokens: int) -> MemoryEstimate:
    """Of a `SpineTrainer` that is ready to train, and has not begun."""
    return estimate_run(
        trainer.model,
        trainer.args,
        prompt_tokens,
        copies_weights=trainer.generator is not None and trainer.generator.copies,
        num_processes=trainer.accelerator.num_processes,
        sharding=get_sharding(trainer.accelerator),
    )


def get_sharding(accelerator: Any) -> str:
    """What the processes of a run share out, one of `SHARDINGS`."""
    if accelerator.distributed_type == DistributedType.FSDP:
        return "weights"
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        return SHARDINGS[int(accelerator.state.deepspeed_plugin.zero_stage)]
    return "none"


def _add_adapter(size: ModelSize, model: Any, peft_config: PeftConfig) -> ModelSize:
    """By an outline of the model, without data: the model itself stays as it is."""
    config = copy.deepcopy(peft_config)
    with torch.device("meta"):
        outline = type(model)(model.config)
        adapt_language_only(config, outline)
        adapted = get_peft_model(outline, config)
    trained = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    return replace(size, weights=size.weights + 4 * trained, trained=trained, trained_itemsize=4)


def _leave_out_tower(size: ModelSize, model: Any) -> ModelSize:
    tower = get_vision_tower(model)
    if tower is None:
        return size
    frozen = sum(weight.numel() for weight in tower.parameters() if weight.requires_grad)
    return replace(size, trained=size.trained - frozen)


def _measure_available(device: torch.device) -> int:
    """Bytes that this process may have in all: what it has, and what is free."""
    on_gpu = device.type == "cuda"
    held = torch.cuda.memory_allocated(device) if on_gpu else psutil.Process().memory_info().rss
    return held + measure_free_memory(device)
