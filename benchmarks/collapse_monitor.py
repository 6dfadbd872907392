"""How often the collapse monitor finds a collapse, and how often it cries wolf, on the lab's runs; gold judges alone.

    python benchmarks/collapse_monitor.py --out runs/monitor

About two minutes a run on a core. A finished run is a JSON file and is never run again. A run collapsed if Pass@1 (mean
of 8 samples on the adaptation problems) ends at least 0.1 below its start.
"""

import argparse
import json
from pathlib import Path

from spine_rl.lab.adapt import adapt_lab
from spine_rl.lab.tasks import ARITHMETIC
from spine_rl.monitor import judge_monitor, judge_run

RUNS = (  # method, learning rate, seed
    ("ttrl", 4e-4, 0),
    ("spine", 1e-4, 0),
    ("forks-only", 4e-4, 1),
    ("spine", 3e-4, 1),
    ("ttrl", 3e-4, 2),
    ("ttrl", 1e-4, 1),
)


def run(method: str, learning_rate: float, seed: int) -> dict:
    problems = ARITHMETIC.make_problems("adapt", 64, seed=seed)
    result = adapt_lab(
        ARITHMETIC,
        method,
        problems,
        learning_rate=learning_rate,
        steps=60,
        seed=seed,
        evaluate_every=20,
        evaluate_sets={"adapt": problems},
    )
    return {"steps": result.steps, "curve": result.curve}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    judged = []
    for method, learning_rate, seed in RUNS:
        path = folder / f"{method}-{learning_rate:g}-{seed}.json"
        if not path.exists():
            path.write_text(json.dumps(run(method, learning_rate, seed)) + "\n")
        content = json.loads(path.read_text())
        curve = [row["adapt"]["mean@8"] for row in content["curve"]]
        first = next((verdict for verdict in judge_run(content["steps"]) if verdict.alarms), None)
        print(path.stem, [round(value, 2) for value in curve], first or "no alarm")
        judged.append((content["steps"], curve))
    print("all signals:", judge_monitor(judged))
    without = [([{k: v for k, v in row.items() if k != "vote/label_drift"} for row in rows], c) for rows, c in judged]
    print("without label drift:", judge_monitor(without))


if __name__ == "__main__":
    main()
