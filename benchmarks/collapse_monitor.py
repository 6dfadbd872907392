"""The collapse monitor judged on the runs of several experiments together; gold judges alone.

    python benchmarks/collapse_monitor.py docs/results

Reads finished cells (`*/cells.jsonl.gz`, and `*/cells/*.json` of experiments that are running), runs nothing, and
prints a table in Markdown. A run collapsed if Pass@1 (mean of the samples, first problem set it was evaluated on) ends
at least 0.1 below its start. The kept step is the one that `keep_best=label-free` would have kept among the evaluated
ones; losses are of Pass@1, to the best evaluated step. The thresholds were found on one half of the runs, by a hash of
their names; the other half is the test.
"""

import argparse
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from spine_rl.evaluation.formats import render_table
from spine_rl.lab.experiments.cells import format_name
from spine_rl.lab.experiments.monitoring import count_judged, judge_records
from spine_rl.lab.experiments.store import identify, read_records
from spine_rl.monitor import PROBE

HEADS = ["", "runs", "collapsed", "found", "sound", "false alarms", "≤ 2 below the start", "≤ 3 below the best"]
HEADS += ["loss of the kept step", "loss of the last step"]


def judge_folder(folder: Path, *, reads_probe: bool = True) -> pd.DataFrame:
    """The label-free runs of an experiment that have all signals logged; or those with a probe, as if they had none."""
    records = [each for each in read_records(folder).values() if "vote/first_label_share" in each.get("steps", {})]
    if not reads_probe:
        records = [each | {"steps": _drop_probe(each["steps"])} for each in records if _has_probe(each["steps"])]
    names = {
        identify(each): format_name(each["task"], each["arm"], point={**each["point"], "seed": each["seed"]})
        for each in records
    }
    judged = judge_records(records)
    digests = [hashlib.sha256(f"{folder.name}/{names[key]}".encode()).digest() for key in judged.index]
    return judged.assign(is_test=[digest[-1] % 2 == 1 for digest in digests])


def _has_probe(steps: Mapping[str, Any]) -> bool:
    return any(name.startswith(PROBE) for name in steps)


def _drop_probe(steps: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values for name, values in steps.items() if not name.startswith(PROBE)}


def describe(name: str, judged: pd.DataFrame) -> list[str]:
    """A row of the table."""

    def share(column: pd.Series) -> str:
        return f"{column.sum()} ({column.mean():.0%})"

    return [
        name,
        str(len(judged)),
        *map(str, count_judged(judged).values()),
        share(judged.is_safe),
        share(judged.is_near_best),
        f"{(judged.best - judged.kept).mean():.3f}",
        f"{(judged.best - judged['last']).mean():.3f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path, help="folder of experiments' folders")
    folders = sorted(path for path in parser.parse_args().results.iterdir() if path.is_dir())
    judged = {folder.name: each for folder in folders if len(each := judge_folder(folder))}
    rows = [describe(name, each) for name, each in judged.items()]
    blind = {folder.name: each for folder in folders if len(each := judge_folder(folder, reads_probe=False))}
    rows += [describe(f"{name}, its probe not read", each) for name, each in blind.items()]
    if judged:  # a run of the same settings and seed is the same, whichever experiments share it
        together = pd.concat(judged.values())
        once = together[~together.index.duplicated()]
        rows.append(describe("the half that thresholds were found on", once[~once.is_test]))
        rows.append(describe("**the other half**", once[once.is_test]))
        rows.append(describe("all, each run once", once))
    print(render_table(HEADS, rows))


if __name__ == "__main__":
    main()
