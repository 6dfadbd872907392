"""Transfer: adapt on one data set, evaluate before and after on others; the paper's cross-task table."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from spine_rl.engine.say import show
from spine_rl.errors import ConfigError
from spine_rl.evaluation.budget import read_budget
from spine_rl.evaluation.compared import EvalOptions, run_evaluation
from spine_rl.evaluation.report_table import print_report
from spine_rl.evaluation.transfer_table import HEADER, build_rows, render_markdown, summarize_report
from spine_rl.problems import load_problems
from spine_rl.runs.whole_file import write_whole
from spine_rl.training.arguments import Arguments
from spine_rl.training.run import train_or_go_on

ADAPTED_FOLDER, JSON_FILE, MARKDOWN_FILE = "adapted", "transfer.json", "transfer.md"


def run_transfer(
    arguments: Arguments,
    eval_data: Sequence[str],
    out: Path,
    plan_evaluation: Callable[[str], EvalOptions],
    *,
    gold_column: str = "answer",
    overwrite: bool = False,
) -> None:
    """Trains into `out/adapted`, evaluates into a folder a data set, writes the table; goes on where it was stopped.

    Args:
        arguments: Of the run, whose folder is `out/adapted`.
        eval_data: Labelled problems.
        out: The folder.
        plan_evaluation: How a data set is evaluated, asked once the adapted model is there.
        gold_column: Of the labelled problems, which are read once before the run, so that a mistake costs no run.
        overwrite: An earlier transfer there is replaced.

    Raises:
        ConfigError: Two data sets would have one folder.
        DataError: One cannot be read, or has no right answers.
        RunFolderError: The folder has a run of another configuration.
    """
    folders = _name_folders(eval_data)
    for data in eval_data:
        load_problems(data, gold_column=gold_column, allow_image_urls=arguments.run.allow_image_urls)
    reports = {}
    train_or_go_on(arguments, out / ADAPTED_FOLDER, overwrite=overwrite)
    for name, data in folders.items():
        reports[name] = run_evaluation(replace(plan_evaluation(data), out=out / name))
        print_report(reports[name])
    summary = {
        "adapted_on": arguments.run.data,
        "model": arguments.model.model_name_or_path,
        "preset": arguments.training.preset,
        "samples_per_problem": read_budget(str(out / ADAPTED_FOLDER)),
        "results": {name: summarize_report(report) for name, report in reports.items()},
    }
    write_whole(out / JSON_FILE, json.dumps(summary, indent=2) + "\n")
    rows = build_rows(reports)
    write_whole(out / MARKDOWN_FILE, render_markdown(summary, rows))
    table = Table(*HEADER)
    for row in rows:
        table.add_row(*map(Text, row))
    show(table)
    Console().print(f"{JSON_FILE} and {MARKDOWN_FILE} are in {out}", markup=False, highlight=False)


def _name_folders(eval_data: Sequence[str]) -> dict[str, str]:
    """A folder's name for each data set."""
    folders: dict[str, str] = {}
    for data in eval_data:
        name = Path(data).stem if Path(data).suffix else data.replace("/", "-")
        if name in folders or name == ADAPTED_FOLDER:
            raise ConfigError(f"--eval-data {data}: the name {name!r} is taken; rename the file")
        folders[name] = data
    return folders
