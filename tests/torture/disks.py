"""Disks that fill up, at ten sizes, in train, eval and experiment: nothing whole is lost, and the same command goes on.

A disk is a tmpfs of its own, which takes root; it is given more room after the first failure.
"""

import shutil
import subprocess

from torture import children, runs

EXPERIMENT = """
title: Two cells
tasks: [arithmetic]
seeds: [0]
steps: 1
evaluate_every: 1
num_problems: 16
num_samples: 2
evaluate_on: [adapt]
fields: {learning_rate: 1e-4}
arms: {ttrl: {preset: ttrl}, spine: {preset: spine}}
sections: []
"""
ROOM = 256 << 20


def torture(work, count, seed=0):
    """Counts over `count` sizes of each command, and what went wrong, a line each."""
    data = runs.write_problems(work / "problems.jsonl")
    (work / "two.yaml").write_text(EXPERIMENT)
    counts, wrong = {}, []
    for name, make in (("train", _train), ("eval", _eval), ("experiment", _experiment)):
        with Disk(work / f"disk-{name}", ROOM) as disk:
            whole = disk.folder / "out"
            status, printed = children.run(make(data, whole, work), work / "log", work)
            if status != 0:  # what the other commands did still counts
                wrong.append(f"{name} with room enough: status {status}; {printed[-400:]}")
                continue
            end, need = _read_end(name, whole), disk.count_used()
        counts[name] = {"filled": 0, "recovered": 0}
        for step in range(count):
            size = max(4096, int(need * (step + 0.5) / count) // 4096 * 4096)
            with Disk(work / f"disk-{name}", size) as disk:
                failure = _fill(name, make, data, disk, work, end, counts[name])
            if failure is not None:
                wrong.append(f"{name} on {size} bytes: {failure}")
    return counts, wrong


def _fill(name, make, data, disk, work, end, counts):
    """What went wrong, or None."""
    out = disk.folder / "out"
    status, printed = children.run(make(data, out, work), work / "log", work)
    counts["filled"] += status != 0
    if "Traceback" in printed:
        return f"a traceback: {printed[-400:]}"
    if status not in (0, 2):
        return f"status {status}: {printed[-300:]}"
    if status and str(disk.folder) not in printed:
        return f"no path: {printed[-300:]}"
    disk.make_room(ROOM)
    again = make(data, out, work)
    if name == "train" and (out / "spine_config.json").exists():
        again.append("--resume")
    status, printed = children.run(again, work / "log", work)
    if status:
        return f"with room, status {status}: {printed[-400:]}"
    if _read_end(name, out) != end:
        return "with room, another end"
    counts["recovered"] += 1
    return None


class Disk:
    """A file system of so many bytes."""

    def __init__(self, folder, size):
        self.folder, self._size = folder, size

    def __enter__(self):
        self.folder.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self._size}", "tmpfs", self.folder], check=True)
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.folder], check=True)

    def make_room(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", self.folder], check=True)

    def count_used(self):
        return shutil.disk_usage(self.folder).used


def can_mount(folder):
    try:
        with Disk(folder / "disk", 1 << 20):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def _train(data, out, work):
    return [*runs.command(data, out), "--save_steps=1"]


def _eval(data, out, work):
    sampling = ("--num-generations=12", "--max-completion-length=24", "--batch-size=16")
    return ["eval", f"--model={runs.BASE}", f"--data={data}", f"--out={out}", *sampling]


def _experiment(data, out, work):
    return ["experiment", work / "two.yaml", f"--out={out}"]


def _read_end(name, out):
    """What must be equal after a disk was full."""
    if name == "train":
        return runs.read_end(out)
    if name == "eval":
        return runs.read_rows(out)
    return runs.read_curves(out)
