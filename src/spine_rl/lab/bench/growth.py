"""How time and memory of the update grow with G, lengths, vocabulary and parameters, beside the floor."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from spine_rl.lab.bench.floor import count_update_flops
from spine_rl.lab.bench.measure import alternate, timed
from spine_rl.lab.bench.memory import measure_peak
from spine_rl.lab.bench.shapes import BatchShape, ModelShape, build_model
from spine_rl.lab.bench.sides import prepare_update
from spine_rl.runs.whole_file import writing_aside

MODEL = ModelShape()
BATCH = BatchShape(prompts=1, group_size=8, prompt_length=200, response_length=100)
AXES: dict[str, list[tuple[float, ModelShape, BatchShape]]] = {
    "G": [(g, MODEL, replace(BATCH, group_size=g)) for g in (2, 8, 32, 64)],
    "prompt length": [(n, MODEL, replace(BATCH, prompt_length=n)) for n in (50, 200, 800, 1600)],
    "response length": [(n, MODEL, replace(BATCH, response_length=n)) for n in (25, 100, 200, 400)],
    "vocabulary": [(v, replace(MODEL, vocabulary=v), BATCH) for v in (1024, 8192, 65536, 151936)],
    "parameters": [
        (0, ModelShape(hidden=hidden, layers=layers), BATCH)
        for hidden, layers in ((128, 4), (256, 6), (512, 8), (640, 12))
    ],
}
QUANTITIES = {"seconds": "time of the update (s)", "mebibytes": "peak memory of the update (MiB)"}


@dataclass(frozen=True)
class Point:
    """One measurement of both sides.

    Attributes:
        axis: What varies.
        value: Its value.
        parameters: Of the model.
        seconds: Median by side.
        mebibytes: Peak memory by side.
        floor_seconds: The least that SPINE's update can take.
    """

    axis: str
    value: float
    parameters: int
    seconds: dict[str, float]
    mebibytes: dict[str, float]
    floor_seconds: float

    @property
    def floor_share(self) -> float:
        """Of the machine's matrix-product rate that SPINE's update reaches."""
        return self.floor_seconds / self.seconds["spine"]


def measure_point(axis: str, value: float, model: ModelShape, batch: BatchShape, rate: float, rounds: int) -> Point:
    """Times both sides in alternation, then takes each one's memory in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        timings = alternate(
            {side: timed(prepare_update(side, model, batch, f"{folder}/{side}")) for side in ("trl", "spine")}, rounds
        )
    parameters = sum(p.numel() for p in build_model(model).parameters())
    return Point(
        axis,
        value or parameters,
        parameters,
        {side: timings.median(side) for side in timings.seconds},
        {side: measure_peak(side, model, batch) / 2**20 for side in timings.seconds},
        count_update_flops(model, batch) / rate,
    )


def fit_exponent(values: Sequence[float], results: Sequence[float]) -> float:
    """b of result ≈ a · value^b, by least squares of the logarithms."""
    x, y = ([math.log(v) for v in column] for column in (values, results))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    products = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return products / sum((a - mean_x) ** 2 for a in x)


def summarize_growth(points: Sequence[Point]) -> list[dict[str, Any]]:
    """A row an axis: exponents over its upper half, where fixed costs no longer count, and the ratios at its ends."""
    rows = []
    for axis in dict.fromkeys(point.axis for point in points):
        along = [point for point in points if point.axis == axis]
        upper = along[len(along) // 2 - 1 :]
        row: dict[str, Any] = {"axis": axis, "from": along[0].value, "to": along[-1].value}
        for quantity in QUANTITIES:
            for side in ("trl", "spine"):
                results = [getattr(point, quantity)[side] for point in upper]
                row[f"{quantity}_exponent_{side}"] = fit_exponent([point.value for point in upper], results)
            row[f"{quantity}_ratios"] = [
                getattr(point, quantity)["trl"] / getattr(point, quantity)["spine"] for point in along
            ]
        rows.append(row)
    return rows


def plot_growth(points: Sequence[Point], path: Path) -> None:
    """A column an axis; time with the floor above, memory below."""
    axes_names = list(dict.fromkeys(point.axis for point in points))
    shape = (2, len(axes_names))
    figure = Figure(figsize=(3.2 * shape[1], 6), layout="constrained")
    axes = figure.subplots(*shape, squeeze=False)
    for column, axis in enumerate(axes_names):
        along = [point for point in points if point.axis == axis]
        for row, (quantity, label) in enumerate(QUANTITIES.items()):
            panel = axes[row, column]
            for side, colour, name in (("trl", "#c44e52", "TRL"), ("spine", "#4c72b0", "SPINE")):
                results = [getattr(point, quantity)[side] for point in along]
                panel.loglog([point.value for point in along], results, "o-", ms=4, color=colour, label=name)
            if quantity == "seconds":
                floors = [point.floor_seconds for point in along]
                panel.loglog([point.value for point in along], floors, "--", color="grey", label="floor")
            panel.set(xlabel=axis, ylabel=label if column == 0 else "")
            panel.set_xticks([point.value for point in along], [_shorten(point.value) for point in along])
            panel.set_xticks([], minor=True)
            panel.grid(alpha=0.3, which="both")
    axes[0, 0].legend()
    with writing_aside(path) as new:
        figure.savefig(new, dpi=110)


def _shorten(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:.1f} M"
    return f"{value / 1e3:.0f} k" if value >= 1e4 else f"{value:g}"


def to_json(point: Point) -> Mapping[str, Any]:
    return asdict(point) | {"floor_share": point.floor_share}
