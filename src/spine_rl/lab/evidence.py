"""TTRL against SPINE on the lab: methods × learning rates × seeds, about an hour on 2 cores.

    python -m spine_rl.lab.evidence --out docs/results/lab

A finished cell is a JSON file and is never run again. `results.md` and the picture are made from the cells.
"""

import argparse
import itertools
import json
import math
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from spine_rl.lab.adapt import adapt_lab
from spine_rl.lab.plots import plot_cells
from spine_rl.lab.tasks import ARITHMETIC

GRID = {  # method: learning rates
    "ttrl": (1e-4, 3e-4, 4e-4),
    "spine": (1e-4, 3e-4, 4e-4),
    "forks-only": (1e-4, 4e-4),
    "oracle": (1e-4,),  # plain TTRL rewarded by gold labels: the upper bound
}
SEEDS = (0, 1, 2)
STEPS, EVALUATE_EVERY, NUM_PROBLEMS = 60, 20, 64
STUDENT_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # two-sided 95 %, by number of seeds

Cell = dict[str, Any]


def run_cell(method: str, learning_rate: float, seed: int) -> Cell:
    """One run; the seed draws the problems, their order and the samples."""
    problem_sets = {split: ARITHMETIC.make_problems(split, NUM_PROBLEMS, seed=seed) for split in ("adapt", "held_out")}
    run = adapt_lab(
        ARITHMETIC,
        method,
        problem_sets["adapt"],
        learning_rate=learning_rate,
        steps=STEPS,
        seed=seed,
        evaluate_every=EVALUATE_EVERY,
        evaluate_sets=problem_sets,
    )
    kept = (
        "step",
        "vote/majority_ratio",
        "vote/label_accuracy",
        "response_length/mean",
        "entropy/all",
        "entropy/forks",
    )
    return {
        "method": method,
        "learning_rate": learning_rate,
        "seed": seed,
        "curve": run.curve,
        "steps": [{name: row[name] for name in kept} for row in run.steps],
        "seconds": round(run.seconds, 1),
        "versions": {name: version(name) for name in ("spine-rl", "torch", "transformers", "trl")},
        "machine": f"{platform.machine()}, {platform.system()}",
    }


def load_cells(folder: Path) -> list[Cell]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("cells/*.json"))]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half-width of Student's 95 % interval over seeds; the half-width of one seed is infinite."""
    if len(values) < 2:
        return fmean(values), math.inf
    return fmean(values), STUDENT_T[len(values)] * stdev(values) / math.sqrt(len(values))


def write_results(folder: Path) -> None:
    """`results.md` and `curves.png` from the cells there are."""
    cells = load_cells(folder)
    groups: dict[tuple[str, float], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell["method"], cell["learning_rate"]), []).append(cell)
    plot_cells(groups, folder / "curves.png")
    seeds = ", ".join(map(str, sorted({cell["seed"] for cell in cells})))
    lines = [
        "# TTRL against SPINE on the lab's arithmetic chains",
        "",
        "Command: `python -m spine_rl.lab.evidence --out docs/results/lab`. "
        f"{NUM_PROBLEMS} unlabelled chains of 7 operations, {STEPS} steps of 16 problems x 8 samples, constant "
        f"learning rate; seeds {seeds} draw problems, order and samples. "
        "Mean ± half-width of Student's 95 % interval over seeds. "
        f"Versions: {', '.join(f'{name} {number}' for name, number in cells[0]['versions'].items())}.",
        "",
        "## After the last step",
        "",
        _table_head(),
        *(_table_row(f"{method}, {rate:g}", group) for (method, rate), group in sorted(groups.items(), key=_order)),
        "",
        "Before adaptation:",
        "",
        _table_head(),
        _table_row("base", cells_before(cells)),
        "",
        "## Best evaluated step of each run, and the fall from it",
        "",
        "| method, learning rate | best greedy Pass@1 (adapt) | at the last step | fall |",
        "| --- | --- | --- | --- |",
        *(_fall_row(f"{method}, {rate:g}", group) for (method, rate), group in sorted(groups.items(), key=_order)),
        "",
        "## SPINE minus TTRL, paired by seed",
        "",
        "| comparison | greedy Pass@1, adapt | greedy Pass@1, held-out | mean@8, adapt |",
        "| --- | --- | --- | --- |",
        *_paired_rows(groups),
        "",
    ]
    (folder / "results.md").write_text("\n".join(lines))


