"""`spine bench`: runs the cases, prints the table, writes the JSON."""

import json
import os
import platform
import time
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from spine_rl import __version__
from spine_rl.bench import cases, growth
from spine_rl.bench.cases import RATIOS, Outcome
from spine_rl.bench.floor import count_update_flops, measure_matmul_rate
from spine_rl.bench.shapes import SIZES, BatchShape
from spine_rl.errors import ConfigError, RunFolderError
from spine_rl.lab.tasks import ARITHMETIC, VQA

PACKAGES = ("torch", "transformers", "trl", "accelerate")
OUTCOMES_FILE, GROWTH_FILE, PLOT_FILE = "bench.json", "growth.json", "growth.png"


def run_bench(out: Path, *, size: str = "7m", quick: bool = False) -> list[Outcome]:
    """Compares SPINE with its peer, side by side.

    Args:
        out: New folder for `bench.json`.
        size: Of the random model, one of `spine_rl.bench.shapes.SIZES`.
        quick: Fewer rounds, at most three minutes on two cores.

    Raises:
        ConfigError: An unknown size.
        RunFolderError: The folder already holds a result.
    """
    if size not in SIZES:
        raise ConfigError(f"size={size!r}: must be one of {', '.join(SIZES)}")
    model = SIZES[size]
    _claim(out / OUTCOMES_FILE)
    rounds, console = (2 if quick else 5), Console(width=120)
    outcomes: list[Outcome] = []
    table_title = f"SPINE {__version__} beside TRL {version('trl')}, {rounds} rounds in alternation"

    def add(outcome: Outcome) -> None:
        outcomes.append(outcome)
        console.print(f"{outcome.name}: {outcome.ratio:.2f}", highlight=False)

    rate, sides = measure_matmul_rate(), ("trl", "spine")
    batch_prompts = 1 if quick else 2
    batches = {name: replace(batch, prompts=batch_prompts) for name, (batch, _) in RATIOS.items()}
    for name, (_, goal) in RATIOS.items():
        title = f"update, prompt:response {name}"
        add(cases.compare_update(title, model, batches[name], goal=goal, rounds=rounds, sides=sides))
    share = count_update_flops(model, batches["4:1"]) / rate / outcomes[0].after
    visual, batch = replace(model, image_tokens=64), BatchShape(batch_prompts, prompt_length=100, response_length=40)
    title = "update with images, 64 patches"
    add(cases.compare_update(title, visual, batch, goal=None, rounds=rounds, sides=sides))
    title, pair = "update with frozen vision, 64 patches, unshared", ("unshared", "spine")
    add(cases.compare_update(title, visual, batch, goal=None, rounds=rounds, sides=pair, freeze_vision=True))
    for title, task, goal in (("arithmetic lab", ARITHMETIC, 1.7), ("visual test bed", VQA, 2.5)):
        length = {"rounds": 1, "steps": 2} if quick else {"rounds": rounds, "steps": 4}
        add(cases.compare_steps(f"whole step, {title}, 16 x 8", task, goal=goal, **length))
    add(cases.compare_memory(model, batches["4:1"], goal=0.6, rounds=1 if quick else 3))
    length = {"rounds": 1, "warmups": 0, "new_tokens": 20} if quick else {"rounds": 3, "warmups": 1, "new_tokens": 100}
    add(cases.compare_generation(model, goal=1.5, **length))
    add(cases.compare_overhead(model, batches["1:1"], goal=1.03, rounds=rounds))
    console.print(build_table(outcomes, table_title))
    console.print(f"4:1 update: {share:.0%} of the floor of {rate / 1e9:.0f} GFLOP/s", highlight=False)
    record = {"outcomes": [asdict(o) | {"ratio": o.ratio, "met": o.met} for o in outcomes]}
    record |= {"size": size, "rounds": rounds, "quick": quick}
    _write(out / OUTCOMES_FILE, record | {"matmul_flops_per_second": rate, "floor_share_4_to_1": share})
    return outcomes


def run_growth(out: Path, *, rounds: int = 3) -> None:
    """Measures how the update grows; writes every point, the fits and a picture.

    Raises:
        RunFolderError: The folder already holds a result.
    """
    _claim(out / GROWTH_FILE)
    rate, points = measure_matmul_rate(), []
    for axis, values in growth.AXES.items():
        for value, model, batch in values:
            point = growth.measure_point(axis, value, model, batch, rate, rounds)
            points.append(point)
            seconds, ratio = point.seconds["spine"], point.seconds["trl"] / point.seconds["spine"]
            print(f"{axis} {point.value:g}: {seconds:.3f} s, {ratio:.2f} x, {point.floor_share:.0%} of the floor")
    fits = growth.summarize_growth(points)
    record = {"points": [growth.to_json(point) for point in points], "fits": fits}
    _write(out / GROWTH_FILE, record | {"rounds": rounds, "matmul_flops_per_second": rate})
    growth.plot_growth(points, out / PLOT_FILE)


def build_table(outcomes: list[Outcome], title: str) -> Table:
    """A row a case."""
    table = Table(title=title)
    for heading in ("", "compared with", "SPINE", "ratio", "range", "goal"):
        table.add_column(heading, no_wrap=True)
    for outcome in outcomes:
        sign = "≤" if outcome.at_most else "≥"
        digits = 0 if outcome.unit == "MiB" else 3
        goal = "" if outcome.goal is None else f"{sign} {outcome.goal} {'met' if outcome.met else 'missed'}"
        table.add_row(
            outcome.name,
            *(f"{value:.{digits}f} {outcome.unit}" for value in (outcome.before, outcome.after)),
            f"{outcome.ratio:.2f}",
            f"{min(outcome.ratios):.2f}-{max(outcome.ratios):.2f}",
            goal,
        )
    return table


def describe_machine() -> dict[str, Any]:
    """What the figures depend on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    return {
        "device": device,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "spine-rl": __version__,
    } | {package: version(package) for package in PACKAGES}


def _claim(path: Path) -> None:
    if path.exists():
        raise RunFolderError(f"{path} already exists; give another --out")
    path.parent.mkdir(parents=True, exist_ok=True)


def _write(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record | {"machine": describe_machine()}, indent=2, ensure_ascii=False) + "\n")
    print(f"{path} is written")
