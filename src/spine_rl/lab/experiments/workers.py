"""Jobs side by side on this machine: a process each with one thread, so that a job that dies takes no other with it.

An engine takes jobs as it has room for them and yields each with its outcome; `cluster` has the one for Ray. This
module is the first that a new process imports: it stays light, and limits threads before torch is there.
"""

import os
import signal
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.managers import SyncManager
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from spine_rl.engine.progress import tell
from spine_rl.engine.quiet import redirecting_output
from spine_rl.errors import shorten

OnStep = Callable[[int], None]
MOST_TRIES = 3  # of a job whose process is lost: killed for memory, or by hand
LOOK = 0.5  # seconds between looks at how far the jobs are
THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class Job:
    """What a worker does.

    Attributes:
        name: For progress, messages and the log's name.
        run: Called with what takes the steps that are done, gives the record; it is pickled.
        steps: How many there will be.
    """

    name: str
    run: Callable[[OnStep], Mapping[str, Any]]
    steps: int


@dataclass(frozen=True)
class Failure:
    """Why a job ended without a record, in one line; what it printed is in `log`; one that was lost may run again."""

    reason: str
    log: Path
    is_tried_again: bool = False


Outcome = Mapping[str, Any] | Failure


def run_local(jobs: Iterable[Job], num_workers: int | None, logs: Path) -> Generator[tuple[Job, Outcome]]:
    """Runs jobs in their order, `num_workers` at once, and tells how far each is; ends every process when it is left.

    Args:
        jobs: The next one is taken when a worker is free.
        num_workers: Processes; None for one.
        logs: Folder for what failed jobs printed.
    """
    num_workers = num_workers or 1
    context = get_context("spawn")  # a fork of a process with threads may hang
    manager = SyncManager(ctx=context)
    manager.start(_begin_manager)
    pool = ProcessPool(num_workers, initializer=_begin_worker, context=context)
    try:
        steps = manager.Queue()
        yield from run_side_by_side(
            jobs,
            num_workers,
            {},
            steps,
            begin=lambda job: pool.schedule(work, (job, logs / f"{job.name}.log", steps)),
            wait_for_some=lambda running: wait(running, LOOK, FIRST_COMPLETED).done,
            conclude=lambda job, future: _get_outcome(future, logs / f"{job.name}.log"),
        )
        pool.close()
    finally:
        pool.stop()
        pool.join()
        manager.shutdown()


def run_side_by_side(
    jobs: Iterable[Job],
    at_once: int,
    running: dict[Any, Job],
    steps: Any,
    *,
    begin: Callable[[Job], Any],
    wait_for_some: Callable[[Iterable[Any]], Iterable[Any]],
    conclude: Callable[[Job, Any], Outcome],
) -> Generator[tuple[Job, Outcome]]:
    """Keeps an engine busy, jobs in their order, lost ones again; tells how far each is.

    Args:
        jobs: The next one is taken when there is room.
        at_once: How many there is room for.
        running: Filled with what the engine promises for each job that has begun; the caller's, to cancel them.
        steps: Queue of what jobs tell of their steps.
        begin: Begins a job; gives the promise.
        wait_for_some: Waits a little; gives the promises that are kept by then.
        conclude: Gives a job's outcome; a lost one is tried again, three times at most in all.
    """
    coming, again, losses = iter(jobs), deque[Job](), Counter[str]()
    while True:
        while len(running) < at_once and (job := again.popleft() if again else next(coming, None)):
            running[begin(job)] = job
            tell(job.name, 0, job.steps, "steps")
        if not running:
            return
        done = [(promise, running.pop(promise)) for promise in wait_for_some(running)]
        while not steps.empty():
            tell(*steps.get())
        for promise, job in done:
            outcome = conclude(job, promise)
            if isinstance(outcome, Failure) and outcome.is_tried_again:
                losses[job.name] += 1
                outcome = replace(outcome, is_tried_again=losses[job.name] < MOST_TRIES)
                again.extend([job] if outcome.is_tried_again else [])
            tell(job.name, job.steps, job.steps)
            yield job, outcome


def _get_outcome(future: Any, log: Path) -> Outcome:
    error = future.exception()
    if isinstance(error, ProcessExpired):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        killed = ", as where memory runs out: fewer --jobs need less" if error.exitcode == -signal.SIGKILL else ""
        reason = f"its process ended with exit status {error.exitcode}{killed}"
        return Failure(reason, log, is_tried_again=True)
    result = f"{type(error).__name__}: {error}" if error is not None else future.result()
    return Failure(result, log) if isinstance(result, str) else result


# ---- in a worker


def _begin_worker() -> None:
    os.environ |= THREADS
    _end_with_parent()


def _begin_manager() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    _end_with_parent()


def _end_with_parent() -> None:
    """However the parent ends: nobody would take what comes of the work."""
    parent = parent_process()
    assert parent is not None
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def work(job: Job, log: Path, steps: Any) -> Mapping[str, Any] | str:
    """The job's record, or in one line why there is none."""
    with redirecting_output(log):
        try:
            record = job.run(lambda step: steps.put((job.name, step, job.steps, "steps")))
        except Exception as error:  # whatever it is, the other cells go on, and this one is reported
            traceback.print_exc()
            return f"{type(error).__name__}: {shorten(error)}"
    log.unlink(missing_ok=True)
    return record
