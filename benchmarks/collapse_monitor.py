"""The collapse monitor judged on the runs of several experiments together; gold judges alone.

    python benchmarks/collapse_monitor.py docs/results

Reads finished cells (`*/cells/*.json`), runs nothing, and prints a table in Markdown. A run collapsed if Pass@1 (mean
of the samples, first problem set it was evaluated on) ends at least 0.1 below its start. The kept step is the one
that `keep_best=label-free` would have kept among the evaluated ones; losses are of Pass@1, to the best evaluated step.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from spine_rl.lab.experiments.markdown import render_table
from spine_rl.lab.experiments.monitoring import choose_step, judge_records, list_judged
from spine_rl.lab.experiments.records import Record, read_record
from spine_rl.lab.experiments.reuse import identify

HEADS = ["", "runs", "collapsed", "found", "sound", "false alarms", "≤ 2 below the start", "≤ 3 below the best"]
HEADS += ["loss of the kept step", "loss of the last step"]


def load_folder(folder: Path) -> list[Record]:
    """The label-free runs of an experiment that have every signal logged."""
    records = [read_record(path) for path in sorted(folder.glob("cells/*.json"))]
    return list_judged([record for record in records if "vote/first_label_share" in record.get("steps", {})])


def list_once(groups: Iterable[Sequence[Record]]) -> list[list[Record]]:
    """Without runs that an experiment shares with an earlier one: a run of the same settings and seed is the same."""
    seen: set[str] = set()
    once = []
    for records in groups:
        new = {identify(record["settings"], record["seed"]): record for record in records}
        once.append([record for key, record in new.items() if key not in seen])
        seen |= new.keys()
    return [records for records in once if records]


def describe(name: str, groups: Sequence[Sequence[Record]]) -> list[str]:
    """A row of the table; a group's records were evaluated on the same first problem set."""
    judged = [judge_records(records, records[0]["settings"]["evaluate_on"][0]) for records in groups]
    choices = [choose_step(record, record["settings"]["evaluate_on"][0]) for records in groups for record in records]

    def add(field: str) -> int:
        return sum(getattr(each, field) for each in judged)

    def share(count: int) -> str:
        return f"{count} ({count / len(choices):.0%})"

    return [
        name,
        str(len(choices)),
        *(str(add(field)) for field in ("num_collapsed", "num_detected", "num_sound", "num_false_alarms")),
        share(sum(choice.is_safe for choice in choices)),
        share(sum(choice.is_near_best for choice in choices)),
        f"{sum(choice.best - choice.chosen for choice in choices) / len(choices):.3f}",
        f"{sum(choice.best - choice.last for choice in choices) / len(choices):.3f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path, help="folder of experiments' folders")
    loaded = {folder.name: load_folder(folder) for folder in sorted(parser.parse_args().results.iterdir())}
    groups = {name: records for name, records in loaded.items() if records}
    rows = [describe(name, [records]) for name, records in groups.items()]
    if groups:
        rows.append(describe("all, each run once", list_once(groups.values())))
    print(render_table(HEADS, rows))


if __name__ == "__main__":
    main()
