"""A run: load, adapt, save."""

import logging
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

from spine_rl.engine.model_folder import find_base
from spine_rl.engine.models import get_context_length, get_tokenizer, load_model_and_tokenizer
from spine_rl.engine.say import say
from spine_rl.errors import ConfigError, RunFolderError, Stopped
from spine_rl.problems import ProblemSet, load_problems
from spine_rl.problems.benchmarks import split_benchmark_source
from spine_rl.runs.checkpoints import list_checkpoints
from spine_rl.runs.folder_lock import owning
from spine_rl.runs.may_write import Output, check_may_write
from spine_rl.runs.run_file import LAST_FOLDER, read_run
from spine_rl.runs.run_folder import RUN, Start, find_start
from spine_rl.training.arguments import Arguments, build_peft_config
from spine_rl.training.checkpoints import check_processes
from spine_rl.training.dataset import check_number
from spine_rl.training.forecast import forecast
from spine_rl.training.problem_dataset import build_dataset
from spine_rl.training.progress import LiveView, show_live
from spine_rl.training.recorded_run import describe_inputs, run_recorded
from spine_rl.training.samples import SampleFile
from spine_rl.training.trainer import SpineTrainer
from spine_rl.training.trl_fields import refusals_in_one_line

ProcessingClass = PreTrainedTokenizerBase | ProcessorMixin


def run_train(arguments: Arguments) -> None:
    """Adapts a model as the options say."""
    assert arguments.training.output_dir is not None
    folder = Path(arguments.training.output_dir)
    with ExitStack() as until_end:
        start = _decided_by_one(lambda: _open(arguments, folder, until_end))
        if not start.is_finished:
            _adapt(arguments, folder, start)


def train_or_go_on(arguments: Arguments, folder: Path, *, overwrite: bool) -> None:
    """Trains, or goes on from the last checkpoint, or leaves a finished run of the same configuration as it is.

    Args:
        arguments: Of a run in this folder.
        folder: The run's, within that of another command.
        overwrite: An earlier run is replaced.

    Raises:
        RunFolderError: A finished run there is of another configuration, or `run_train` refuses the folder.
    """
    content = None if overwrite else read_run(folder)
    if content is not None and "sampling" in content and content["given"] != arguments.given:
        raise RunFolderError(f"{folder} is a run of another configuration; give another --out, or --overwrite")
    run_train(replace(arguments, run=replace(arguments.run, overwrite=overwrite, resume=content is not None)))


def _open(arguments: Arguments, folder: Path, until_end: ExitStack) -> Start:
    run, reads = arguments.run, [arguments.model.model_name_or_path or "", arguments.run.data]
    check_may_write([Output(folder, RUN, "output_dir", goes_on=True)], overwrite=run.overwrite, reads=reads)
    until_end.enter_context(owning(folder))
    start = find_start(folder, overwrite=run.overwrite, resume=run.resume, given=arguments.given)
    if start.checkpoint is not None:
        check_processes(start.checkpoint, PartialState().num_processes)  # before a model is loaded
    for note in start.notes:
        print(note, file=sys.stderr)
    return start


def _decided_by_one(decide: Callable[[], Start]) -> Start:
    """One of several processes looks at the folder, since it begins to fill at once; the others hear of it, or end."""
    state = PartialState()
    box: list[Start | Exception | None] = [None]
    if state.is_main_process:
        try:
            box[0] = decide()
        except Exception as error:  # whatever it is, the others must not wait for an answer
            box[0] = error
    if state.num_processes > 1:
        broadcast_object_list(box)
    decision = box[0]
    assert decision is not None
    if isinstance(decision, Exception) or decision.is_finished:  # every process leaves
        state.destroy_process_group()
    if isinstance(decision, Exception):
        if state.is_main_process:
            raise decision
        sys.exit(2)  # the main process says why
    return decision


def _adapt(arguments: Arguments, folder: Path, start: Start) -> None:
    """Loads problems and model, trains, and says what came of it; exits with 1 where training ended early."""
    problem_set = _load_problems(arguments)
    check_number(len(problem_set.problems), arguments.training)
    model, processing_class = _load_model(arguments)
    dataset = build_dataset(
        problem_set.problems,
        processing_class,
        arguments.style,
        context=get_context_length(model),
        max_new_tokens=arguments.training.max_completion_length,
    )
    inputs = describe_inputs(problem_set, model)
    arguments.training.take_measured(start.resolved)
    trainer = _build_trainer(arguments, problem_set, model, processing_class, dataset)
    if trainer.args.sample_steps > 0:
        samples = SampleFile(folder, get_tokenizer(processing_class), every=trainer.args.sample_steps)
        trainer.token_recorder = samples
        trainer.add_callback(samples)
    show_live(trainer, LiveView())
    if trainer.is_world_process_zero():
        say(*forecast(trainer, start.steps_done))
    try:
        number = run_recorded(
            trainer,
            folder,
            start,
            overwrite=arguments.run.overwrite,
            given=arguments.given,
            resolved=_resolved(arguments),
            inputs=inputs,
            write_card=lambda: trainer.create_model_card(folder.name, _name_data(arguments)),
        )
        if number is not None:
            _leave_together(trainer)
            raise Stopped(number)
    except Stopped as stop:
        stop.kept = _describe_kept(folder)
        raise
    if trainer.is_world_process_zero():
        _tell_end(trainer, folder)
    failure = trainer.finite_steps.failure
    _leave_together(trainer)
    if failure is not None:
        sys.exit(1)


