"""`spine transfer`: adapt on one data set, evaluate before and after on others; the paper's cross-task table."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from spine_rl.cli.arguments import Arguments, read_arguments
from spine_rl.cli.evaluation_table import print_report
from spine_rl.cli.groups import EvaluationSampling
from spine_rl.cli.prompting import ask
from spine_rl.cli.train import run_train
from spine_rl.errors import ConfigError, RunFolderError
from spine_rl.evaluation.budget import read_budget
from spine_rl.evaluation.compared import EvalOptions, run_evaluation
from spine_rl.evaluation.transfer_table import HEADER, build_rows, render_markdown, summarize_report
from spine_rl.runs.run_file import read_run
from spine_rl.runs.whole_file import write_whole

if TYPE_CHECKING:
    from spine_rl.cli.model_commands import TransferOptions

ADAPTED_FOLDER, JSON_FILE, MARKDOWN_FILE = "adapted", "transfer.json", "transfer.md"


@dataclass(frozen=True)
class _Transfer:
    """What `spine transfer` was asked for."""

    options: "TransferOptions"
    sampling: EvaluationSampling
    overwrite: bool


def run_transfer(options: "TransferOptions", sampling: EvaluationSampling, *, overwrite: bool) -> None:
    """Trains into `out/adapted`, evaluates into a folder a data set, writes the table; goes on where it was stopped."""
    asked = _Transfer(options, sampling, overwrite)
    folders = _name_folders(options)
    arguments = _train(asked)
    adapted = options.out / ADAPTED_FOLDER
    reports = {}
    for name, data in folders.items():
        reports[name] = run_evaluation(_evaluation(asked, arguments, data, options.out / name))
        print_report(reports[name])
    summary = {
        "adapted_on": arguments.run.data,
        "model": arguments.model.model_name_or_path,
        "preset": arguments.training.preset,
        "samples_per_problem": read_budget(str(adapted)),
        "results": {name: summarize_report(report) for name, report in reports.items()},
    }
    write_whole(options.out / JSON_FILE, json.dumps(summary, indent=2) + "\n")
    rows = build_rows(reports)
    write_whole(options.out / MARKDOWN_FILE, render_markdown(summary, rows))
    table = Table(*HEADER)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
    Console().print(f"{JSON_FILE} and {MARKDOWN_FILE} are in {options.out}", markup=False, highlight=False)


def _name_folders(options: "TransferOptions") -> dict[str, str]:
    """A folder's name for each data set."""
    folders: dict[str, str] = {}
    for data in options.eval_data:
        name = Path(data).stem if Path(data).suffix else data.replace("/", "-")
        if name in folders or name == ADAPTED_FOLDER:
            raise ConfigError(f"--eval-data {data}: the name {name!r} is taken; rename the file")
        folders[name] = data
    return folders


def _train(asked: _Transfer) -> Arguments:
    """Trains, or goes on from the last checkpoint, or leaves a finished run of the same configuration as it is."""
    folder = asked.options.out / ADAPTED_FOLDER
    tokens = ["--config", str(asked.options.run), f"--output_dir={folder}"]
    arguments = read_arguments(tokens)
    if asked.overwrite:
        tokens.append("--overwrite")
    elif (content := read_run(folder)) is not None:
        if "sampling" in content:
            if content["given"] != arguments.given:
                raise RunFolderError(f"{folder} is a run of another configuration; give another --out, or --overwrite")
            return arguments
        tokens.append("--resume")  # it was interrupted
    arguments = read_arguments(tokens)
    run_train(arguments)
    return arguments


def _evaluation(asked: _Transfer, arguments: Arguments, data: str, out: Path) -> EvalOptions:
    adapted = str(asked.options.out / ADAPTED_FOLDER)
    given = {"max_completion_length": asked.sampling.max_completion_length}
    question = ask(given, adapted)  # the base model is asked as the adapted one
    return EvalOptions(
        data,
        asked.sampling.make_decoding(question.max_completion_length),
        model=adapted,
        num_samples=asked.sampling.num_generations,
        style=question.style,
        columns={
            "gold_column": asked.options.gold_column,
            "max_image_pixels": question.max_image_pixels,
            "allow_image_urls": arguments.run.allow_image_urls,
        },
        engine=asked.sampling.engine,
        dtype=arguments.model.dtype or "auto",
        baseline=arguments.model.model_name_or_path,
        out=out,
        overwrite=asked.overwrite,
        again=True,
    )
