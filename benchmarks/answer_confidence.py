"""How often an answer of `spine solve` is right, by the shares of responses that gave it: runs of the lab, with gold.

    python benchmarks/answer_confidence.py run OUT    # adds the runs that OUT/answers.jsonl.gz lacks: a minute each
    python benchmarks/answer_confidence.py fit OUT    # the weights of solve/confidence.py, and the reliability table

Each run is a whole `spine solve` of 64 fresh problems. Weights are fitted on the runs of even seeds; the table is of
those of odd seeds.
"""

import gzip
import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize

from spine_rl.answers import gold_key
from spine_rl.solve.confidence import WEIGHTS, estimate_confidence, list_features

TASKS = ("arithmetic", "words", "choice", "chains-10")
RATES = (1e-4, 3e-4)
SEEDS = range(100, 102)
ANSWERS_FILE = "answers.jsonl.gz"
BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)


def run(out: Path) -> None:
    """Seed by seed, so that a stopped one has whole sets; each run's rows are written when it is there."""
    from spine_rl.lab.tasks import get_task

    out.mkdir(parents=True, exist_ok=True)
    rows = read_rows(out)
    done = {(row["task"], row["learning_rate"], row["seed"]) for row in rows}
    for seed, rate, name in itertools.product(SEEDS, RATES, TASKS):
        if (name, rate, seed) in done:
            continue
        rows += [
            {"task": name, "learning_rate": rate, "seed": seed, **row} for row in solve(get_task(name), rate, seed)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (out / ANSWERS_FILE).write_bytes(gzip.compress(text.encode(), mtime=0))
        print(f"{name}, {rate:g}, seed {seed}: done", flush=True)


def solve(task: Any, rate: float, seed: int) -> list[dict[str, Any]]:
    """One `spine solve` by its command's function, and whether each answer is right."""
    from spine_rl.cli import train_command

    problem_set = task.make_problems("adapt", 64, seed=seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [
            {"id": each.id, "prompt": each.prompt, "options": each.options or None, "answer_type": each.answer_type}
            for each in problem_set.problems
        ]
        (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "run.yaml").write_text(
            f"learning_rate: {rate}\nnum_generations: 8\nper_device_train_batch_size: 64\nseed: {seed}\n"
            "gradient_accumulation_steps: 2\nnum_train_epochs: 3\nlr_scheduler_type: constant\nreport_to: none\n"
            f"use_cpu: true\nsave_strategy: 'no'\nmax_completion_length: {task.max_new_tokens}\n"
        )
        options = train_command.SolveOptions(
            model=str(task.base), out=folder / "answers.jsonl", run=folder / "run.yaml", num_generations=8, seed=seed
        )
        train_command.solve(str(folder / "problems.jsonl"), options=options)
        solved = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    kept = ("id", "share_before", "share_after", "agree")
    gold = {
        each.id: gold_key(problem_set.gold_answers[each.id], each.answer_type or "number", each.options)
        for each in problem_set.problems
    }
    return [
        {**{key: each[key] for key in kept}, "answered": each["answer"] is not None,
         "correct": each["answer"] is not None and each["answer"] == gold[each["id"]]}
        for each in solved
    ]  # fmt: skip


def read_rows(out: Path) -> list[dict[str, Any]]:
    """Those that are there."""
    path = out / ANSWERS_FILE
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()] if path.exists() else []


def fit(out: Path) -> None:
    """Prints weights by maximum likelihood, and the table of what the package's own say."""
    rows = [row for row in read_rows(out) if row["answered"]]
    features = np.array([list_features(row["share_before"], row["share_after"], row["agree"]) for row in rows])
    correct = np.array([row["correct"] for row in rows], dtype=float)
    is_fitted = np.array([row["seed"] % 2 == 0 for row in rows])

    def loss(weights: np.ndarray) -> float:
        logits = features[is_fitted] @ weights
        return float(np.mean(np.logaddexp(0, logits) - correct[is_fitted] * logits)) + 1e-4 * float(weights @ weights)

    weights = minimize(loss, np.zeros(features.shape[1])).x
    print(f"weights of even seeds, {is_fitted.sum()} answers: ({', '.join(f'{weight:.2f}' for weight in weights)})")
    print(f"the package's: {WEIGHTS}\n")
    confidence = np.array([estimate_confidence(row["share_before"], row["share_after"], row["agree"]) for row in rows])
    print_table(confidence[~is_fitted], correct[~is_fitted], "odd seeds, all tasks")
    shares = np.array([max(row["share_before"], row["share_after"]) for row in rows])
    curves = {"confidence": confidence[~is_fitted], "larger share, as if it were one": shares[~is_fitted]}
    draw(curves, correct[~is_fitted], out / "reliability.png")
    for name in TASKS:
        chosen = ~is_fitted & np.array([row["task"] == name for row in rows])
        if chosen.any():
            gap = confidence[chosen].mean() - correct[chosen].mean()
            print(f"{name}: {chosen.sum()} answers, confidence - share right {gap:+.3f}")


def print_table(confidence: np.ndarray, correct: np.ndarray, title: str) -> None:
    """Reliability: in each bin of confidence, how many answers are right; and the mean gap, weighted by answers."""
    print(f"{title}\n| confidence | answers | mean confidence | share right |\n| --- | --- | --- | --- |")
    gap = 0.0
    for low, high in itertools.pairwise(BINS):
        chosen = (confidence >= low) & ((confidence < high) | (high == BINS[-1]))
        if chosen.any():
            said, was = confidence[chosen].mean(), correct[chosen].mean()
            gap += abs(said - was) * chosen.mean()
            print(f"| {low:g}-{high:g} | {chosen.sum()} | {said:.2f} | {was:.2f} |")
    print(f"\nexpected calibration error {gap:.3f}; Brier score {np.mean((confidence - correct) ** 2):.3f}")


def draw(curves: dict[str, np.ndarray], correct: np.ndarray, path: Path) -> None:
    """What was said against what was right, a point a bin; its size is the number of answers."""
    figure, axes = plt.subplots(figsize=(4.5, 4.2), layout="constrained")
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for name, said in curves.items():
        index = np.digitize(said, BINS[1:-1])
        chosen = [index == number for number in range(len(BINS) - 1) if (index == number).any()]
        points = [(said[each].mean(), correct[each].mean()) for each in chosen]
        axes.plot(*zip(*points, strict=True), linewidth=1)
        axes.scatter(*zip(*points, strict=True), s=[each.sum() / 2 for each in chosen], label=name)
    axes.set(xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    {"run": run, "fit": fit}[sys.argv[1]](Path(sys.argv[2]))
