"""A sample of each torture, in a process of its own: it forks, and a process with threads must not."""

import json
import subprocess
import sys

import pytest

from paths import ROOT
from torture import disks

_RUN = """
import importlib, json, sys
from pathlib import Path
name, work, count, seed = sys.argv[1:]
counts, wrong = importlib.import_module(f"torture.{name}").torture(Path(work), int(count), int(seed))
print(json.dumps([counts, wrong]))
"""


def torture(name, work, count, seed=1):
    work = work / "work"
    work.mkdir()
    command = [sys.executable, "-c", _RUN, name, work, str(count), str(seed)]
    done = subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-2000:]
    counts, wrong = json.loads(done.stdout.splitlines()[-1])
    assert wrong == []
    return counts


@pytest.mark.slow
def test_killed_runs_end_like_unbroken_ones(tmp_path):
    counts = torture("kills", tmp_path, 4)
    assert counts["kills"] == counts["resumed"] == counts["identical"] == 4


@pytest.mark.slow
def test_a_signal_ends_a_run_after_its_step_with_a_checkpoint(tmp_path):
    counts = torture("signals", tmp_path, 4)
    assert counts["ended with a checkpoint"] >= 3
    assert counts["identical"] == 4


@pytest.mark.slow
def test_damaged_checkpoints_are_never_taken(tmp_path):
    counts = torture("damage", tmp_path, 4)
    assert counts["fell back and ended identical"] == 3
    assert counts["one line"] == 1


@pytest.mark.slow
def test_a_full_disk_loses_nothing(tmp_path):
    if not disks.can_mount(tmp_path):
        pytest.skip("takes the right to mount a tmpfs")
    counts = torture("disks", tmp_path, 1)
    assert all(each["recovered"] == 1 for each in counts.values())


@pytest.mark.slow
def test_bad_inputs_are_one_line(tmp_path):
    counts = torture("inputs", tmp_path, 12)
    assert counts["one line"] + counts["read all the same"] == 12


@pytest.mark.slow
def test_of_two_at_once_one_wins(tmp_path):
    counts = torture("pairs", tmp_path, 2)
    assert counts["one refused"] + counts["one after the other"] == 2
