"""Keys of mathematical expressions, worked out by math-verify in a process of its own that can be killed.

Parsed model output can be made to hang or to fill the memory (a power tower, a factorial), so nothing of it is
evaluated, compared or printed here: the text goes over a pipe, and a key comes back or nothing does.
"""

import atexit
import json
import queue
import subprocess
import sys
import threading
from functools import lru_cache

TIMEOUT = 2.0  # seconds an answer
STARTUP_TIMEOUT = 120.0  # seconds until sympy is imported, on a busy machine


class SymbolicTimeoutError(Exception):
    """The worker did not answer in time, or died of it; it has been killed."""


@lru_cache(maxsize=10_000)
def compute_symbolic_key(latex: str) -> str | None:
    """The key of an expression, the same for equal ones (`\\sqrt{12}` and `2\\sqrt{3}`); None if it is not mathematics.

    Raises:
        SymbolicTimeoutError: It takes too long or too much memory.
    """
    return _WORKER.ask(latex)


class _Worker:
    def __init__(self):
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()
        self._lock = threading.Lock()
        atexit.register(self.stop)

    def ask(self, latex: str) -> str | None:
        with self._lock:
            process = self._process or self._start()
            assert process.stdin is not None
            try:
                process.stdin.write(json.dumps(latex) + "\n")
                process.stdin.flush()
                return json.loads(self._answers.get(timeout=TIMEOUT))
            except (queue.Empty, OSError, ValueError) as error:
                self.stop()
                raise SymbolicTimeoutError(f"no answer within {TIMEOUT} s") from error

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
        self._answers = queue.Queue()
        threading.Thread(target=_read_lines, args=(self._process, self._answers), daemon=True).start()
        try:
            ready = self._answers.get(timeout=STARTUP_TIMEOUT)
        except queue.Empty:
            ready = ""
        if not ready:
            self.stop()
            raise RuntimeError("the worker for symbolic answers does not start; is math-verify installed?")
        return self._process


def _read_lines(process: "subprocess.Popen[str]", lines: "queue.Queue[str]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put("")  # the worker is gone


_WORKER = _Worker()
