"""`spine demo`: the base model adapted by several methods from the same weights, on the same unlabelled problems."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from spine_rl.engine.say import show
from spine_rl.evaluation.grading import PERCENTILES
from spine_rl.lab import plots
from spine_rl.lab.adapt import NUM_SAMPLES, Evaluated, LabRun, adapt_lab
from spine_rl.lab.experiments.frame import Results
from spine_rl.lab.experiments.spec import Experiment
from spine_rl.lab.tasks import Task
from spine_rl.monitor import judge_run
from spine_rl.pages import write_page
from spine_rl.pages.report import build_report
from spine_rl.pages.report_runs import Run
from spine_rl.presets import get_preset
from spine_rl.runs.folder_lock import owning
from spine_rl.runs.kinds import folder_kind
from spine_rl.runs.may_write import Output, check_may_write
from spine_rl.runs.whole_file import write_whole
from spine_rl.training.progress import LiveView

DEFAULTS = {"arithmetic": (60, 1e-4), "vqa": (60, 2e-4)}  # task → steps and learning rate
EVIDENCE = {"arithmetic": "lab/results.md", "vqa": "visual/results.md"}  # task → within docs/results
NUM_PROBLEMS = 64
EVALUATE_EVERY = 15
SUMMARY_FILE, REPORT_FILE = "summary.json", "report.html"
DEMO = folder_kind("a demo", SUMMARY_FILE, (REPORT_FILE, "curves.*", "lengths.*"))
SHARES = ("greedy_pass@1", f"mean@{NUM_SAMPLES}", f"maj@{NUM_SAMPLES}", "majority_ratio")
LENGTH_PERCENTILES = tuple(f"response_length_p{percentile}" for percentile in PERCENTILES)
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
    """Runs every method, prints the table and verdicts, and writes `summary.json`, the report and pictures.

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
    task, started = settings.task, time.monotonic()
    problems = task.make_problems("adapt", NUM_PROBLEMS)
    _print(
        f"{NUM_PROBLEMS} unlabelled {task.description}, such as {problems.problems[0].prompt!r}. "
        f"Learning rate {settings.learning_rate:g}, {settings.steps} steps, seed {settings.seed}."
    )
    runs = {
        method: adapt_lab(
            task,
            method,
            problems,
            steps=settings.steps,
            seed=settings.seed,
            evaluate_every=EVALUATE_EVERY,
            start_key=f"demo: {task.name}, seed {settings.seed}",
            callbacks=[LiveView(label=method)],
            learning_rate=settings.learning_rate,
            keep_best="label-free",
        )
        for method in settings.methods
    }
    summary = summarize(runs, settings)
    write_whole(settings.out / SUMMARY_FILE, json.dumps(summary, indent=2) + "\n")
    write_page(
        settings.out / REPORT_FILE, build_report([Run(name, [*run.steps]) for name, run in runs.items()], "SPINE demo")
    )
    results = _collect(runs, settings)
    for name, draw in (("curves", plots.draw_curves), ("lengths", plots.draw_lengths)):
        plots.save_figure(draw(results), settings.out, name)
    show(build_table(summary))
    verdicts = [f"{method}: {outcome['verdict']}" for method, outcome in summary["methods"].items()]
    _print(
        "\n".join(verdicts) + "\nKept are the weights that a run ends with: keep_best chooses them, without labels. "
        "Pass@1 is on the adaptation problems; their answers were read for this table alone. "
        f"{time.monotonic() - started:.0f} s in all; {SUMMARY_FILE}, {REPORT_FILE} and pictures are in {settings.out}."
        f"\nThis is one setting and one seed: docs/results/{EVIDENCE.get(task.name, 'README.md')} has more of both."
    )
    return summary


def _print(text: str) -> None:
    Console().print(text, markup=False, highlight=False)


def summarize(runs: Mapping[str, LabRun], settings: DemoSettings) -> dict[str, Any]:
    """Every method before and after, with the weights that are kept, and what the collapse monitor says."""

    def describe(step: int, evaluated: Evaluated) -> dict[str, float]:
        return {"step": step} | {name: evaluated.metrics["adapt"][name] for name in REPORTED}

    methods = {}
    for method, run in runs.items():
        last = max(run.evaluations)
        methods[method] = {
            "before": describe(0, run.evaluations[0]),
            "after": describe(last, run.evaluations[last]),
            "kept": describe(*(run.kept or (last, run.evaluations[last]))),
            "verdict": describe_verdict(run),
            "seconds": run.seconds,
        }
    return {
        "task": settings.task.name,
        "seed": settings.seed,
        "steps": settings.steps,
        "learning_rate": settings.learning_rate,
        "methods": methods,
    }


def describe_verdict(run: LabRun) -> str:
    """What the collapse monitor, which sees no labels, says of a run."""
    alarm = next((verdict for verdict in judge_run(run.steps) if not verdict.healthy), None)
    if alarm is None:
        return "the collapse monitor gave no alarm"
    return f"the collapse monitor gave an alarm at step {alarm.step}: {'; '.join(alarm.alarms)}"


def build_table(summary: dict[str, Any]) -> Table:
    """The base model, and every method's last and kept weights, a row each."""
    headings = ("greedy", f"mean@{NUM_SAMPLES}", f"maj@{NUM_SAMPLES}", "share", "length p10-50-90", "entropy")
    title = f"Pass@1, majority share, response length and entropy, task {summary['task']}"
    table = Table("", *headings, title=title)
    table.columns[0].no_wrap = True
    methods = summary["methods"]
    rows = {"no adaptation": next(iter(methods.values()))["before"]}
    for method, outcome in methods.items():
        last, kept = outcome["after"], outcome["kept"]
        rows |= {f"{method}, step {last['step']}": last, f"{method}, kept: {kept['step']}": kept}
    for label, state in rows.items():
        spread = "-".join(f"{state[name]:.0f}" for name in LENGTH_PERCENTILES)
        figures = [f"{state[name]:.3f}" for name in SHARES]
        table.add_row(label, *figures, f"{state['response_length']:.0f} {spread}", f"{state['entropy']:.3f}")
    return table


def _collect(runs: Mapping[str, LabRun], settings: DemoSettings) -> Results:
    """The runs as an experiment's cells, to be drawn as those are."""
    experiment = Experiment(
        name="demo",
        title="Demo",
        tasks=cast(Any, [settings.task.name]),
        arms={method: {} for method in runs},
        steps=settings.steps,
        evaluate_on=cast(Any, ["adapt"]),
    )  # pyright: ignore[reportArgumentType]
    cell = {"task": settings.task.name, "point": {}, "seed": settings.seed, "settings": {"fields": {}}}
    records = [
        cell
        | {
            "arm": method,
            "curve": run.curve,
            "lengths": {"start": run.evaluations[0].lengths, "end": run.evaluations[max(run.evaluations)].lengths},
        }
        for method, run in runs.items()
    ]
    return Results(experiment, records)
