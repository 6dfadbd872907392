"""`spine transfer`: adapt on one data set, evaluate before and after on others; the paper's cross-task table."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from transformers.trainer_utils import get_last_checkpoint

from spine_rl.cli.arguments import Arguments, parse_arguments
from spine_rl.cli.evaluate import EvalOptions, run_evaluation
from spine_rl.cli.evaluation_table import format_difference, format_p, format_value, format_vote
from spine_rl.cli.prompting import ask
from spine_rl.cli.train import run_train
from spine_rl.engine.samplers import Decoding
from spine_rl.errors import ConfigError, RunFolderError
from spine_rl.evaluation.budget import read_budget
from spine_rl.runs.run_file import read_run

ADAPTED_FOLDER, JSON_FILE, MARKDOWN_FILE = "adapted", "transfer.json", "transfer.md"
_HEADER = ("data", "n", "base Pass@1", "base maj@N", "adapted Pass@1", "difference", "p")


@dataclass(frozen=True)
class TransferOptions:
    """What `spine transfer` was asked for; `max_new_tokens` is the training's where it is None."""

    config: Path
    eval_data: tuple[str, ...]
    out: Path
    num_samples: int
    max_new_tokens: int | None
    temperature: float
    top_p: float
    batch_size: int
    seed: int
    engine: str
    gold_column: str
    overwrite: bool


def run_transfer(options: TransferOptions) -> None:
    """Trains into `out/adapted`, evaluates into a folder a data set, writes the table; goes on where it was stopped."""
    folders = _name_folders(options)
    arguments = _train(options)
    adapted = options.out / ADAPTED_FOLDER
    reports = {
        name: run_evaluation(_evaluation(options, arguments, data, options.out / name))
        for name, data in folders.items()
    }
    summary = {
        "adapted_on": arguments.run.data,
        "model": arguments.model.model_name_or_path,
        "preset": arguments.training.preset,
        "samples_per_problem": read_budget(str(adapted)),
        "results": {name: _summarize(report) for name, report in reports.items()},
    }
    (options.out / JSON_FILE).write_text(json.dumps(summary, indent=2) + "\n")
    rows = build_rows(reports)
    (options.out / MARKDOWN_FILE).write_text(_render_markdown(summary, rows))
    table = Table(*_HEADER)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
    Console().print(f"{JSON_FILE} and {MARKDOWN_FILE} are in {options.out}", markup=False, highlight=False)


def _name_folders(options: TransferOptions) -> dict[str, str]:
    """A folder's name for each data set."""
    folders: dict[str, str] = {}
    for data in options.eval_data:
        name = Path(data).stem if Path(data).suffix else data.replace("/", "-")
        if name in folders or name == ADAPTED_FOLDER:
            raise ConfigError(f"--eval-data {data}: the name {name!r} is taken; rename the file")
        folders[name] = data
    return folders


def _train(options: TransferOptions) -> Arguments:
    """Trains, or goes on from the last checkpoint, or leaves a finished run of the same configuration as it is."""
    folder = options.out / ADAPTED_FOLDER
    tokens = ["--config", str(options.config), f"--output_dir={folder}"]
    arguments = parse_arguments(tokens)
    if options.overwrite:
        tokens.append("--overwrite")
    elif (content := read_run(folder)) is not None:
        if "sampling" in content:
            if content["given"] != json.loads(json.dumps(arguments.given)):
                raise RunFolderError(f"{folder} is a run of another configuration; give another --out, or --overwrite")
            return arguments
        tokens.append("--resume" if get_last_checkpoint(str(folder)) else "--overwrite")  # it was interrupted
    run_train(tokens)
    return arguments


def _evaluation(options: TransferOptions, arguments: Arguments, data: str, out: Path) -> EvalOptions:
    adapted = str(options.out / ADAPTED_FOLDER)
    question = ask({"max_new_tokens": options.max_new_tokens}, adapted)  # the base model is asked as the adapted one
    return EvalOptions(
        data,
        Decoding(question.max_new_tokens, options.temperature, options.top_p, options.batch_size, options.seed),
        model=adapted,
        num_samples=options.num_samples,
        style=question.style,
        columns={
            "gold_column": options.gold_column,
            "max_image_pixels": question.max_image_pixels,
            "allow_image_urls": arguments.run.allow_image_urls,
        },
        engine=options.engine,
        dtype=arguments.model.dtype or "auto",
        baseline=arguments.model.model_name_or_path,
        out=out,
        overwrite=options.overwrite,
        again=True,
    )


def _summarize(report: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracies of both models, and the comparisons."""

    def accuracies(metrics: Mapping[str, Any]) -> dict[str, float]:
        return {name: value for name, value in metrics.items() if name.startswith(("greedy_pass@", "mean@", "maj@"))}

    return {
        "n_problems": report["n_problems"],
        "base": accuracies(report["baseline"]),
        "adapted": accuracies(report),
        "differences": report["differences"],
        "budget": report["budget"],
    }


def build_rows(reports: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The table's rows: a data set each, and their plain average."""
    rows = [
        (
            name,
            str(report["n_problems"]),
            format_value(report["baseline"], "greedy_pass@1"),
            format_vote(report["budget"]),
            format_value(report, "greedy_pass@1"),
            format_difference(report["differences"]["greedy_pass@1"]),
            format_p(report["differences"]["greedy_pass@1"]),
        )
        for name, report in reports.items()
    ]
    base = fmean(report["baseline"]["greedy_pass@1"] for report in reports.values())
    vote = fmean(report["budget"]["baseline_maj"] for report in reports.values())
    adapted = fmean(report["greedy_pass@1"] for report in reports.values())
    return [*rows, ("average", "", f"{base:.3f}", f"{vote:.3f}", f"{adapted:.3f}", f"{adapted - base:+.3f}", "")]


def _render_markdown(summary: Mapping[str, Any], rows: list[tuple[str, ...]]) -> str:
    lines = [
        f"{summary['model']} adapted on {summary['adapted_on']} ({summary['preset']}). Pass@1 is greedy; base "
        f"maj@N is the vote of N = {summary['samples_per_problem']} samples, as many a problem as the adaptation drew. "
        "Intervals: 95 %, by bootstrap over problems; p: paired sign-flip test.",
        "",
        "| " + " | ".join(_HEADER) + " |",
        "| " + " | ".join("---" for _ in _HEADER) + " |",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"
