"""What `spine solve` can be asked for, and where it writes; as light as the help that shows it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from spine_rl.errors import ConfigError
from spine_rl.options import option
from spine_rl.options.declare import MAX_SEED, MODEL
from spine_rl.runs.kinds import PAGE, rows_kind
from spine_rl.runs.may_write import Output, check_may_write

_ROWS = rows_kind("answers of spine solve", "id", "answer", "share_before", "share_after")
WORK, HTML = ".run", ".html"  # endings of what lies beside the answers: the folder of the work, and the page


@dataclass(frozen=True, kw_only=True)
class SolveOptions:
    """Options of `spine solve`."""

    model: str = option(help=MODEL)
    out: Path = option(help="File for the answers, .jsonl; an interrupted command goes on where it was.")
    run: Path | None = option(None, "YAML file of spine train, for how the model is adapted.")
    num_generations: int = option(8, "Responses per problem that vote, before and after.", at_least=2)
    max_completion_length: int | None = option(
        None, "Tokens of the longest response (default: what --run says, else 512).", at_least=1
    )
    prompt_suffix: str | None = option(None, "Text that is put after every problem.")
    seed: int = option(0, "Seed of sampling.", at_least=0, at_most=MAX_SEED)


def check_places(out: Path, data: str, model: str, *, overwrite: bool) -> None:
    """Looks at what a command will write, before anything is loaded.

    Raises:
        ConfigError: The answers have the name of the folder or of the page beside them.
        RunFolderError: They, or the page, cannot be written.
    """
    if out.suffix in (WORK, HTML):
        what = "the folder of the work" if out.suffix == WORK else "the page about the run"
        raise ConfigError(f"--out {out}: {what} beside the answers has this name; give one that ends in .jsonl")
    outputs = [Output(out, _ROWS), Output(out.with_suffix(HTML), PAGE)]
    check_may_write(outputs, overwrite=overwrite, reads=[data, model])
    work = out.with_suffix(WORK)
    if work.exists() and not work.is_dir():
        raise ConfigError(f"{work} is a file, and the folder of the work has this name; give another --out")


def name_places(advice: str) -> str:
    """Advice about options of a run, of which this command has some, and the others stand in the file of --run."""
    own = {entry.name for entry in fields(SolveOptions)}
    return re.sub(r"--(\w+)", lambda found: found[0] if found[1] in own else f"{found[1]} (in --run's file)", advice)


def list_run_tokens(
    options: SolveOptions, data: str, columns: Mapping[str, Any], num_problems: int, folder: Path
) -> list[str]:
    """As of `spine train`; what is said here wins over --run, and that over what suits most problems."""
    said = {"prompt_suffix": options.prompt_suffix, "max_completion_length": options.max_completion_length}
    said |= {name: value for name, value in columns.items() if value is not False}
    usual = {
        "num_generations": options.num_generations,
        "per_device_train_batch_size": options.num_generations,
        "gradient_accumulation_steps": min(num_problems, 16),  # problems of a step
        "num_train_epochs": 10,
        "max_completion_length": 512,
        "seed": options.seed,
        "report_to": "none",
    }
    values = {} if options.run is not None else usual
    values |= {name: value for name, value in said.items() if value is not None}
    values |= {"data": data, "model": options.model, "output_dir": folder}
    config = [] if options.run is None else ["--config", str(options.run)]
    return [*config, *(f"--{name}={value}" for name, value in values.items())]
