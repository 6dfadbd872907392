"""What `spine experiment` can be asked for; as light as the help that shows it."""

from dataclasses import dataclass
from pathlib import Path

from spine_rl.options import option


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
