"""The adaptation's own sample budget: what an honest baseline may spend too."""

import math
from pathlib import Path

from spine_rl.errors import ConfigError
from spine_rl.runs.run_file import RUN_FILE, read_run


def read_budget(model: str) -> int | None:
    """Responses a problem that an adapted model's run sampled, rounded up; None where the model is no run's folder.

    Raises:
        ConfigError: It is one, and does not say.
    """
    run = read_run(Path(model))
    if run is None:
        return None
    sampling = run.get("sampling")
    if sampling is None:
        raise ConfigError(
            f"{Path(model) / RUN_FILE} does not say how much was sampled (the run is unfinished, or of an earlier "
            "version); give --budget N, the responses it sampled a problem, or --budget 0 to leave the comparison out"
        )
    return math.ceil(sampling["responses"] / sampling["problems"])