def _tell_end(trainer: SpineTrainer, folder: Path) -> None:
    say(f"adapted model, metrics and configuration are in {folder}")
    kept, failure = trainer.guard.kept, trainer.finite_steps.failure
    if kept is not None and kept.step != kept.last_step:
        say(f"its weights are those after step {kept.step} of {kept.last_step}: {kept.reason}")
        if (folder / LAST_FOLDER).is_dir():  # with save_strategy=no there is none
            say(f"the weights after the last step are in {folder / LAST_FOLDER}")
    if failure is not None:
        print(f"spine: training ended early: {failure}; the last good weights are in {folder}", file=sys.stderr)


def _leave_together(trainer: SpineTrainer) -> None:
    """A process must not leave while another still waits for it, nor with its group: then torch may abort it."""
    if trainer.accelerator.num_processes > 1:
        trainer.accelerator.wait_for_everyone()
        trainer.accelerator.end_training()


def _name_data(arguments: Arguments) -> str:
    """A card is made to be shared: it names a file, not where it lies."""
    data = arguments.run.data
    return split_benchmark_source(data)[0] or (Path(data).name if Path(data).exists() else data)


def _describe_kept(folder: Path) -> str:
    found = list_checkpoints(folder)
    return f"{found[-1]} is kept" if found else f"{folder} has no checkpoint yet"


def _load_problems(arguments: Arguments) -> ProblemSet:
    run = arguments.run
    return load_problems(
        run.data,
        split=run.split,
        prompt_column=run.prompt_column,
        id_column=run.id_column,
        gold_column=run.gold_column,
        limit=run.limit,
        max_image_pixels=run.max_image_pixels,
        allow_image_urls=run.allow_image_urls,
    )


def _load_model(arguments: Arguments) -> tuple[PreTrainedModel, ProcessingClass]:
    assert arguments.model.model_name_or_path is not None
    name = arguments.model.model_name_or_path
    if arguments.model.use_peft and find_base(name) is not None:
        raise ConfigError(f"use_peft: {name} is an adapter already, which is trained on; leave use_peft out")
    model, processing_class = load_model_and_tokenizer(name, trains_adapter=True, **arguments.load_options)
    _name_base_wholly(model)
    return model, processing_class


def _name_base_wholly(model: Any) -> None:
    """An adapter that is saved says which model it is for, and is loaded from another folder than the run's, too."""
    model.name_or_path = _make_whole(model.name_or_path)  # of which a new adapter takes it
    for config in getattr(model, "peft_config", {}).values():
        config.base_model_name_or_path = _make_whole(config.base_model_name_or_path)


def _make_whole(name: str | None) -> str | None:
    """A path here as an absolute one; a name of the hub stays."""
    return os.path.abspath(name) if name and os.path.exists(name) else name


def _build_trainer(
    arguments: Arguments,
    problem_set: ProblemSet,
    model: PreTrainedModel,
    processing_class: ProcessingClass,
    dataset: Dataset,
) -> SpineTrainer:
    revision = arguments.model.model_revision
    if arguments.training.beta > 0 and revision != "main":  # of the KL anchor's reference, which is read again
        given: Any = arguments.training.model_init_kwargs or {}
        arguments.training.model_init_kwargs = {"revision": revision, **given}
    # TRL warns that it ignores them, as it did not load the model; it was loaded with them here.
    logging.getLogger("trl.trainer.grpo_trainer").addFilter(lambda row: "model_init_kwargs" not in row.getMessage())
    with refusals_in_one_line(RuntimeError):
        return SpineTrainer(
            model,
            args=arguments.training,
            train_dataset=dataset,
            processing_class=processing_class,
            gold_answers=problem_set.gold_answers,
            peft_config=build_peft_config(arguments.model, arguments.load_options["revision"]),
        )


def _resolved(arguments: Arguments) -> dict[str, Any]:
    return {
        "run": asdict(arguments.run),
        "training": arguments.training.to_dict(),
        "model": asdict(arguments.model),
    }
