"""The two sides: TRL's GRPOTrainer with a majority-vote reward, and SPINE's trainer, otherwise configured the same."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import torch
from datasets import Dataset
from transformers import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from spine_rl.engine.models import get_hidden_size
from spine_rl.engine.precision import is_faster_in_16_bits
from spine_rl.lab.bench.shapes import BatchShape, ModelShape, build_batch, build_model
from spine_rl.lab.tokenizer import build_tokenizer
from spine_rl.training import SpineConfig, SpineTrainer

# SPINE's trainer stands for three: its own preset, or the one that the options name; plain TTRL on the same path; its
# preset with nothing shared, where every response runs its own prompt and picture.
SIDES = ("trl", "spine", "ttrl", "unshared")
PRESETS = {"spine": "spine", "ttrl": "ttrl", "unshared": "spine"}


def build_trainer(
    side: str, model: Any, folder: str, *, dataset: Dataset | None = None, tokenizer: Any = None, **options: Any
) -> Any:
    """A trainer of one side, not yet run.

    Args:
        side: One of `SIDES`.
        model: Trained in place.
        folder: For its output.
        dataset: Problems; without any, the trainer is only good for `run_update`.
        tokenizer: Of the model; default one that merely exists.
        options: Of the configuration; vision towers are trained on both sides, unless told otherwise.
    """
    arguments = {
        "output_dir": folder,
        "num_generations": 8,
        "gradient_checkpointing": False,
        "lr_scheduler_type": "constant",
        "temperature": 1.0,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "logging_steps": 1,
    }
    if not torch.accelerator.is_available():
        width = get_hidden_size(model)  # both sides in the precision that SPINE would choose
        arguments |= {"use_cpu": True, "bf16": is_faster_in_16_bits(torch.device("cpu"), width)}
    arguments |= options
    if dataset is None:
        dataset = Dataset.from_list([{"prompt": str(i)} for i in range(64)])
    common = {"model": model, "train_dataset": dataset, "processing_class": tokenizer or build_tokenizer()}
    trainer: Any
    if side == "trl":
        trainer = GRPOTrainer(
            reward_funcs=cast(Any, majority_vote), args=GRPOConfig(**arguments, loss_type="dapo"), **common
        )
    else:
        sharing = "off" if side == "unshared" else "auto"
        ours = {"freeze_vision": False, "preset": PRESETS[side], "prompt_sharing": sharing, "keep_best": "none"}
        arguments = ours | arguments  # the best weights are one copy more, which the peer does not keep
        trainer = SpineTrainer(args=SpineConfig(**arguments), **common)
    trainer.remove_callback(PrinterCallback)
    return trainer


def majority_vote(problem_id: list[str], completions: list[Any], **_: Any) -> list[float]:
    """The peer's reward: 1 for agreeing with the most frequent answer to the same problem."""
    answers = [_find_answer(completion) for completion in completions]
    votes: dict[str, Counter[str]] = {}
    for problem, answer in zip(problem_id, answers, strict=True):
        if answer is not None:
            votes.setdefault(problem, Counter())[answer] += 1
    winners = {problem: counter.most_common(1)[0][0] for problem, counter in votes.items()}
    return [float(a is not None and a == winners[p]) for p, a in zip(problem_id, answers, strict=True)]


def _find_answer(completion: Any) -> str | None:
    text = completion if isinstance(completion, str) else completion[-1]["content"]
    boxes = re.findall(r"\\boxed\{([^{}]{1,40})\}", text)
    return boxes[-1] if boxes else None


def build_update_trainer(side: str, model: ModelShape, batch: BatchShape, folder: str, **options: Any) -> Any:
    """A trainer of a random model that takes `batch` as one micro-batch, unless `options` say otherwise."""
    sizes: dict[str, Any] = {
        "per_device_train_batch_size": batch.prompts * batch.group_size,
        "num_generations": batch.group_size,
    }
    return build_trainer(side, build_model(model), folder, **sizes | options)


def prepare_update(side: str, model: ModelShape, batch: BatchShape, folder: str, **options: Any) -> Callable[[], float]:
    """A call that runs the update and returns its loss; `options` are of the trainer's configuration."""
    trainer = build_update_trainer(side, model, batch, folder, **options)
    inputs = move_batch(build_batch(model, batch), trainer)
    return lambda: run_update(trainer, inputs)


def move_batch(batch: dict[str, Any], trainer: Any) -> dict[str, Any]:
    """To the trainer's device."""
    device = trainer.accelerator.device
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}


def run_update(trainer: Any, batch: dict[str, Any]) -> float:
    """Loss and gradients of one micro-batch; returns the loss."""
    model = trainer.model
    model.train()
    model.zero_grad()
    trainer.current_gradient_accumulation_steps = trainer.args.steps_per_generation
    loss = trainer.compute_loss(model, batch)
    trainer.accelerator.backward(loss)
    return loss.item()
