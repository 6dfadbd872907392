"""`spine solve`: questions without labels in, an answer a question out."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from spine_rl.cli.arguments import read_arguments
from spine_rl.diagnose.preflight import StepPlan, advise
from spine_rl.engine.samplers import Decoding
from spine_rl.errors import RunFolderError
from spine_rl.evaluation.responses import ResponseRow
from spine_rl.evaluation.run import EvaluationPlan, record_responses
from spine_rl.pages import write_page
from spine_rl.pages.report import build_report
from spine_rl.pages.report_runs import load_run
from spine_rl.problems import Problem, PromptStyle, load_problems
from spine_rl.runs.kinds import PAGE, rows_kind
from spine_rl.runs.may_write import Output, check_may_write
from spine_rl.runs.run_file import read_run
from spine_rl.runs.whole_file import write_whole
from spine_rl.solve.answers import Solved, describe_adaptation, measure_votes, solve_problems
from spine_rl.training.arguments import Arguments
from spine_rl.training.run import run_train

if TYPE_CHECKING:
    from spine_rl.cli.train_command import SolveOptions

_ROWS = rows_kind("answers of spine solve", "id", "answer", "share_before", "share_after")
_MOST_A_STEP = 16  # problems of a step, where no --run says


def run_solve(data: str, options: "SolveOptions", *, overwrite: bool) -> None:
    """Votes, adapts with the guard, votes again, and writes an answer a problem; goes on where it was stopped.

    Raises:
        RunFolderError: The answers exist already, or the work folder is of another configuration.
    """
    work, page = options.out.with_suffix(".run"), options.out.with_name("report.html")
    outputs = [Output(options.out, _ROWS, "--out"), Output(page, PAGE)]
    check_may_write(outputs, overwrite=overwrite, reads=[data, options.model])
    problems = load_problems(data, gold_column=None).problems
    arguments = _read(data, options, len(problems), work)
    before = _sample(options.model, arguments, problems, options, work / "before", overwrite)
    _say(*_advise(before, problems, arguments))
    _adapt(arguments, data, options, len(problems), work, overwrite)
    after = _sample(str(work / "adapted"), arguments, problems, options, work / "after", overwrite)
    content = read_run(work / "adapted") or {}
    helped, sentence = describe_adaptation(content.get("finished", {}).get("kept", {}))
    kind = arguments.training.answer_type
    solved = solve_problems(problems, before, after, helped=helped, answer_type=kind)
    write_whole(options.out, "".join(json.dumps(dataclasses.asdict(each)) + "\n" for each in solved), replace=overwrite)
    write_page(page, build_report([load_run(work / "adapted")], "SPINE solve"))
    _say(sentence, _summarize(solved), f"{options.out} has an answer a problem, {page} how the run went")


def _say(*lines: str) -> None:
    for line in lines:
        Console().print(line, markup=False, highlight=False, soft_wrap=True)


def _list_tokens(data: str, options: "SolveOptions", num_problems: int, work: Path) -> list[str]:
    """As of `spine train`; what --run says of the training wins over what suits most problems."""
    tokens = [f"--data={data}", f"--model={options.model}", f"--output_dir={work / 'adapted'}"]
    if options.run is not None:
        return ["--config", str(options.run), *tokens]
    usual = {
        "num_generations": options.num_generations,
        "per_device_train_batch_size": options.num_generations,
        "gradient_accumulation_steps": min(num_problems, _MOST_A_STEP),
        "num_train_epochs": 10,
        "max_completion_length": options.max_completion_length,
        "seed": options.seed,
        "report_to": "none",
    }
    if options.prompt_suffix is not None:
        tokens.append(f"--prompt_suffix={options.prompt_suffix}")
    return [*tokens, *(f"--{name}={value}" for name, value in usual.items())]


def _read(data: str, options: "SolveOptions", num_problems: int, work: Path) -> Arguments:
    return read_arguments(_list_tokens(data, options, num_problems, work))


def _adapt(
    arguments: Arguments, data: str, options: "SolveOptions", num_problems: int, work: Path, overwrite: bool
) -> None:
    folder = work / "adapted"
    tokens = _list_tokens(data, options, num_problems, work)
    if overwrite:
        tokens.append("--overwrite")
    elif (content := read_run(folder)) is not None:
        if content.get("given") != json.loads(json.dumps(arguments.given, default=str)):
            raise RunFolderError(f"{folder} is a run of another configuration; give another --out, or --overwrite")
        tokens.append("--resume")  # a finished one is left as it is
    run_train(read_arguments(tokens))


def _sample(
    model: str, arguments: Arguments, problems: list[Problem], options: "SolveOptions", folder: Path, overwrite: bool
) -> list[list[ResponseRow]]:
    training, run = arguments.training, arguments.run
    assert training.max_completion_length is not None
    plan = EvaluationPlan(
        arguments.run.data,
        problems,
        PromptStyle(run.system_prompt, run.prompt_suffix),
        Decoding(training.max_completion_length, training.temperature, 1.0, 64, options.seed),
        options.num_generations,
        dtype=arguments.model.dtype or "auto",
    )
    return record_responses(model, plan, folder, overwrite=overwrite, again=True).samples


def _advise(first: list[list[ResponseRow]], problems: list[Problem], arguments: Arguments) -> list[str]:
    """What `spine preflight` would say of the first round."""
    training = arguments.training
    assert training.max_completion_length is not None
    votes = measure_votes(problems, first, answer_type=training.answer_type)
    plan = StepPlan(
        num_generations=training.num_generations,
        max_completion_length=training.max_completion_length,
        prompt_suffix=arguments.run.prompt_suffix,
    )
    summary = (
        f"first vote: majority share {votes['majority_ratio']:.2f}; {votes['abstained']:.0%} of the responses without "
        f"a readable answer, {votes['truncated']:.0%} cut off"
    )
    return [summary, *advise(votes, plan)]


def _summarize(solved: list[Solved]) -> str:
    answered = sum(each.answer is not None for each in solved)
    same = sum(each.agree for each in solved)
    expected = sum(each.confidence or 0 for each in solved)
    return (
        f"{answered} of {len(solved)} problems have an answer; the votes before and after agree on {same}; by the "
        f"confidences about {expected:.0f} are right"
    )
