"""What `spine demo`, `spine bench` and `spine experiment` can be asked for; as light as the help that shows it."""

from dataclasses import dataclass
from pathlib import Path

from spine_rl.options import option
from spine_rl.options.declare import MAX_SEED


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Options of `spine demo`."""

    task: str = option("arithmetic", "Task: arithmetic is text, vqa has pictures of shapes.")
    out: Path = option(Path("runs/demo"), "Folder for summary, pictures and report.")
    seed: int = option(0, "Seed of sampling.", at_least=0, at_most=MAX_SEED)
    max_steps: int | None = option(None, "Adaptation steps of each method (default: the task's own).", at_least=1)
    methods: str = option("ttrl,spine", "Presets to compare, separated by commas.")
    learning_rate: float | None = option(None, "Learning rate of every method (default: the task's own).", above=0)


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


@dataclass(frozen=True)
class ExperimentOptions:
    """Options of `spine experiment`, beside the experiment's name."""

    out: Path | None = option(None, "Folder for cells and results (default: runs/experiments/NAME).")
    quick: bool = option(False, "Run the file's quick form, which is smaller.")
    jobs: int | None = option(
        None,
        "Cells at once, each in a process with one thread (default: 1; on a cluster one a GPU, or a core without any).",
        at_least=1,
    )
    on: str = option(
        "local",
        "Machines that cells run on: local, ray (the Ray cluster here, begun if there is none), ray://HOST:PORT.",
    )
    only: list[str] = option(factory=list, help="Cells to run alone, such as arm=spine,seed=0; give it again for more.")
    only_report: bool = option(False, "Run nothing: write the results anew from the finished cells.")
    reuse: list[Path] = option(
        factory=list,
        help="Folder of another experiment, whose finished cells of the same settings and seed are taken; give it "
        "again for more.",
    )
