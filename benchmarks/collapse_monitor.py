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
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from spine_rl.evaluation.formats import render_table
from spine_rl.lab.experiments.cells import format_name
from spine_rl.lab.experiments.monitoring import count_judged, judge_records
from spine_rl.lab.experiments.store import Record, identify, read_records
from spine_rl.monitor import PROBE

HEADS = ["", "runs", "collapsed", "found", "sound", "false alarms", "≤ 2 below the start", "≤ 3 below the best"]
HEADS += ["loss of the kept step", "loss of the last step"]


def read_logged(folder: Path) -> list[Record]:
    """The runs of an experiment that have every signal logged."""
    return [each for each in read_records(folder).values() if "vote/first_label_share" in each.get("steps", {})]


def judge_experiment(name: str, records: Sequence[Record]) -> pd.DataFrame:
    """The label-free ones of an experiment's runs, and which half each is of."""
    names = {
        identify(each): format_name(each["task"], each["arm"], point={**each["point"], "seed": each["seed"]})
        for each in records
    }
    judged = judge_records(records)
    digests = [hashlib.sha256(f"{name}/{names[key]}".encode()).digest() for key in judged.index]
    return judged.assign(is_test=[digest[-1] % 2 == 1 for digest in digests])


def drop_probes(records: Sequence[Record]) -> list[Record]:
    """The runs that have a probe, as if they had none."""
    without = [
        each | {"steps": {name: values for name, values in each["steps"].items() if not name.startswith(PROBE)}}
        for each in records
    ]
    return [new for new, each in zip(without, records, strict=True) if len(new["steps"]) < len(each["steps"])]


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
    runs = {folder.name: read_logged(folder) for folder in folders}
    judged = {name: each for name, records in runs.items() if len(each := judge_experiment(name, records))}
    rows = [describe(name, each) for name, each in judged.items()]
    blind = {name: probed for name, records in runs.items() if (probed := drop_probes(records))}
    rows += [describe(f"{name}, its probe not read", judge_experiment(name, each)) for name, each in blind.items()]
    if judged:  # a run of the same settings and seed is the same, whichever experiments share it
        together = pd.concat(judged.values())
        once = together[~together.index.duplicated()]
        rows.append(describe("the half that thresholds were found on", once[~once.is_test]))
        rows.append(describe("**the other half**", once[once.is_test]))
        rows.append(describe("all, each run once", once))
    print(render_table(HEADS, rows))


if __name__ == "__main__":
    main()