def _order(item: tuple[tuple[str, float], list[Cell]]) -> tuple[float, int]:
    (method, rate), _ = item
    return rate, list(GRID).index(method)


COLUMNS = (
    ("adapt", "greedy_pass@1", "greedy Pass@1, adapt"),
    ("held_out", "greedy_pass@1", "greedy, held-out"),
    ("adapt", "mean@8", "mean@8, adapt"),
    ("held_out", "mean@8", "mean@8, held-out"),
    ("adapt", "maj@8", "maj@8, adapt"),
    ("adapt", "majority_ratio", "majority share"),
    ("adapt", "response_length", "length"),
    ("adapt", "entropy", "entropy"),
)


def _table_head() -> str:
    return "| method, learning rate | " + " | ".join(title for *_, title in COLUMNS) + " |\n" + "| --- " * 9 + "|"


def cells_before(cells: Sequence[Cell]) -> list[Cell]:
    """The base model's evaluation, one a seed."""
    by_seed = {cell["seed"]: cell["curve"][0] for cell in cells}
    return [{"curve": [row]} for row in by_seed.values()]


def _table_row(label: str, group: Sequence[Mapping[str, Any]]) -> str:
    figures = []
    for split, name, _ in COLUMNS:
        mean, half = interval([cell["curve"][-1][split][name] for cell in group])
        figures.append(f"{mean:.1f} ± {half:.1f}" if name == "response_length" else f"{mean:.3f} ± {half:.3f}")
    return f"| {label} | " + " | ".join(figures) + " |"


def _fall_row(label: str, group: Sequence[Cell]) -> str:
    best = [max(row["adapt"]["greedy_pass@1"] for row in cell["curve"]) for cell in group]
    last = [cell["curve"][-1]["adapt"]["greedy_pass@1"] for cell in group]
    figures = (interval(best), interval(last), interval([top - end for top, end in zip(best, last, strict=True)]))
    return f"| {label} | " + " | ".join(f"{mean:.3f} ± {half:.3f}" for mean, half in figures) + " |"


def _paired_rows(groups: Mapping[tuple[str, float], Sequence[Cell]]) -> list[str]:
    """At equal learning rate, and each method at the rate that is better for it (by mean greedy Pass@1, adapt)."""
    rates = sorted({rate for _, rate in groups})
    pairs = [(f"both at {rate:g}", ("spine", rate), ("ttrl", rate)) for rate in rates]
    pairs += [(f"forks-only minus TTRL, both at {rate:g}", ("forks-only", rate), ("ttrl", rate)) for rate in rates]
    best = {m: max(rates, key=lambda rate: _final(groups.get((m, rate), []))) for m in ("spine", "ttrl")}
    title = f"each at its better rate (SPINE {best['spine']:g}, TTRL {best['ttrl']:g})"
    pairs.append((title, ("spine", best["spine"]), ("ttrl", best["ttrl"])))
    return [_paired_row(title, groups[a], groups[b]) for title, a, b in pairs if a in groups and b in groups]


def _final(group: Sequence[Cell]) -> float:
    return fmean([cell["curve"][-1]["adapt"]["greedy_pass@1"] for cell in group]) if group else -1.0


def _paired_row(title: str, ours: Sequence[Cell], theirs: Sequence[Cell]) -> str:
    figures = []
    for split, name in (("adapt", "greedy_pass@1"), ("held_out", "greedy_pass@1"), ("adapt", "mean@8")):
        other = {cell["seed"]: cell["curve"][-1][split][name] for cell in theirs}
        differences = [cell["curve"][-1][split][name] - other[cell["seed"]] for cell in ours if cell["seed"] in other]
        mean, half = interval(differences)
        figures.append(f"{mean:+.3f} ± {half:.3f}")
    return f"| {title} | " + " | ".join(figures) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the results; finished cells are kept")
    parser.add_argument("--only-report", action="store_true", help="run nothing: write the report anew from the cells")
    arguments = parser.parse_args()
    if not arguments.only_report:
        run_cells(arguments.out)
    write_results(arguments.out)


def run_cells(folder: Path) -> None:
    """Runs what is missing, seed by seed."""
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    for seed, (method, rate) in itertools.product(SEEDS, [(m, rate) for m, rates in GRID.items() for rate in rates]):
        path = folder / "cells" / f"{method}-{rate:g}-{seed}.json"
        if not path.exists():
            path.write_text(json.dumps(run_cell(method, rate, seed)) + "\n")


if __name__ == "__main__":
    main()
