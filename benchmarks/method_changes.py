"""How the share of right samples changed, by arm and learning rate, over the families and seeds of an experiment.

    python benchmarks/method_changes.py docs/results/methods

Reads finished cells, runs nothing, and prints two tables in Markdown: mean changes over all runs, with how many of them
fell by 0.1 or more, and mean changes by family.
"""

import argparse
from pathlib import Path

import pandas as pd

from spine_rl.evaluation.formats import render_table
from spine_rl.lab.experiments.stability import COLLAPSE
from spine_rl.lab.experiments.store import read_records


def read_changes(folder: Path) -> pd.DataFrame:
    """A row a run: from its first evaluation to its last, on the first problem set."""
    rows = []
    for record in read_records(folder).values():
        problem_set, curve = record["settings"]["evaluate_on"][0], record["curve"]
        change = curve[-1][problem_set]["pass@1"] - curve[0][problem_set]["pass@1"]
        rate = record["point"]["learning_rate"]
        rows.append({"arm": record["arm"], "task": record["task"], "rate": rate, "change": change})
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="an experiment's, with an axis learning_rate")
    changes = read_changes(parser.parse_args().folder)
    by_rate, by_task = changes.groupby(["arm", "rate"]).change, changes.groupby(["arm", "rate", "task"]).change
    rates, tasks = sorted(changes.rate.unique()), changes.task.unique()
    fallen, arms = by_rate.agg(lambda values: (values <= -COLLAPSE).sum()), changes.arm.unique()
    print(
        render_table(
            ["", *(f"{rate:g}" for rate in rates)],
            [[arm, *(f"{by_rate.mean()[arm, rate]:+.3f} ({fallen[arm, rate]})" for rate in rates)] for arm in arms],
        )
    )
    columns = [(rate, task) for rate in rates for task in tasks]
    print(
        render_table(
            ["", *(f"{task}, {rate:g}" for rate, task in columns)],
            [[arm, *(f"{by_task.mean()[arm, rate, task]:+.3f}" for rate, task in columns)] for arm in arms],
        )
    )


if __name__ == "__main__":
    main()
