"""The commands of the lab: demo, bench, experiment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from spine_rl.cli.groups import Config, Overwrite, group, seed
from spine_rl.engine.quiet import loading_libraries
from spine_rl.lab.experiments.options import ExperimentOptions
from spine_rl.options import option


@group("Demo")
@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Options of `spine demo`."""

    task: str = option("arithmetic", "Task: arithmetic is text, vqa has pictures of shapes.")
    out: Path = option(Path("runs/demo"), "Folder for summary, pictures and report.")
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
        task, options.out, options.seed, options.max_steps or steps, tuple(methods), options.learning_rate or rate
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


def experiment(
    file: Annotated[str, Parameter(help="A .yaml file, the name of a ready one, or list.")],
    /,
    *,
    options: Annotated[ExperimentOptions, group("Experiment")] = ExperimentOptions(),
    config: Config = Config(),
) -> int:
    """Runs the missing cells of an experiment, and writes tables, pictures and a page."""
    from spine_rl.lab.experiments.run import print_ready, run_experiment  # loads torch when needed

    if file == "list":
        print_ready()
        return 0
    return 1 if run_experiment(file, options) else 0
