"""Jobs for workers' tests: a new process imports this file, so it imports next to nothing."""

import os
import signal
import time


def report_process(on_step, *, seconds=0):
    on_step(1)
    print("said on the way")
    return {"pid": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"]}


def fail(on_step):
    print("said before the end")
    raise ValueError("no such\nluck")


def die(on_step):
    os._exit(3)


def die_once(on_step, *, folder):
    """Killed the first time, as the system kills what takes all memory."""
    on_step(1)
    if not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"pid": os.getpid()}


def wait_for_another(on_step, *, folder, name):
    """Ends once two of these run at the same time."""
    (folder / f"job{name}").write_text(str(os.getpid()))
    until = time.monotonic() + 60
    while len([*folder.glob("job*")]) < 2:
        if time.monotonic() > until:
            raise TimeoutError("no other job came")
        time.sleep(0.02)
    return {"pid": os.getpid()}


def wait_for_ever(on_step, *, folder):
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(600)
