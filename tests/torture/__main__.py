"""The long ones: `python -m torture [name | name=count ...]`, from `tests`; counts go to docs/results/torture.

Half an hour to two hours on two cores, most of it for disks and inputs. What went wrong is printed, and the exit status
is the number of those.
"""

import importlib
import json
import sys
import tempfile
import time
from pathlib import Path

from paths import ROOT
from spine_rl.runs.machine import describe_machine
from spine_rl.runs.whole_file import write_whole
from torture import disks

COUNTS = {"kills": 60, "signals": 20, "damage": 60, "disks": 10, "inputs": 400, "pairs": 21}
OUT = ROOT / "docs" / "results" / "torture"


def main(names):
    failures = 0
    for asked in names or COUNTS:
        name, _, count = asked.partition("=")
        started = time.monotonic()
        number = int(count or COUNTS[name])
        with tempfile.TemporaryDirectory(prefix=f"spine-{name}-") as folder:
            work = Path(folder) / "work"
            work.mkdir()
            if name == "disks" and not disks.can_mount(work):
                print("disks: left out, it takes the right to mount a tmpfs")
                continue
            counts, wrong = importlib.import_module(f"torture.{name}").torture(work, number)
        seconds = round(time.monotonic() - started)
        failures += len(wrong)
        print(f"{name}: {counts}, {seconds} s", *wrong, sep="\n", flush=True)
        record = {"command": f"python -m torture {name}={number}", "counts": counts, "wrong": wrong}
        record |= {"seconds": seconds, "machine": describe_machine()}
        write_whole(OUT / f"{name}.json", json.dumps(record, indent=2) + "\n")
    return min(failures, 100)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
