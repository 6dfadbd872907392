"""`spine demo`: the base model adapted by several methods from the same weights, on the same unlabelled problems."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from spine_rl.evaluation.grading import PERCENTILES
from spine_rl.lab.adapt import NUM_SAMPLES, LabRun, adapt_lab
from spine_rl.lab.plots import plot_runs
from spine_rl.lab.tasks import Task
from spine_rl.pages import write_page
from spine_rl.pages.report import build_report
from spine_rl.pages.report_runs import Run
from spine_rl.presets import get_preset
from spine_rl.runs.folder_lock import owning
from spine_rl.runs.kinds import folder_kind
from spine_rl.runs.may_write import Output, check_may_write
from spine_rl.runs.whole_file import write_whole

DEFAULTS = {"arithmetic": (60, 3e-4), "vqa": (60, 2e-4)}  # task → steps and learning rate
EVIDENCE = {"arithmetic": "lab/results.md", "vqa": "visual/results.md"}  # task → within docs/results
NUM_PROBLEMS = 64
EVALUATE_EVERY = 15
SUMMARY_FILE, PLOT_FILE, REPORT_FILE = "summary.json", "curves.png", "report.html"
SHARES = ("greedy_pass@1", f"mean@{NUM_SAMPLES}", f"maj@{NUM_SAMPLES}", "majority_ratio")
LENGTH_PERCENTILES = tuple(f"response_length_p{percentile}" for percentile in PERCENTILES)
DEMO = folder_kind("a demo", SUMMARY_FILE, (PLOT_FILE, REPORT_FILE))
REPORTED = (*SHARES, "response_length", *LENGTH_PERCENTILES, "entropy")


@dataclass(frozen=True)
class DemoSettings:
    """What `spine demo` was asked for."""

    task: Task
    out: Path
    seed: int
    steps: int
    methods: tuple[str, ...]
    learning_rate: float


def run_demo(settings: DemoSettings, *, overwrite: bool = False) -> dict[str, Any]:
    """Runs every method, prints the table, and writes `summary.json` and the plot.

    Raises:
        RunFolderError: The folder holds a demo already and `overwrite` is not set, or holds something else.
        ConfigError: There is no such method.
    """
    for method in settings.methods:
        get_preset(method)
    check_may_write([Output(settings.out, DEMO)], overwrite=overwrite)
    with owning(settings.out):
        return _run(settings)


def _run(settings: DemoSettings) -> dict[str, Any]:
    console = Console()
    task = settings.task
    problems = task.make_problems("adapt", NUM_PROBLEMS)
    console.print(
        f"{NUM_PROBLEMS} unlabelled {task.description}, such as {problems.problems[0].prompt!r}. "
        f"Learning rate {settings.learning_rate:g}, {settings.steps} steps, seed {settings.seed}.",
        markup=False,
        highlight=False,
    )
    started = time.monotonic()
    runs = {
        method: adapt_lab(
            task,
            method,
            problems,
            learning_rate=settings.learning_rate,
            steps=settings.steps,
            seed=settings.seed,
            evaluate_every=EVALUATE_EVERY,
            evaluate_sets={"adapt": problems},
        )
        for method in settings.methods
    }
    summary = summarize(runs, settings)
    write_whole(settings.out / SUMMARY_FILE, json.dumps(summary, indent=2) + "\n")
    plot_runs(runs, settings.out / PLOT_FILE)
    recorded = [Run(method, run.steps) for method, run in runs.items()]
    write_page(settings.out / REPORT_FILE, build_report(recorded, "SPINE demo"))
    console.print(build_table(summary))
    console.print(
        f"Pass@1 is on the adaptation problems; their answers were read for this table alone. "
        f"{time.monotonic() - started:.0f} s in all; {SUMMARY_FILE}, {PLOT_FILE} and {REPORT_FILE} are in "
        f"{settings.out}.\nThis is one setting and one seed: "
        f"docs/results/{EVIDENCE.get(task.name, 'README.md')} has more of both.",
        markup=False,
        highlight=False,
    )
    return summary


def summarize(runs: dict[str, LabRun], settings: DemoSettings) -> dict[str, Any]:
    """Every method's state before and after."""

    def state(row: dict[str, Any]) -> dict[str, float]:
        return {name: row["adapt"][name] for name in REPORTED}

    return {
        "task": settings.task.name,
        "seed": settings.seed,
        "steps": settings.steps,
        "learning_rate": settings.learning_rate,
        "methods": {
            method: {"before": state(run.curve[0]), "after": state(run.curve[-1]), "seconds": run.seconds}
            for method, run in runs.items()
        },
    }


def build_table(summary: dict[str, Any]) -> Table:
    """The base model and every adapted one, a row each."""
    headings = ("greedy", f"mean@{NUM_SAMPLES}", f"maj@{NUM_SAMPLES}", "share", "length", "p10-50-90", "entropy")
    table = Table("", *headings, title=f"Pass@1, majority share, response length and entropy, task {summary['task']}")
    methods = summary["methods"]
    rows = {"no adaptation": next(iter(methods.values()))["before"]}
    rows |= {method: outcome["after"] for method, outcome in methods.items()}
    for label, state in rows.items():
        spread = "-".join(f"{state[name]:.0f}" for name in LENGTH_PERCENTILES)
        figures = [f"{state[name]:.3f}" for name in SHARES]
        table.add_row(label, *figures, f"{state['response_length']:.1f}", spread, f"{state['entropy']:.3f}")
    return table
