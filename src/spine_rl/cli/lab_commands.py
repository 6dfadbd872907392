"""The commands of the lab: demo, bench, experiment."""

from typing import Annotated

from cyclopts import Parameter

from spine_rl.cli.groups import Config, Overwrite, group
from spine_rl.engine.quiet import loading_libraries
from spine_rl.lab.options import BenchOptions, DemoOptions, ExperimentOptions


def demo(*, options: Annotated[DemoOptions, group("Demo")] = DemoOptions(), output: Overwrite = Overwrite()) -> None:
    """Adapts the built-in model by several methods from the same weights, and compares them."""
    methods = [name.strip() for name in options.methods.split(",")]
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


def bench(
    *, options: Annotated[BenchOptions, group("Bench")] = BenchOptions(), output: Overwrite = Overwrite()
) -> None:
    """Times SPINE's training step and generation beside TRL's, on random models, in alternation."""
    with loading_libraries():
        from spine_rl.lab.bench.run import run_bench, run_growth

    if options.growth:
        run_growth(options.out, overwrite=output.overwrite)
    else:
        run_bench(
            options.out, size=options.size, prompts=options.prompts, quick=options.quick, overwrite=output.overwrite
        )


def experiment(
    file: Annotated[str, Parameter(help="A .yaml file, the name of a ready one, or list.")],
    /,
    *,
    options: Annotated[ExperimentOptions, group("Experiment")] = ExperimentOptions(),
    config: Config = Config(),
) -> int:
    """Runs the missing cells of an experiment, and writes tables, pictures and a page."""
    from spine_rl.lab.experiments.run import print_ready, run_experiment  # loads torch to run, not to list

    if file == "list":
        print_ready()
        return 0
    return 1 if run_experiment(file, options) else 0
