"""The commands that look at one round of responses: preflight, inspect."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from spine_rl.cli.groups import FewProblems, JsonOutput, Overwrite, Prompts, Round, dtype, group
from spine_rl.cli.parse import Given, takes_run_fields
from spine_rl.cli.train_command import collect, list_run_fields
from spine_rl.diagnose.options import PageOptions, PlanOptions, RolloutModel
from spine_rl.engine.quiet import loading_libraries
from spine_rl.training.options import DRAWING
from spine_rl.training.trl_fields import LOADING

if TYPE_CHECKING:
    from spine_rl.diagnose.planned_run import PlannedRun
    from spine_rl.diagnose.round import RolloutOptions


def _check(subject: RolloutModel, problems: FewProblems) -> None:
    from spine_rl.training.early_checks import check_model, check_problems

    check_model(subject.model)
    check_problems(problems.data, **problems.columns)


def _settle(
    subject: RolloutModel,
    problems: FewProblems,
    prompts: Prompts,
    sampling: Round,
    given: Given,
    plan: PlanOptions,
    *,
    dtype: str,
) -> "tuple[RolloutOptions, PlannedRun]":
    """From a command's options: what was not given is as in the run that made the model."""
    from trl import ModelConfig

    from spine_rl.diagnose.drawing import settle_drawing
    from spine_rl.diagnose.fork_rule import settle_forks
    from spine_rl.diagnose.planned_run import plan_run
    from spine_rl.diagnose.round import RolloutOptions
    from spine_rl.evaluation.prompting import ask
    from spine_rl.training import SpineConfig
    from spine_rl.training.trl_fields import read_fields, select_fields

    asked = {**prompts.given, "max_completion_length": sampling.max_completion_length}
    question = ask(asked, subject.model, max_completion_length=512)
    forks = settle_forks(
        subject.model, preset=subject.preset, selector=subject.fork_selector, fraction=subject.fork_fraction
    )
    of_run = read_fields(SpineConfig, given.rest, given.where)
    drawing = settle_drawing(subject.model, collect(given, sampling) | of_run)
    values = collect(given, subject, plan, sampling) if isinstance(plan, PreflightOptions) else {}
    values |= of_run | drawing | {"max_completion_length": question.max_completion_length}
    of_model = read_fields(ModelConfig, given.rest, given.where)
    planned = plan_run(
        subject.model,
        select_fields(values, SpineConfig),
        of_model,
        num_processes=plan.num_processes,
        sharding=plan.sharding,
    )
    rollouts = RolloutOptions(
        model=subject.model,
        data=problems.data,
        forks=forks,
        num_generations=sampling.num_generations,
        decoding=planned.args.get_decoding(batch_size=sampling.batch_size, seed=sampling.seed),
        style=question.style,
        answer_type=planned.args.answer_type,
        columns={**problems.columns, "max_image_pixels": question.max_image_pixels},
        dtype=dtype,
    )
    return rollouts, planned


@group("Planned run")
@dataclass(frozen=True, kw_only=True)
class PreflightOptions(PlanOptions):
    """Options of `spine preflight`."""

    dtype: str = dtype("float32")


@takes_run_fields(list_run_fields)
def preflight(
    *,
    subject: Annotated[RolloutModel, group("Model")],
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
        from spine_rl.diagnose.preflight_run import run_preflight

    rollouts, planned = _settle(subject, problems, prompts, sampling, given, plan, dtype=plan.dtype)
    run_preflight(rollouts, planned, output.json, overwrite=output.overwrite)


@group("Page")
@dataclass(frozen=True, kw_only=True)
class InspectOptions(PageOptions):
    """Options of `spine inspect`."""

    dtype: str = dtype("auto")


@takes_run_fields(list_run_fields, kept={*LOADING, *DRAWING, "disable_tqdm"})
def inspect(
    *,
    subject: Annotated[RolloutModel, group("Model")],
    page: InspectOptions = InspectOptions(),
    problems: FewProblems,
    prompts: Prompts = Prompts(),
    sampling: Round = Round(),
    output: Overwrite = Overwrite(),
    given: Annotated[Given, Parameter(parse=False)],
) -> None:
    """One page of sampled responses: every token's entropy, forks, alternatives and votes.

    A run's file may be given as --config: of it count how the model is loaded and asked, and how responses are drawn.
    """
    _check(subject, problems)
    with loading_libraries():
        from spine_rl.diagnose.inspect_run import run_inspect

    rollouts, planned = _settle(subject, problems, prompts, sampling, given, PlanOptions(), dtype=page.dtype)
    validation = (page.validate_tokens, page.validate_repeats) if page.validate_forks else None
    run_inspect(rollouts, page.out, planned.load_options, validation=validation, overwrite=output.overwrite)
