"""Jobs on the machines of a Ray cluster, as tasks: with what `workers.run_local` takes and yields.

A job has a process of its own, with one core, and one GPU where the cluster has any. What it printed comes back with
it, as a cluster need not share a disk. Problems and models that a file names by path must be found on every machine.
"""

import logging
import os
import tempfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spine_rl.errors import ConfigError, shorten
from spine_rl.lab.experiments.workers import LOOK, THREADS, Failure, Job, Outcome, run_side_by_side, work


def check_place(on: str) -> None:
    """Of the machines that cells run on: `local`, `ray`, `ray://HOST:PORT`.

    Raises:
        ConfigError: It is none, or Ray is not installed.
    """
    if on == "local":
        return
    if on != "ray" and not (on.startswith("ray://") and len(on) > len("ray://")):
        raise ConfigError(f"on={on!r}: must be local, ray, or ray://HOST:PORT")
    if find_spec("ray") is None:
        raise ConfigError(f"on={on!r}: Ray is not installed; pip install 'spine-rl[ray]'")


def run_on_ray(on: str, jobs: Iterable[Job], num_workers: int | None, logs: Path) -> Generator[tuple[Job, Outcome]]:
    """Runs jobs in their order, and tells how far each is; cancels those that run when it is left.

    Args:
        on: `ray` for the cluster of this machine (one is begun where there is none), or `ray://HOST:PORT`.
        jobs: The next one is taken when a worker is free.
        num_workers: Jobs at once; None for as many as the cluster has GPUs, or cores where it has none.
        logs: Folder for what failed jobs printed.

    Raises:
        ConfigError: There is no cluster at that address.
    """
    import ray  # pyright: ignore[reportMissingImports]
    from ray.util.queue import Queue  # pyright: ignore[reportMissingImports]

    begun = not ray.is_initialized()
    if begun:
        _connect(on)
    resources = ray.cluster_resources()
    num_gpus, num_cores = (int(resources.get(name, 0)) for name in ("GPU", "CPU"))
    run = ray.remote(num_cpus=1, num_gpus=min(1, num_gpus), max_retries=0, max_calls=1)(_run).options(
        runtime_env={"env_vars": THREADS}
    )
    running = dict[Any, Job]()
    steps = Queue(actor_options={"num_cpus": 0})
    try:
        yield from run_side_by_side(
            jobs,
            num_workers or num_gpus or max(1, num_cores),
            running,
            steps,
            begin=lambda job: run.remote(job, steps, os.getcwd()),
            wait_for_some=lambda promises: ray.wait([*promises], num_returns=1, timeout=LOOK)[0],
            conclude=lambda job, promise: _get_outcome(promise, logs / f"{job.name}.log"),
        )
    finally:
        for promise in running:
            ray.cancel(promise, force=True)
        steps.shutdown(force=True)
        if begun:
            ray.shutdown()


def _connect(on: str) -> None:
    import ray  # pyright: ignore[reportMissingImports]

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(address=None if on == "ray" else on, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"on={on!r}: no Ray cluster is reached there ({shorten(error)}); begin one: ray start --head"
        ) from None


def _get_outcome(promise: Any, log: Path) -> Outcome:
    import ray  # pyright: ignore[reportMissingImports]
    from ray import exceptions as of_ray  # pyright: ignore[reportMissingImports]

    node_lost = (of_ray.NodeDiedError, of_ray.LocalRayletDiedError, of_ray.ObjectLostError)
    try:
        result, printed = ray.get(promise)
    except (of_ray.WorkerCrashedError, of_ray.OutOfMemoryError, *node_lost) as error:
        reason = f"its worker was lost: {type(error).__name__}"
        return Failure(reason, _write(log, str(error)), is_tried_again=True)
    except of_ray.RayError as error:  # before the job began, as where the package is not installed
        return Failure(str(error).strip().splitlines()[-1], _write(log, str(error)))
    return Failure(result, _write(log, printed)) if isinstance(result, str) else result


def _write(log: Path, text: str) -> Path:
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text, encoding="utf-8")
    return log


# ---- in a worker


def _run(job: Job, steps: Any, folder: str) -> tuple[Mapping[str, Any] | str, str]:
    """The job's record, or in one line why there is none; and in that case what it printed."""
    with suppress(OSError):  # where another machine has it, too: relative paths are of the command's folder
        os.chdir(folder)
    with tempfile.TemporaryDirectory() as logs:
        log = Path(logs) / "log"
        result = work(job, log, steps)
        return result, log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
