"""The commands that evaluate models on labelled problems: eval, transfer."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from spine_rl.cli.groups import EvaluationSampling, JsonOutput, Overwrite, Problems, Prompts, answer_type, dtype, group
from spine_rl.cli.parse import Given, takes_run_fields
from spine_rl.engine.quiet import loading_libraries
from spine_rl.evaluation.options import ComparisonOptions, TransferOptions
from spine_rl.training.trl_fields import LOADING


@group("Evaluation")
@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(ComparisonOptions):
    """Options of `spine eval`."""

    answer_type: str = answer_type()
    dtype: str = dtype("auto")


@takes_run_fields(lambda: {*LOADING, "disable_tqdm"})
def evaluate(
    *,
    evaluation: EvaluationOptions = EvaluationOptions(),
    problems: Problems,
    prompts: Prompts = Prompts(),
    sampling: EvaluationSampling = EvaluationSampling(),
    output: JsonOutput = JsonOutput(),
    given: Annotated[Given, Parameter(parse=False)],
) -> None:
    """Greedy Pass@1, mean@k, pass@k and maj@k of a model on labelled problems, with intervals, beside a baseline's.

    Models may be loaded as by spine train: with --model_revision, --trust_remote_code, --load_in_4bit and the like.
    """
    from spine_rl.training.early_checks import check_models, check_problems

    check_models(evaluation.model, evaluation.baseline)
    check_problems(problems.data, gold_column=evaluation.gold_column, **problems.columns)
    with loading_libraries():
        from spine_rl.evaluation.compared import EvalOptions, run_evaluation, run_shard
        from spine_rl.evaluation.prompting import ask, list_run_ends
        from spine_rl.evaluation.report_table import print_report
        from spine_rl.evaluation.shards import parse_shard
        from spine_rl.training.arguments import read_load_options

    models = [name for name in (evaluation.model, evaluation.baseline) if evaluation.model and name]
    question = ask({**prompts.given, "max_completion_length": sampling.max_completion_length}, *models)
    options = EvalOptions(
        problems.data,
        sampling.make_decoding(question.max_completion_length, list_run_ends(*models)),
        model=evaluation.model,
        num_samples=sampling.num_generations,
        answer_type=evaluation.answer_type,
        style=question.style,
        columns=problems.columns
        | {"gold_column": evaluation.gold_column, "max_image_pixels": question.max_image_pixels},
        engine=sampling.engine,
        dtype=evaluation.dtype,
        loading=read_load_options(given.rest, given.where),
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


def transfer(
    *,
    transfer: Annotated[TransferOptions, group("Transfer")],
    sampling: EvaluationSampling = EvaluationSampling(),
    output: Overwrite = Overwrite(),
) -> None:
    """Adapts on one data set and evaluates on others, before and after."""
    with loading_libraries():
        from spine_rl.cli.arguments import read_arguments
        from spine_rl.engine.samplers import check_loading
        from spine_rl.evaluation.compared import EvalOptions
        from spine_rl.evaluation.prompting import ask, list_run_ends
        from spine_rl.training.transfer import ADAPTED_FOLDER, run_transfer

    adapted = str(transfer.out / ADAPTED_FOLDER)
    arguments = read_arguments(["--config", str(transfer.run), f"--output_dir={adapted}"])
    check_loading(sampling.engine, arguments.load_options)  # before the run

    def plan_evaluation(data: str) -> EvalOptions:
        question = ask({"max_completion_length": sampling.max_completion_length}, adapted)  # the base alike
        return EvalOptions(
            data,
            sampling.make_decoding(question.max_completion_length, list_run_ends(adapted)),
            model=adapted,
            num_samples=sampling.num_generations,
            style=question.style,
            columns={
                "gold_column": transfer.gold_column,
                "max_image_pixels": question.max_image_pixels,
                "allow_image_urls": arguments.run.allow_image_urls,
            },
            engine=sampling.engine,
            dtype=arguments.model.dtype or "auto",
            loading=arguments.load_options,
            baseline=arguments.model.model_name_or_path,
            overwrite=output.overwrite,
            again=True,
        )

    gold, overwrite = transfer.gold_column, output.overwrite
    run_transfer(arguments, transfer.eval_data, transfer.out, plan_evaluation, gold_column=gold, overwrite=overwrite)
