"""The commands that load a model, but for training: eval, transfer, preflight, inspect."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from spine_rl.cli.groups import (
    MODEL,
    EvaluationSampling,
    FewProblems,
    JsonOutput,
    Overwrite,
    Problems,
    Prompts,
    Round,
    answer_type,
    dtype,
    group,
    seed,
)
from spine_rl.cli.parse import Given, RunFields, takes_run_fields
from spine_rl.cli.train_command import list_run_fields
from spine_rl.engine.estimate import SHARDINGS
from spine_rl.engine.quiet import loading_libraries
from spine_rl.options import option
from spine_rl.presets import CONTROLS, PRESETS
from spine_rl.training.options import FORK_SELECTORS

_OF_RUN = RunFields(list_run_fields, kept=False)


@group("Evaluation")
@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Options of `spine eval`."""

    model: str | None = option(None, MODEL)
    gold_column: str = option("answer", "Column of the gold answer.")
    answer_type: str = answer_type()
    dtype: str = dtype("auto")
    baseline: str | None = option(None, "Model to compare with, or the --out folder of its evaluation.")
    budget: int | None = option(
        None,
        "Responses per problem of the baseline's vote, beside the model's Pass@1; 0 leaves it out (default: what the "
        "adaptation sampled, where --model is a run's folder).",
        at_least=0,
    )
    from_samples: Path | None = option(None, "Earlier --out folder whose responses are graded anew, without a model.")
    out: Path | None = option(
        None, "Folder for responses and report; an interrupted evaluation goes on with the same command."
    )
    shard: str | None = option(
        None, "Draw only the i-th of n parts, i/n, for several machines; --merge makes an evaluation of them."
    )
    merge: list[Path] = option(factory=list, help="--out folder of a shard; give it again for each.")


def evaluate(
    *,
    evaluation: EvaluationOptions = EvaluationOptions(),
    problems: Problems,
    prompts: Prompts = Prompts(),
    sampling: EvaluationSampling = EvaluationSampling(),
    output: JsonOutput = JsonOutput(),
) -> None:
    """Greedy Pass@1, mean@k, pass@k and maj@k of a model on labelled problems, with intervals, beside a baseline's."""
    with loading_libraries():
        from spine_rl.cli.evaluation_table import print_report
        from spine_rl.cli.prompting import ask
        from spine_rl.evaluation.compared import EvalOptions, run_evaluation, run_shard
        from spine_rl.evaluation.shards import parse_shard

    models = [name for name in (evaluation.model, evaluation.baseline) if evaluation.model and name]
    question = ask({**prompts.given, "max_completion_length": sampling.max_completion_length}, *models)
    options = EvalOptions(
        problems.data,
        sampling.make_decoding(question.max_completion_length),
        model=evaluation.model,
        num_samples=sampling.num_generations,
        answer_type=evaluation.answer_type,
        style=question.style,
        columns={
            **problems.columns,
            "gold_column": evaluation.gold_column,
            "max_image_pixels": question.max_image_pixels,
        },
        engine=sampling.engine,
        dtype=evaluation.dtype,
        baseline=evaluation.baseline,
        budget=evaluation.budget,
        out=evaluation.out,
        from_samples=evaluation.from_samples,
        merge=evaluation.merge,
        json_out=output.json,
        overwrite=output.overwrite,
    )
    if evaluation.shard is None:
        print_report(run_evaluation(options))
    else:
        shard = parse_shard(evaluation.shard)
        print(f"shard {shard}: {run_shard(options, shard)} responses in {options.out}; --merge takes it")


@group("Transfer")
@dataclass(frozen=True, kw_only=True)
class TransferOptions:
    """Options of `spine transfer`."""

    run: Path = option(help="YAML file of spine train; its output_dir is not used.")
    eval_data: list[str] = option(help="Labelled problems to evaluate on; give it again for more.")
    out: Path = option(help="Folder for the run, the evaluations and the table; goes on where it was stopped.")
    gold_column: str = option("answer", "Column of the gold answer, in evaluation.")


def transfer(
    *,
    transfer: TransferOptions,
    sampling: EvaluationSampling = EvaluationSampling(),
    output: Overwrite = Overwrite(),
) -> None:
    """Adapts on one data set and evaluates on others, before and after."""
    with loading_libraries():
        from spine_rl.cli.transfer import run_transfer

    run_transfer(transfer, sampling, overwrite=output.overwrite)


@group("Planned run")
@dataclass(frozen=True, kw_only=True)
class RolloutModel:
    """Whose responses are looked at, and the forks in them."""

    model: str = option(help=MODEL)
    preset: str | None = option(
        None,
        "Method whose forks are meant (default: that of the run whose folder is given, else spine).",
        choices=(*PRESETS, *CONTROLS),
    )
    fork_selector: str | None = option(
        None, "Rule that picks the forks (default: the preset's, or the run's).", choices=FORK_SELECTORS
    )
    fork_fraction: float | None = option(
        None, "Share of tokens that are forks (default: the run's, else 0.2).", above=0, at_most=1
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
        "What those share out instead of each having it: ZeRO-1, 2 and 3 are optimizer, gradients and weights, FSDP2 "
        "is weights.",
        choices=SHARDINGS,
    )
    dtype: str = dtype("float32")


@takes_run_fields(RunFields(list_run_fields, kept=True))
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

    A run's file may be given as --config, and any option of spine train: the estimates are of that run.
    """
    with loading_libraries():
        from spine_rl.cli.planned_run import plan_run
        from spine_rl.cli.preflight import run_preflight
        from spine_rl.cli.rollout_options import make_options

    rollouts = make_options(subject, problems, prompts, sampling, dtype=plan.dtype)
    planned = plan_run(subject, plan, sampling, rollouts.decoding.max_new_tokens, given)
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


@takes_run_fields(_OF_RUN)
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

    A run's file may be given as --config: what is not of this command is left to the run.
    """
    with loading_libraries():
        from spine_rl.cli.inspect import run_inspect
        from spine_rl.cli.rollout_options import make_options

    rollouts = make_options(subject, problems, prompts, sampling, dtype=page.dtype)
    run_inspect(rollouts, page, overwrite=output.overwrite)


@group("Answers")
@dataclass(frozen=True, kw_only=True)
class SolveOptions:
    """Options of `spine solve`."""

    model: str = option(help=MODEL)
    out: Path = option(help="File for the answers, .jsonl; an interrupted command goes on where it was.")
    run: Path | None = option(None, "YAML file of spine train, for how the model is adapted.")
    num_generations: int = option(8, "Responses per problem that vote, before and after.", at_least=2)
    max_completion_length: int = option(512, "Tokens of the longest response.", at_least=1)
    prompt_suffix: str | None = option(None, "Text that is put after every problem.")
    seed: int = seed()


def solve(
    data: Annotated[str, Parameter(help="Problems without answers: a data file, a benchmark or a hub data set.")],
    /,
    *,
    options: SolveOptions,
    output: Overwrite = Overwrite(),
) -> None:
    """Answers problems without labels: votes, adapts the model to them, and votes again."""
    with loading_libraries():
        from spine_rl.cli.solve import run_solve

    run_solve(data, options, overwrite=output.overwrite)


def add_commands(app: App) -> None:
    """Those of this file."""
    app.command(evaluate, name="eval")
    for command in (transfer, preflight, inspect, solve):
        app.command(command)
