"""What is wrong with a model's name, a data file or a run's folder, seen before torch is loaded: told in a second."""

import os
from pathlib import Path
from typing import Any

from spine_rl.engine.model_folder import find_base, list_configs, looks_like_path, read_config
from spine_rl.errors import ModelError
from spine_rl.evaluation.responses import SETTINGS_FILE
from spine_rl.problems import load_problems
from spine_rl.problems.benchmarks import split_benchmark_source
from spine_rl.problems.read import is_path
from spine_rl.runs.may_write import Output, check_may_write
from spine_rl.runs.run_folder import RUN, find_start

_DATA = (".jsonl", ".json", ".csv", ".parquet")


def check_model(name_or_path: str) -> None:
    """Looks at what lies on this machine: the folder's configuration, or whether a path is one.

    Raises:
        ModelError: It is no model.
    """
    if not Path(name_or_path).exists():
        if looks_like_path(name_or_path):
            raise ModelError(f"{name_or_path}: no such folder or file; give a model folder, a .gguf file or a hub id")
        return
    for config in list_configs(name_or_path):
        read_config(config)
    find_base(name_or_path)


def check_models(*names: str | None) -> None:
    """As `check_model`, of those that are given; the folder of an evaluation stands for the model that it is of."""
    for name in names:
        if name is not None and not (Path(name) / SETTINGS_FILE).is_file():
            check_model(name)


def check_problems(data: str, **columns: Any) -> None:
    """Reads a data file as it will be read; benchmarks and data sets of the hub wait for their libraries.

    Raises:
        DataError: A row cannot be read, or a name is nearly a benchmark's.
    """
    benchmark, _ = split_benchmark_source(data)
    path = Path(data)
    if benchmark is None and (path.exists() or path.suffix.lower() in _DATA or is_path(data)):
        load_problems(data, **columns)


def check_new_run(folder: Path, *, overwrite: bool, resume: bool, reads: list[str]) -> None:
    """Of a run that begins: one of several processes may find what another has begun, and looks later.

    Raises:
        RunFolderError: The folder holds a run, or what is no run.
    """
    if not resume and int(os.environ.get("WORLD_SIZE", "1")) == 1:
        check_may_write([Output(folder, RUN, "output_dir", goes_on=True)], overwrite=overwrite, reads=reads)
        find_start(folder, overwrite=overwrite, resume=False, given={})
