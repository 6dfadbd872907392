"""Keys of mathematical expressions, worked out by sympy in processes of their own that can be killed.

Parsed model output can be made to hang or to fill the memory (a power tower, a factorial), so nothing of it is
evaluated, compared or printed here: the text goes over a pipe, and a key comes back or nothing does.
"""

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import lru_cache

# Seconds an answer, for a worker that hangs: it counts CPU time itself, so that a busy machine loses no answer.
TIMEOUT = 2.0 if sys.platform == "win32" else 60.0
STARTUP_TIMEOUT = 120.0  # seconds until sympy is imported, on a busy machine
NUM_WORKERS = 2  # at most; the second is started when two threads ask at once


class SymbolicTimeoutError(Exception):
    """The worker did not answer in time or memory: that is no answer."""


def compute_symbolic_key(latex: str) -> str | None:
    """The key of an expression, the same for equal ones (`\\sqrt{12}` and `2\\sqrt{3}`); None if it is not mathematics.

    Raises:
        SymbolicTimeoutError: It takes too long or too much memory.
    """
    return _get_key("value", latex)


def compute_equation_key(latex: str) -> str | None:
    """The key of `expression = 0`, the same for its multiples; None if it is not mathematics.

    Raises:
        SymbolicTimeoutError: It takes too long or too much memory.
    """
    return _get_key("equation", latex)


def stop_workers() -> None:
    """Ends the processes and forgets their answers; the next question starts new ones."""
    _POOL.stop()
    _ask.cache_clear()


def _get_key(kind: str, latex: str) -> str | None:
    reply = _ask(kind, latex)
    if "key" not in reply:
        raise SymbolicTimeoutError(f"no answer in time or memory: {reply['no_answer']}")
    return reply["key"]


@lru_cache(maxsize=20_000)
def _ask(kind: str, latex: str) -> dict[str, str | None]:
    """A worker's reply, kept; that time or memory did not suffice is one, so that copies of a response are quick."""
    with _POOL.worker() as worker:
        return worker.ask(json.dumps([kind, latex]))


class _Pool:
    """At most `NUM_WORKERS` workers, the one used last taken first; started when needed, all ended at exit."""

    def __init__(self):
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        self._workers: list[_Worker] = []
        for _ in range(NUM_WORKERS):
            self._workers.append(_Worker())
            self._idle.put(self._workers[-1])
        self._owner = os.getpid()
        atexit.register(self.stop)

    @contextmanager
    def worker(self):
        if self._owner != os.getpid():  # after a fork the parent's pipes must not be shared
            self.__init__()
        worker = self._idle.get()
        try:
            yield worker
        finally:
            self._idle.put(worker)

    def stop(self) -> None:
        if self._owner == os.getpid():
            for worker in self._workers:
                worker.stop()


class _Worker:
    def __init__(self):
        self._process: subprocess.Popen[str] | None = None
        self._replies: queue.Queue[str] = queue.Queue()

    def ask(self, question: str) -> dict[str, str | None]:
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(question + "\n")
            process.stdin.flush()
            return json.loads(self._replies.get(timeout=TIMEOUT))
        except ValueError:  # it ended at its limits, without a reply
            self.stop()
            return {"no_answer": "ended"}
        except (queue.Empty, OSError) as error:  # not the question's doing: it may be asked again
            self.stop()
            raise SymbolicTimeoutError("the worker hangs, or was ended from outside") from error
        except BaseException:  # interrupted between question and reply: the reply must not serve the next question
            self.stop()
            raise

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "spine_rl.answers.symbolic_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        self._replies = queue.Queue()
        threading.Thread(target=_read_lines, args=(self._process, self._replies), daemon=True).start()
        try:
            ready = self._replies.get(timeout=STARTUP_TIMEOUT)
        except queue.Empty:
            ready = ""
        if not ready:
            self.stop()
            raise RuntimeError("the worker for symbolic answers does not start; is latex2sympy2_extended installed?")
        return self._process


def _read_lines(process: "subprocess.Popen[str]", lines: "queue.Queue[str]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put("")  # the worker is gone


_POOL = _Pool()
