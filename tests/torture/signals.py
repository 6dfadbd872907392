"""SIGTERM and Ctrl-C in a run: it ends after its step with a checkpoint, says how to go on, and then ends the same."""

import random
import shlex
import shutil
import signal
import time

from torture import children, runs

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}


def torture(work, count, seed=0):
    """Counts over `count` signals, every fourth followed by a second, and what went wrong, a line each."""
    draw = random.Random(seed)
    data = runs.write_problems(work / "problems.jsonl")
    assert children.run(runs.command(data, work / "whole"), work / "log", work)[0] == 0
    end = runs.read_end(work / "whole")
    counts = {"signals": 0, "ended with a checkpoint": 0, "ended at once": 0, "identical": 0}
    wrong = []
    for number in range(count):
        folder, kind, twice = work / "stopped", (signal.SIGTERM, signal.SIGINT)[number % 2], number % 4 == 3
        child = children.start([*runs.command(data, folder), "--save_steps=100"], work / "log", work)
        _wait_for_steps(child, folder, draw.randint(1, 3))
        child.kill(kind)
        if twice:
            _wait_for(lambda child=child: "ending after this step" in child.printed)
            child.kill(kind)
        status, printed = child.wait(), child.printed
        counts["signals"] += 1
        kept = any(folder.glob("checkpoint-*"))
        said = "; go on with: spine " in printed
        is_as_said = status == -kind if twice and not said else status == STATUS[kind] and said and kept
        if not is_as_said or "Traceback" in printed:
            wrong.append(f"{kind.name}: status {status}; {printed[-300:]}")
        else:
            counts["ended with a checkpoint" if kept else "ended at once"] += 1
        again = [*runs.command(data, folder), "--save_steps=100", "--resume"]  # nothing says it after a second
        if said:
            again = shlex.split(printed.rpartition("; go on with: spine ")[2])
        status, printed = children.run(again, work / "log", work)
        difference = printed[-300:] if status else runs.find_difference(end, runs.read_end(folder))
        counts["identical"] += difference is None
        if difference is not None:
            wrong.append(f"{kind.name}, gone on: {difference}")
        shutil.rmtree(folder)
    return counts, wrong


def _wait_for_steps(child, folder, steps):
    path = folder / "metrics.jsonl"
    _wait_for(lambda: path.exists() and path.read_text().count("\n") >= steps)


def _wait_for(condition, limit=120.0):
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < limit
        time.sleep(0.002)
