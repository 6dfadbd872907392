"""The adaptation's own sample budget: what an honest baseline may spend too."""

import json
import math
from pathlib import Path

from spine_rl.errors import ConfigError

RUN_FILE = "spine_config.json"  # what `spine train` leaves in its folder


def read_budget(model: str) -> int | None:
    """Responses a problem that an adapted model's run sampled, rounded up; None where the model is no run's folder.

    Raises:
        ConfigError: It is one, and does not say.
    """
    path = Path(model) / RUN_FILE
    if not path.is_file():
        return None
    sampling = json.loads(path.read_text()).get("sampling")
    if sampling is None:
        raise ConfigError(
            f"{path} does not say how much was sampled (the run is unfinished, or of an earlier version); give "
            "--budget N, the responses it sampled a problem, or --budget 0 to leave the comparison out"
        )
    return math.ceil(sampling["responses"] / sampling["problems"])
