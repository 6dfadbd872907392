"""`spine train`: load, adapt, save."""

import dataclasses
from pathlib import Path
from typing import Any

from datasets import Dataset
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin
from trl import ModelConfig, get_peft_config, get_quantization_config

from spine_rl.cli.arguments import Arguments, describe_fields, parse_arguments
from spine_rl.engine.models import get_context_length, get_tokenizer, load_model_and_tokenizer
from spine_rl.errors import ConfigError, SpineError
from spine_rl.problems import ProblemSet, PromptStyle, load_problems
from spine_rl.runs.run_folder import (
    MetricsFile,
    check_folder,
    count_responses,
    open_folder,
    write_config,
    write_sampling,
)
from spine_rl.training import SpineTrainer
from spine_rl.training.problem_dataset import build_dataset
from spine_rl.training.progress import LiveView, show_live
from spine_rl.training.samples import SampleFile

ProcessingClass = PreTrainedTokenizerBase | ProcessorMixin


def run_train(tokens: list[str]) -> None:
    """Adapts a model as the command line's tokens say."""
    if not tokens or {"--help", "-h"} & set(tokens):
        print_help()
        return
    arguments = parse_arguments(tokens)
    folder = _output_folder(arguments)
    overwrite, resume = arguments.run.overwrite, arguments.run.resume
    checkpoint = check_folder(folder, overwrite=overwrite, resume=resume, given=arguments.given)
    problem_set = _load_problems(arguments)
    model, processing_class = _load_model(arguments)
    dataset = build_dataset(
        problem_set.problems,
        processing_class,
        PromptStyle(arguments.run.system_prompt, arguments.run.prompt_suffix),
        context=get_context_length(model),
        max_new_tokens=arguments.training.max_completion_length,
    )
    trainer = _build_trainer(arguments, problem_set, model, processing_class, dataset)
    trainer.accelerator.wait_for_everyone()  # every process has checked the folder before one opens it
    if trainer.is_world_process_zero():
        open_folder(folder, overwrite=overwrite)
        write_config(folder, arguments.given, _resolved(arguments))
    trainer.accelerator.wait_for_everyone()
    trainer.add_callback(MetricsFile(folder))
    if trainer.args.sample_steps > 0:
        samples = SampleFile(folder, get_tokenizer(processing_class), every=trainer.args.sample_steps)
        trainer.token_recorder = samples
        trainer.add_callback(samples)
    show_live(trainer, LiveView())
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model()
    assert arguments.run.data is not None
    name, equals, copy = arguments.run.data.partition("=")
    local = Path(copy or name).exists()  # a card is made to be shared: name the file, not where it lies
    trainer.create_model_card(folder.name, name if equals else Path(name).name if local else name)
    if trainer.is_world_process_zero():
        write_sampling(folder, count_responses(trainer.args, trainer.state.global_step), len(dataset))
        Console().print(f"adapted model, metrics and configuration are in {folder}", markup=False, highlight=False)
    if trainer.accelerator.num_processes > 1:  # a process must not leave while another still waits for it
        trainer.accelerator.wait_for_everyone()
        trainer.accelerator.end_training()


def _output_folder(arguments: Arguments) -> Path:
    """The run's folder, once the fields without which there is no run are there."""
    required = {"model_name_or_path": "model", "data": "data", "output_dir": "output_dir"}
    for name, option in required.items():
        if name not in arguments.given:
            raise ConfigError(f"{option} is missing; give --{option}, or a line in the --config file")
    assert arguments.training.output_dir is not None
    return Path(arguments.training.output_dir)


def _load_problems(arguments: Arguments) -> ProblemSet:
    run = arguments.run
    assert run.data is not None
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
    model: ModelConfig = arguments.model
    assert model.model_name_or_path is not None
    options: dict[str, Any] = {"dtype": model.dtype, "attn_implementation": model.attn_implementation}
    quantization = get_quantization_config(model)
    if quantization is not None:
        options["quantization_config"] = quantization
    return load_model_and_tokenizer(
        model.model_name_or_path,
        revision=model.model_revision,
        trust_remote_code=arguments.training.trust_remote_code,
        **options,
    )


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
    try:
        return SpineTrainer(
            model,
            args=arguments.training,
            train_dataset=dataset,
            processing_class=processing_class,
            gold_answers=problem_set.gold_answers,
            peft_config=get_peft_config(arguments.model),
        )
    except (ImportError, RuntimeError, ValueError) as error:  # TRL's and transformers' checks of the fields
        if isinstance(error, SpineError):
            raise
        raise ConfigError(" ".join(str(error).split())) from error


def _resolved(arguments: Arguments) -> dict[str, Any]:
    return {
        "run": dataclasses.asdict(arguments.run),
        "training": arguments.training.to_dict(),
        "model": dataclasses.asdict(arguments.model),
    }


def print_help() -> None:
    """Every field's name, default and meaning come from its dataclass."""
    console = Console()
    console.print("spine train --config run.yaml [--any_field value ...]\n", markup=False, highlight=False)
    for title, rows in describe_fields():
        table = Table("field", "default", "meaning", title=title, title_justify="left", box=None)
        for row in rows:
            table.add_row(*map(_plain, row))
        console.print(table)
    console.print(
        "\nEvery other field of transformers.TrainingArguments, trl.GRPOConfig and trl.ModelConfig is taken too; those "
        "that SPINE's loss would ignore are refused.",
        markup=False,
        highlight=False,
    )


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
