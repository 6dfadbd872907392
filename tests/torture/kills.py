"""Runs that are killed, at any moment and in the middle of saves, and resumed: each must end as one that was not.

Half of the kills come at a random time; the other half just before a random change to the run's folder, which is a
save's but for the rows of metrics and samples.
"""

import os
import random
import shutil
import signal
import sys

from torture import children, runs

_CHANGES = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate")


def torture(work, count, seed=0):
    """Counts over `count` kills, and what went wrong, a line each."""
    draw = random.Random(seed)
    data = runs.write_problems(work / "problems.jsonl")
    ways = list(runs.WAYS)[: max(1, min(len(runs.WAYS), count // 2))]
    ends = {way: _run_whole(work, data, way) for way in ways}
    counts = {"kills": 0, "in a save": 0, "resumed": 0, "identical": 0}
    wrong = []
    number = 0
    while counts["kills"] < count:
        number += 1
        way = ways[number // 2 % len(ways)]
        seconds, changes, end = ends[way]
        folder = work / f"killed-{number}"
        if number % 2:
            at = draw.randrange(1, changes)
            child = _start(work, data, folder, way, lambda at=at, folder=folder: _die_at_change(folder, at))
            where = f"change {at} of {changes}"
        else:
            at = draw.uniform(0.0, seconds)
            child = _start(work, data, folder, way, lambda at=at: _die_after(at))
            where = f"{at:.2f} s"
        status = child.wait()
        if status != -signal.SIGKILL:  # it was done before
            shutil.rmtree(folder)
            continue
        counts["kills"] += 1
        counts["in a save"] += any(folder.glob(".tmp-*")) if folder.is_dir() else False
        status, printed = _resume(work, data, folder, way)
        counts["resumed"] += status == 0
        difference = "no end" if status else runs.find_difference(end, runs.read_end(folder))
        counts["identical"] += difference is None
        if difference is not None:
            wrong.append(f"{way}, killed at {where}: {difference}; {printed[-300:]}")
        else:
            shutil.rmtree(folder)
    return counts, wrong


def _run_whole(work, data, way):
    """How long a run takes, how often its folder changes, and its end."""
    import time

    folder, tally = work / f"whole-{way}", work / f"changes-{way}"
    started = time.monotonic()
    child = _start(work, data, folder, way, lambda: _count_changes(folder, tally))
    assert child.wait() == 0, child.printed
    return time.monotonic() - started, tally.stat().st_size, runs.read_end(folder)


def _start(work, data, folder, way, prepare):
    return children.start(runs.command(data, folder, way), work / "log", work, prepare)


def _resume(work, data, folder, way):
    command = runs.command(data, folder, way)
    begun = (folder / "spine_config.json").exists()  # else nothing was written yet, and the same command begins
    return children.run([*command, "--resume"] if begun else command, work / "log", work)


def _die_after(seconds):
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))


def _die_at_change(folder, at):
    left = [at]

    def watch(event, arguments):
        if _is_change(event, arguments, folder):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def _count_changes(folder, tally):
    out = os.open(tally, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def watch(event, arguments):
        if _is_change(event, arguments, folder):
            os.write(out, b".")

    sys.addaudithook(watch)


def _is_change(event, arguments, folder):
    if event not in _CHANGES or not isinstance(arguments[0], str | os.PathLike):
        return False
    if event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR) == 0:
        return False
    return os.fspath(arguments[0]).startswith(str(folder))
