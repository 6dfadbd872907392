"""Jobs side by side: a process each with one thread, so that a job that dies takes no other with it.

This module is the first that a new process imports: it stays light, and limits threads before torch is there.
"""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from spine_rl.lab.experiments.records import write_record

OnStep = Callable[[int], None]
_LEAVE = 20  # seconds that an idle process is given to end by itself


@dataclass(frozen=True)
class Job:
    """What a worker does: `run` gives the record that is written to `path`.

    Attributes:
        name: For progress and messages.
        path: Of its record.
        run: Is called with what takes the steps that are done; it is pickled.
        steps: How many there will be.
    """

    name: str
    path: Path
    run: Callable[[OnStep], Mapping[str, Any]]
    steps: int


@dataclass(frozen=True)
class Failure:
    """A job that ended without a record, and why, in one line; what it printed is in `log`."""

    job: Job
    reason: str
    log: Path


class Listener(Protocol):
    """Is told what happens to jobs."""

    def on_start(self, job: Job) -> None: ...
    def on_step(self, job: Job, step: int) -> None: ...
    def on_end(self, job: Job, failure: Failure | None) -> None: ...


def run_jobs(jobs: Sequence[Job], num_workers: int, logs: Path, listener: Listener) -> list[Failure]:
    """Runs jobs in their order, `num_workers` at once; returns those that failed, after all were tried.

    Args:
        jobs: The jobs; one whose record has appeared meanwhile is left out.
        num_workers: Processes.
        logs: Folder for what a failed job printed.
        listener: Of progress.
    """
    queue, failures = list(reversed(jobs)), []
    workers = [_Worker(logs) for _ in range(min(num_workers, len(jobs)))]
    try:
        busy = [worker for worker in workers if worker.take(queue, listener)]
        while busy:
            ready = wait([worker.connection for worker in busy])
            for worker in [worker for worker in busy if worker.connection in ready]:
                if not worker.hear(listener, failures):
                    continue
                if not worker.take(queue, listener):
                    busy.remove(worker)
    finally:
        for worker in workers:
            worker.stop()
    return failures


class _Worker:
    """One process at a time; a new one where it died."""

    def __init__(self, logs: Path):
        self._logs, self._job = logs, None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self.connection, child = context.Pipe()
        self._process = context.Process(target=_serve, args=(child,), daemon=True)
        self._process.start()
        child.close()

    @property
    def _log(self) -> Path:
        assert self._job is not None
        return self._logs / f"{self._job.name}.log"

    def take(self, queue: list[Job], listener: Listener) -> bool:
        """Starts the next job of the queue whose record is not there; False where there is none."""
        while queue:
            self._job = queue.pop()
            if not self._job.path.exists():
                self.connection.send((self._job, self._log))
                listener.on_start(self._job)
                return True
            listener.on_end(self._job, None)
        self._job = None
        return False

    def hear(self, listener: Listener, failures: list[Failure]) -> bool:
        """Takes one message; True where it ends the job."""
        assert self._job is not None
        kind: str
        content: Any
        try:
            kind, content = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            kind, content = "failed", f"its process ended with exit status {self._process.exitcode}"
            log = self._log
            self._start()
            log.parent.mkdir(parents=True, exist_ok=True)
            log.touch()
        if kind == "step":
            listener.on_step(self._job, content)
            return False
        failure = Failure(self._job, content, self._log) if kind == "failed" else None
        if failure is not None:
            failures.append(failure)
        listener.on_end(self._job, failure)
        self._job = None
        return True

    def stop(self) -> None:
        self.connection.close()
        if self._job is None:
            self._process.join(_LEAVE)  # it sees the end, and tidies up
        self._process.terminate()  # in the middle of a job, or hanging
        self._process.join()


def _serve(connection: Connection) -> None:
    """A worker's life: jobs in, steps and outcomes out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    while True:
        try:
            job, log = connection.recv()
        except EOFError:
            return
        outcome = ("done", None)
        with _redirect_output(log):
            try:
                write_record(job.path, job.run(lambda step: connection.send(("step", step))))
            except Exception as error:  # whatever it is, the other cells go on, and this one is reported
                traceback.print_exc()
                outcome = ("failed", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        if outcome[0] == "done":
            log.unlink(missing_ok=True)
        connection.send(outcome)


@contextmanager
def _redirect_output(path: Path) -> Iterator[None]:
    """What this process prints, libraries' native code included, goes to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [os.dup(1), os.dup(2)]
    with path.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for target, source in enumerate(kept, start=1):
                os.dup2(source, target)
                os.close(source)
