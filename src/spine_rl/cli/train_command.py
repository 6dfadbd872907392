"""The commands that adapt a model: train, solve. All that TRL's configuration takes, too, once TRL can check it."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from spine_rl.cli.groups import Overwrite, Problems, Prompts, dtype, group
from spine_rl.cli.parse import Given, takes_run_fields
from spine_rl.engine.quiet import loading_libraries
from spine_rl.options import option
from spine_rl.options.declare import MODEL
from spine_rl.solve.options import SolveOptions, check_places, list_run_tokens
from spine_rl.training.options import MethodOptions, TrainingOptions
from spine_rl.training.trl_fields import list_trl_fields


@group("Model")
@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The usual options of `trl.ModelConfig`."""

    model: Annotated[str, Parameter(alias="--model-name-or-path")] = option(help=MODEL)
    dtype: str = dtype("float32")
    attn_implementation: str | None = option(None, "Kernel of attention, such as sdpa or flash_attention_2.")
    use_peft: bool = option(False, "Train a LoRA adapter, not all weights.")
    lora_r: int = option(16, "Rank of the adapter.", at_least=1)
    lora_alpha: int = option(32, "Scale of the adapter, divided by its rank.", at_least=1)
    lora_dropout: float = option(0.05, "Dropout within the adapter.", at_least=0, below=1)
    lora_target_modules: Annotated[list[str] | None, Parameter(consume_multiple=True)] = option(
        None, "Names of the layers that get an adapter (default: the architecture's usual ones)."
    )


@group("Problems")
@dataclass(frozen=True, kw_only=True)
class TrainingProblems(Problems):
    """The problems that are adapted to."""

    gold_column: str | None = option(None, "Column of gold answers, to log how many labels are right, no more.")


@group("Options")
@dataclass(frozen=True, kw_only=True)
class RunOptions(Overwrite):
    """What is to be done with an earlier run in the folder."""

    resume: bool = option(False, "Go on from the run's last checkpoint.")


@dataclass
class RunTraining(TrainingOptions):
    """Training's options, of a run that has a folder."""

    output_dir: Annotated[str, Parameter(alias="--out")] = option(
        help="Folder of the run: model, checkpoints, metrics and report.", kw_only=True
    )


_GROUPS = (ModelOptions, TrainingProblems, Prompts, MethodOptions, RunTraining, RunOptions)


def list_run_fields() -> set[str]:
    """Names of all options of a run."""
    declared = {entry.name for options in _GROUPS for entry in dataclasses.fields(options)}
    return declared | {"model_name_or_path", "out"} | list_trl_fields()


@takes_run_fields(list_run_fields)
def train(
    *,
    model: ModelOptions,
    problems: TrainingProblems,
    training: Annotated[RunTraining, group("Training")],
    method: Annotated[MethodOptions, group("Method")] = MethodOptions(),
    prompts: Prompts = Prompts(),
    run: RunOptions = RunOptions(),
    given: Annotated[Given, Parameter(parse=False)],
) -> None:
    """Adapts a model to unlabelled problems.

    Every other field of transformers.TrainingArguments, trl.GRPOConfig and trl.ModelConfig is taken too, such as
    --report_to wandb; those that SPINE's loss would ignore are refused.
    """
    from spine_rl.training.early_checks import check_model, check_new_run, check_problems

    check_model(model.model)
    check_problems(problems.data, gold_column=problems.gold_column, **problems.columns)
    reads = [model.model, problems.data]
    check_new_run(Path(training.output_dir), overwrite=run.overwrite, resume=run.resume, reads=reads)
    with loading_libraries():
        from spine_rl.cli.arguments import build_arguments
        from spine_rl.training.run import run_train

    run_train(build_arguments(model, problems, training, method, prompts, run, given=given))


def collect(given: Given, *groups: Any) -> dict[str, Any]:
    """The options of the groups that were given, by name."""
    values = {entry.name: getattr(group, entry.name) for group in groups for entry in dataclasses.fields(group)}
    return {name: value for name, value in values.items() if name in given.names}


@group("Problems")
@dataclass(frozen=True, kw_only=True)
class ProblemsToSolve(Problems):
    """As everywhere; the source may stand without its name."""

    data: str = option(help="Problems without answers: a data file, a benchmark or a hub data set.", kw_only=False)


def solve(
    problems: ProblemsToSolve, *, options: Annotated[SolveOptions, group("Answers")], output: Overwrite = Overwrite()
) -> None:
    """Answers problems without labels: votes, adapts the model to them, and votes again."""
    from spine_rl.training.early_checks import check_model, check_problems

    check_model(options.model)
    check_places(options.out, problems.data, options.model, overwrite=output.overwrite)
    check_problems(problems.data, **problems.columns)
    with loading_libraries():
        from spine_rl.cli.arguments import read_arguments
        from spine_rl.solve.run import Request, run_solve

    run_solve(
        Request(options, problems.data, problems.columns, output.overwrite),
        lambda num, folder: read_arguments(list_run_tokens(options, problems.data, problems.columns, num, folder)),
    )
