"""A real run with each tracker, without a network: what arrives is what the docs name."""

import json
import os
import re
import sqlite3
import struct
import subprocess
import sys
from importlib.util import find_spec

import pytest

from paths import ROOT
from spine_rl.lab.families.arithmetic import generate_chains
from spine_rl.lab.tasks import ARITHMETIC, to_problem_set


def list_documented():
    """The names in the table of docs/watching.md, and those of diagnosis below it."""
    text = (ROOT / "docs" / "watching.md").read_text().split("## What a run logs")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    names = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    return names, set(re.findall(r"`(vote/[^`]+)`", text)) - names


def run(folder, tracker, **environment):
    """Two epochs of two steps with an anchor, a band and gold answers: everything that is logged."""
    problems = to_problem_set("adapt", generate_chains("adapt", 4, num_operations=3))  # easy: each gets a label
    rows = [
        {"id": each.id, "prompt": each.prompt, "answer": problems.gold_answers[each.id]} for each in problems.problems
    ]
    (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {
        "model": ARITHMETIC.base, "data": folder / "problems.jsonl", "gold_column": "answer", "report_to": tracker,
        "output_dir": folder / "run", "max_steps": 4, "num_generations": 2, "per_device_train_batch_size": 4,
        "max_completion_length": 60, "beta": 0.01, "save_strategy": "no", "run_name": "tiny",
    }  # fmt: skip
    command = [sys.executable, "-m", "spine_rl.cli.main", "train", "--use_cpu"]
    command += [f"--{name}={value}" for name, value in options.items()]
    places = {"TMPDIR": str(folder), "HOME": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, env=os.environ | places | environment, cwd=folder, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if "vote/majority_ratio" in row]


def read_trackio(folder):
    """Steps as trackio keeps them: name → value."""
    (database,) = folder.glob("*.db")
    with sqlite3.connect(database) as connection:
        return [json.loads(text) for (text,) in connection.execute("SELECT metrics FROM metrics ORDER BY id")]


def read_wandb(folder):
    """The same of wandb's file: records of protobuf in a log of LevelDB's form, after a head of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    steps = []
    for data in read_log(path.read_bytes(), start=7):
        record = Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            steps.append({item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items})
    return steps


def read_log(data, start):
    """Records in blocks of 32 KiB; a piece has 4 bytes of checksum, 2 of length, and 2 or 3 where more follows."""
    whole, place = b"", start
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # what is left of a block is empty
            place += 32768 - place % 32768
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind not in (2, 3):
            yield whole
            whole = b""


TRACKERS = {
    "trackio": (read_trackio, lambda folder: {"TRACKIO_DIR": str(folder / "kept")}),
    "wandb": (read_wandb, lambda folder: {"WANDB_MODE": "offline", "WANDB_DIR": str(folder / "kept")}),
}


@pytest.mark.clusters
@pytest.mark.slow
@pytest.mark.parametrize("tracker", TRACKERS)
def test_what_arrives_at_a_tracker_is_what_the_docs_name(tracker, tmp_path):
    if find_spec(tracker) is None:
        pytest.skip(f"no {tracker}")
    read, place = TRACKERS[tracker]
    (tmp_path / "kept").mkdir()
    logged = run(tmp_path, tracker, **place(tmp_path))
    assert len(logged) == 4
    arrived = [step for step in read(tmp_path / "kept") if "train/vote/majority_ratio" in step]
    assert len(arrived) == 4
    for row, step in zip(logged, arrived, strict=True):
        given = {name.removeprefix("train/"): value for name, value in step.items() if name.startswith("train/")}
        for name, value in row.items():
            if name not in ("step", "time"):
                assert given[name] == pytest.approx(value, rel=1e-6), name
    documented, judged = list_documented()
    names = {name for row in logged for name in row} - {"step", "time"}
    assert documented - names == set()
    assert names - documented - judged == set()
