"""The commands that look at one round of responses: preflight, inspect."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from spine_rl.cli.groups import MODEL, FewProblems, JsonOutput, Overwrite, Prompts, Round, dtype, group
from spine_rl.cli.parse import Given, takes_run_fields
from spine_rl.cli.train_command import collect, list_run_fields
from spine_rl.engine.estimate import SHARDINGS
from spine_rl.engine.quiet import loading_libraries
from spine_rl.options import option
from spine_rl.presets import CONTROLS, PRESETS
from spine_rl.training.options import FORK_SELECTORS

if TYPE_CHECKING:
    from spine_rl.diagnose.round import RolloutOptions


@group("Model")
@dataclass(frozen=True, kw_only=True)
class RolloutModel:
    """Whose responses are looked at, and the forks in them."""

    model: str = option(help=MODEL)
    preset: str | None = option(
        None,
        "Method whose forks are shown (default: that of the run whose folder is given, else spine).",
        choices=(*PRESETS, *CONTROLS),
    )
    fork_selector: str | None = option(
        None, "Rule that picks the forks (default: the preset's, or the run's).", choices=FORK_SELECTORS
    )
    fork_fraction: float | None = option(
        None, "Share of tokens that are forks (default: the run's, else 0.2).", above=0, at_most=1
    )


def _check(subject: RolloutModel, problems: FewProblems) -> None:
    from spine_rl.training.early_checks import check_model, check_problems

    check_model(subject.model)
    check_problems(problems.data, **problems.columns)


def _settle(
    subject: RolloutModel, problems: FewProblems, prompts: Prompts, sampling: Round, *, dtype: str
) -> "RolloutOptions":
    """From a command's options: what was not given is as in the run that made the model."""
    from spine_rl.diagnose.fork_rule import settle_forks
    from spine_rl.diagnose.round import RolloutOptions
    from spine_rl.engine.samplers import Decoding
    from spine_rl.evaluation.prompting import ask

    given = {**prompts.given, "max_completion_length": sampling.max_completion_length}
    question = ask(given, subject.model, max_completion_length=512)
    forks = settle_forks(
        subject.model, preset=subject.preset, selector=subject.fork_selector, fraction=subject.fork_fraction
    )
    length, temperature = question.max_completion_length, sampling.temperature
    decoding = Decoding(length, temperature, batch_size=sampling.batch_size, seed=sampling.seed)
    return RolloutOptions(
        model=subject.model,
        data=problems.data,
        forks=forks,
        num_generations=sampling.num_generations,
        decoding=decoding,
        style=question.style,
        answer_type=sampling.answer_type,
        columns={**problems.columns, "max_image_pixels": question.max_image_pixels},
        dtype=dtype,
    )


@group("Planned run")
@dataclass(frozen=True, kw_only=True)
class PreflightOptions:
    """Options of `spine preflight`."""

    per_device_train_batch_size: int = option(8, "Responses of one micro-batch.", at_least=1)
    gradient_accumulation_steps: int = option(1, "Micro-batches of one optimiser step.", at_least=1)
    num_processes: int = option(1, "Processes that the run will have.", at_least=1)
    sharding: str = option(
        "none",
        "What the processes share out, where none holds all of it: optimizer, gradients or weights as in ZeRO-1, 2 and "
        "3; weights as in FSDP2.",
        choices=SHARDINGS,
    )
    dtype: str = dtype("float32")


@takes_run_fields(list_run_fields, kept=True)
def preflight(
    *,
    subject: RolloutModel,
    plan: PreflightOptions = PreflightOptions(),
    problems: FewProblems,
    prompts: Prompts = Prompts(),
    sampling: Round = Round(),
    output: JsonOutput = JsonOutput(),
    given: Annotated[Given, Parameter(parse=False)],
) -> None:
    """Before a run: consensus, lengths, entropy, estimated memory and time, and advice, from one round of responses.

    A run's file may be given as --config, and any option of spine train; the estimates are those of that run.
    """
    _check(subject, problems)
    with loading_libraries():
        from trl import ModelConfig

        from spine_rl.diagnose.planned_run import plan_run
        from spine_rl.diagnose.preflight_run import run_preflight
        from spine_rl.training import SpineConfig
        from spine_rl.training.trl_fields import read_fields, select_fields

    rollouts = _settle(subject, problems, prompts, sampling, dtype=plan.dtype)
    values = collect(given, subject, plan, sampling) | {"max_completion_length": rollouts.decoding.max_new_tokens}
    planned = plan_run(
        subject.model,
        select_fields(values, SpineConfig) | read_fields(SpineConfig, given.rest, given.where),
        read_fields(ModelConfig, given.rest, given.where),
        num_processes=plan.num_processes,
        sharding=plan.sharding,
    )
    run_preflight(rollouts, planned, output.json, overwrite=output.overwrite)


@group("Page")
@dataclass(frozen=True, kw_only=True)
class InspectOptions:
    """Options of `spine inspect`."""

    out: Path = option(Path("inspect.html"), "File for the page.")
    dtype: str = dtype("auto")
    validate_forks: bool = option(False, "Resample tokens and see whether the answer changes.")
    validate_tokens: int = option(200, "Tokens that are resampled, over the range of entropy.", at_least=10)
    validate_repeats: int = option(8, "Continuations of each resampled token.", at_least=1)


@takes_run_fields(list_run_fields, kept=False)
def inspect(
    *,
    subject: RolloutModel,
    page: InspectOptions = InspectOptions(),
    problems: FewProblems,
    prompts: Prompts = Prompts(),
    sampling: Round = Round(),
    output: Overwrite = Overwrite(),
) -> None:
    """One page of sampled responses: every token's entropy, forks, alternatives and votes.

    A run's file may be given as --config; its options that this command does not have are skipped.
    """
    _check(subject, problems)
    with loading_libraries():
        from spine_rl.diagnose.inspect_run import run_inspect

    rollouts = _settle(subject, problems, prompts, sampling, dtype=page.dtype)
    validation = (page.validate_tokens, page.validate_repeats) if page.validate_forks else None
    run_inspect(rollouts, page.out, validation=validation, overwrite=output.overwrite)
