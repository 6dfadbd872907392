"""Commands in processes forked from one that has imported everything: a run costs its steps, not its imports."""

import contextlib
import importlib
import os
import pkgutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

LIMIT = 1800.0  # seconds until a command counts as hung, on a machine that does much else beside
_IMPORTED = False


def import_all():
    """Before the first fork, in a process without threads."""
    global _IMPORTED
    if not _IMPORTED:
        import torch

        import spine_rl

        torch.set_num_threads(1)
        for module in pkgutil.walk_packages(spine_rl.__path__, "spine_rl."):
            if "vllm" not in module.name and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        _IMPORTED = True


@dataclass
class Child:
    """A command that runs.

    Attributes:
        pid: Its process.
        log: What it prints, both streams.
        started: On the monotonic clock.
    """

    pid: int
    log: Path
    started: float

    def wait(self, limit=LIMIT):
        """Its exit status, negative where a signal ended it; None, and it is killed, where it takes too long."""
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() - self.started > limit:
                self.kill()
                os.waitpid(self.pid, 0)
                return None
            time.sleep(0.005)

    def kill(self, number=signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    @property
    def printed(self):
        return self.log.read_text(errors="replace")


def start(arguments, log, cwd, prepare=None, stdin=None):
    """Starts `spine` with these arguments; `prepare` is called in the new process."""
    import_all()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Child(pid, Path(log), time.monotonic())
    status = 70
    try:
        _redirect(log, stdin)
        os.chdir(cwd)
        if prepare is not None:
            prepare()
        sys.argv = ["spine", *map(str, arguments)]
        status = _run()
    finally:
        os._exit(status)


def run(arguments, log, cwd, **options):
    """Exit status and what was printed."""
    limit = options.pop("limit", LIMIT)
    child = start(arguments, log, cwd, **options)
    return child.wait(limit), child.printed


def _redirect(log, stdin):
    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.dup2(os.open(stdin or os.devnull, os.O_RDONLY), 0)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        mode = "r" if number == 0 else "w"
        setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr


def _run():
    from spine_rl.cli.main import main

    try:
        main()
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        status = 99  # what a user would see as a traceback
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    return status
