"""The commands of the lab: demo, bench, experiment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from spine_rl.cli.groups import Config, Overwrite, group, seed
from spine_rl.engine.quiet import loading_libraries
from spine_rl.options import option


@group("Demo")
@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Options of `spine demo`."""

    task: str = option("arithmetic", "Task: arithmetic is text, vqa has pictures of shapes.")
    out: Path = option(Path("runs/demo"), "Folder for summary, plot and report; it must not hold a demo yet.")
    seed: int = seed()
    max_steps: int | None = option(None, "Adaptation steps of each method (default: the task's own).", at_least=1)
    methods: str = option("ttrl,spine", "Presets to compare, separated by commas.")
    learning_rate: float | None = option(None, "Learning rate of every method (default: the task's own).", above=0)


def demo(*, options: DemoOptions = DemoOptions(), output: Overwrite = Overwrite()) -> None:
    """Adapts the built-in model by several methods from the same weights, and compares them."""
    methods = options.methods.split(",")
    print(f"The built-in model is adapted by {' and by '.join(methods)}; results go to {options.out}.", flush=True)
    with loading_libraries():
        from spine_rl.lab.demo import DEFAULTS, DemoSettings, run_demo
        from spine_rl.lab.tasks import get_task

    task = get_task(options.task)
    steps, rate = DEFAULTS.get(task.name, DEFAULTS["arithmetic"])
    settings = DemoSettings(
        task=task,
        out=options.out,
        seed=options.seed,
        steps=options.max_steps or steps,
        methods=tuple(methods),
        learning_rate=options.learning_rate or rate,
    )
    run_demo(settings, overwrite=output.overwrite)


@group("Bench")
@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Options of `spine bench`."""

    out: Path = option(Path("runs/bench"), "Folder for bench.json, growth.json and growth.png.")
    quick: bool = option(False, "Do less of everything: about 3 minutes on 2 cores.")
    size: str = option("7m", "Size of the random model: 7m, qwen2.5-0.5b or qwen2.5-1.5b.")
    prompts: int | None = option(None, "Prompts of an update's batch, 8 responses each.", at_least=1)
    growth: bool = option(
        False, "Measure instead how cost grows with responses per problem, lengths, vocabulary and parameters."
    )


def bench(*, options: BenchOptions = BenchOptions(), config: Config = Config()) -> None:
    """Times SPINE's training step and generation beside TRL's, on random models, in alternation."""
    with loading_libraries():
        from spine_rl.lab.bench.run import run_bench, run_growth

    if options.growth:
        run_growth(options.out)
    else:
        run_bench(options.out, size=options.size, prompts=options.prompts, quick=options.quick)


@group("Experiment")
@dataclass(frozen=True, kw_only=True)
class ExperimentCommand:
    """Options of `spine experiment`."""

    out: Path | None = option(None, "Folder for cells and results (default: runs/experiments/NAME).")
    quick: bool = option(False, "Run the file's quick form, 5 minutes at most.")
    jobs: int | None = option(
        None,
        "Cells at once, each in a process with one thread (default: 1; on a cluster one a GPU, or a core without any).",
        at_least=1,
    )
    on: str = option(
        "local", "Machines that cells run on: local, ray for the Ray cluster that is begun here, or ray://HOST:PORT."
    )
    only: list[str] = option(factory=list, help="Cells to run alone, such as arm=spine,seed=0; give it again for more.")
    only_report: bool = option(False, "Run nothing: write the results anew from the finished cells.")
    reuse: list[Path] = option(
        factory=list,
        help="Folder of another experiment, whose cells of the same settings and seed are not run again; give it "
        "again for more.",
    )


def experiment(
    file: Annotated[str, Parameter(help="A .yaml file, the name of a ready one, or list.")],
    /,
    *,
    options: ExperimentCommand = ExperimentCommand(),
    config: Config = Config(),
) -> int:
    """Runs the cells of an experiment that are missing, and writes tables, pictures and a page."""
    from spine_rl.lab.experiments.run import ExperimentOptions, print_ready, run_experiment  # loads torch when needed

    if file == "list":
        print_ready()
        return 0
    settings = ExperimentOptions(
        file,
        options.out,
        quick=options.quick,
        jobs=options.jobs,
        on=options.on,
        only=options.only,
        only_report=options.only_report,
        reuse=options.reuse,
    )
    return 1 if run_experiment(settings) else 0


def add_commands(app: App) -> None:
    """Those of this file."""
    for command in (demo, bench, experiment):
        app.command(command)
