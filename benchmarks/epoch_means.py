"""Label-free figures of runs, epoch by epoch.

    python benchmarks/epoch_means.py runs/spine/metrics.jsonl runs/ttrl/metrics.jsonl

Reads what `spine train` logged, runs nothing, and prints a table in Markdown: a row an epoch of each run.
"""

import argparse
from pathlib import Path

import pandas as pd

from spine_rl.evaluation.formats import render_table

FIGURES = {
    "vote/majority_ratio": "majority share",
    "vote/first_label_share": "first labels",
    "response_length/mean": "tokens",
    "response_length/truncated": "cut off",
    "entropy/all": "entropy",
    "vote/abstained": "abstained",
}


def read_epochs(path: Path) -> pd.DataFrame:
    """Means over the steps of each epoch, and the steps that it has."""
    rows = pd.read_json(path, lines=True)
    rows = rows[rows["vote/majority_ratio"].notna()].drop_duplicates("step", keep="last")
    number = (rows["epoch"] - 1e-9).astype(int) + 1
    means = rows[list(FIGURES)].groupby(number).mean()
    return means.assign(first=rows.groupby(number)["step"].min(), last=rows.groupby(number)["step"].max())


def _name(path: Path) -> str:
    """Of the run's folder, or of a copy of its metrics."""
    return path.parent.name if path.stem == "metrics" else path.stem


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("metrics", type=Path, nargs="+", help="metrics.jsonl of a run")
    rows = [
        [_name(path), f"{row['first']:.0f} to {row['last']:.0f}", *(f"{row[name]:.3g}" for name in FIGURES)]
        for path in parser.parse_args().metrics
        for _, row in read_epochs(path).iterrows()
    ]
    print(render_table(["run", "steps", *FIGURES.values()], rows))


if __name__ == "__main__":
    main()
