"""The adaptation's own sample budget: what an honest baseline may spend too."""

import math
from pathlib import Path
from typing import Any

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


def count_responses(args: Any, num_steps: int) -> int:
    """Responses that so many optimiser steps asked for, vote-only ones and all processes' included; not a probe's.

    Votes that stopped early drew fewer: it is the most that the steps sampled.

    Args:
        args: A `SpineConfig`, resolved.
        num_steps: Optimiser steps done.
    """
    num_batches = math.ceil(
        num_steps * args.gradient_accumulation_steps / (args.steps_per_generation * args.num_iterations)
    )
    votes_a_problem = args.num_votes or args.num_generations
    return num_batches * args.generation_batch_size * votes_a_problem // args.num_generations
