"""Checkpoints that are damaged, in every file and way: a resume falls back to an older one, or says why it cannot."""

import json
import random
import shutil

from spine_rl.runs.manifest import MANIFEST_FILE
from torture import children, runs

WAYS = ("cut", "emptied", "missing", "flipped", "replaced")


def torture(work, count, seed=0):
    """Counts over `count` damaged checkpoints, and what went wrong, a line each."""
    draw = random.Random(seed)
    data = runs.write_problems(work / "problems.jsonl")
    whole = work / "whole"
    assert children.run(runs.command(data, whole, steps=4), work / "log", work)[0] == 0
    end = runs.read_end(whole)
    begun = _unfinish(shutil.copytree(whole, work / "begun"))
    names = sorted(path.name for path in (begun / "checkpoint-4").iterdir())
    counts = {"damaged": 0, "fell back and ended identical": 0, "one line": 0, "silent": 0}
    wrong = []
    for number in range(count):
        folder = shutil.copytree(begun, work / "damaged")
        name, way = names[number % len(names)], WAYS[number // len(names) % len(WAYS)]
        both = number % 4 == 3  # no checkpoint is whole
        for checkpoint in ("checkpoint-4", "checkpoint-2") if both else ("checkpoint-4",):
            harm(folder / checkpoint / name, way, draw)
        status, printed = children.run([*runs.command(data, folder, steps=4), "--resume"], work / "log", work)
        counts["damaged"] += 1
        lines = [line for line in printed.splitlines() if line.startswith("spine: ")]
        # a manifest with another bit may say the same, or accuse another file
        is_said = f"checkpoint-4: {name} " in printed or name == MANIFEST_FILE
        if both and status == 2 and len(lines) == 1 and is_said and "Traceback" not in printed:
            counts["one line"] += 1
        elif not both and status == 0 and is_said and runs.find_difference(end, runs.read_end(folder)) is None:
            counts["fell back and ended identical"] += 1
        else:
            counts["silent"] += not is_said
            wrong.append(f"{name} {way}{' twice' if both else ''}: status {status}; {printed[-300:]}")
        shutil.rmtree(folder)
    return counts, wrong


def _unfinish(folder):
    """As the run was before its end."""
    path = folder / "spine_config.json"
    content = json.loads(path.read_text())
    del content["finished"], content["sampling"]
    path.write_text(json.dumps(content))
    return folder


def harm(path, way, draw):
    content = path.read_bytes()
    if way == "cut":
        path.write_bytes(content[: draw.randrange(len(content))])
    elif way == "emptied":
        path.write_bytes(b"")
    elif way == "missing":
        path.unlink()
    elif way == "flipped":
        place = draw.randrange(len(content))
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :])
    else:
        path.write_bytes(draw.randbytes(len(content)))
