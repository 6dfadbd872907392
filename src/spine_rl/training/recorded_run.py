"""A run with a folder: it is opened, trained in, and holds the adapted model at the end, whenever it is stopped."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spine_rl.evaluation.budget import count_responses
from spine_rl.problems import ProblemSet
from spine_rl.problems.images import digest_image
from spine_rl.runs.manifest import digest_texts
from spine_rl.runs.rows import MetricsFile
from spine_rl.runs.run_folder import Start, check_same_inputs, move_model, open_folder, write_config, write_finished
from spine_rl.runs.whole_file import TEMPORARY
from spine_rl.training.checkpoints import naming_the_last
from spine_rl.training.stopping import StopOnSignal
from spine_rl.training.trainer import SpineTrainer

_SAMPLED = 256  # weights of each tensor, evenly over it: training changes every one


def run_recorded(
    trainer: SpineTrainer,
    folder: Path,
    start: Start,
    *,
    overwrite: bool,
    given: Mapping[str, Any],
    resolved: Mapping[str, Any],
    inputs: Mapping[str, Any],
    write_card: Callable[[], None],
) -> int | None:
    """Trains and leaves model, metrics and configuration in the folder.

    Args:
        trainer: Ready to train.
        folder: The run's, which this process owns.
        start: Where the run begins.
        overwrite: An earlier run is replaced.
        given: The fields that were given.
        resolved: Every field.
        inputs: Digests of what was read.
        write_card: Writes the model card.

    Returns:
        The signal that ended the run before its end, or came in its last step; None where there was none.

    Raises:
        RunFolderError: Problems or model are not what the run to resume began with, or the disk is full.
        HubError: The finished run cannot be pushed.
    """
    trainer.accelerator.wait_for_everyone()  # every process has looked at the folder before one opens it
    if trainer.is_world_process_zero():
        if not overwrite:  # what is there is gone on with
            check_same_inputs(folder, inputs)
        open_folder(folder, start, overwrite=overwrite)
        write_config(folder, given, resolved, inputs)
    trainer.accelerator.wait_for_everyone()
    stop = StopOnSignal(trainer)
    trainer.add_callback(stop)
    trainer.add_callback(MetricsFile(folder))
    with stop.listening():
        trainer.train(resume_from_checkpoint=None if start.checkpoint is None else str(start.checkpoint))
    if stop.number is not None:
        return stop.number
    save_whole(trainer, folder)
    write_card()
    if trainer.is_world_process_zero():
        num_steps, num_problems = trainer.state.global_step, inputs["problems"]["number"]
        kept = {} if trainer.guard.kept is None else dataclasses.asdict(trainer.guard.kept)
        num_responses = count_responses(trainer.args, num_steps) + trainer.num_probed
        write_finished(folder, num_steps, num_responses, num_problems, kept)
    if trainer.args.push_to_hub:
        trainer.push_run(folder)
    return None


def save_whole(trainer: SpineTrainer, folder: Path) -> None:
    """Saves the model into the run's folder: aside, then file by file, its manifest last."""
    aside = folder / f"{TEMPORARY}model"
    with naming_the_last(folder / "model.safetensors"):
        trainer.save_model(str(aside), _internal_call=True)
        trainer.accelerator.wait_for_everyone()
        if trainer.args.should_save:
            move_model(aside, folder)
    trainer.accelerator.wait_for_everyone()


def describe_inputs(problem_set: ProblemSet, model: nn.Module) -> dict[str, Any]:
    """Of what a run reads, what tells it from another of the same name."""
    texts = (
        repr((each.id, each.prompt, each.options, each.answer_type, problem_set.gold_answers.get(each.id)))
        + "".join(map(digest_image, each.images))
        for each in problem_set.problems
    )
    return {
        "problems": {"number": len(problem_set.problems), "sha256": digest_texts(texts)},
        "model": {"sample_sha256": digest_texts(_sample_weights(model))},
    }


def _sample_weights(model: nn.Module) -> list[str]:
    texts = []
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.detach().flatten()
        sample = flat[:: max(1, flat.numel() // _SAMPLED)][:_SAMPLED].to("cpu", torch.float32)
        texts.append(f"{name} {tuple(tensor.shape)} {sample.tolist()}")
    return texts
