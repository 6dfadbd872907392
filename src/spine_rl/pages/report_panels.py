"""Which curves a report shows, and how runs become lines with bands."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from spine_rl.pages import Band, Line
from spine_rl.pages.report_runs import Row, Run, RunGroup


@dataclass(frozen=True)
class Panel:
    """A chart of the report.

    Attributes:
        name: File name of its plot.
        title: What it shows, with its unit.
        series: (name in metrics.jsonl, label) of each curve.
        bands: Pairs of names between which an area is drawn.
    """

    name: str
    title: str
    series: tuple[tuple[str, str], ...]
    bands: tuple[tuple[str, str], ...] = ()


PHASES = ("generate", "vote", "forward", "backward", "optimise")  # of a step, in their order
PANELS = (
    Panel("pass_at_1", "Pass@1 of the samples (gold, diagnosis only)", (("vote/pass@1", "Pass@1"),)),
    Panel("label_accuracy", "label accuracy (gold, diagnosis only)", (("vote/label_accuracy", "label accuracy"),)),
    Panel("reward", "reward", (("vote/reward", "reward"),)),
    Panel("majority", "majority share", (("vote/majority_ratio", "majority share"),)),
    Panel(
        "first_label_share",
        "responses that give their problem's first label",
        (("vote/first_label_share", "first label"),),
    ),
    Panel("label_drift", "first labels that the vote has left", (("vote/label_drift", "label drift"),)),
    Panel("distinct", "distinct answers a problem", (("vote/distinct_answers", "distinct answers"),)),
    Panel(
        "length",
        "response length (tokens; area: 10th to 90th percentile)",
        (("response_length/mean", "length"),),
        (("response_length/p10", "response_length/p90"),),
    ),
    Panel(
        "unreadable",
        "abstaining and truncated responses",
        (("vote/abstained", "abstain"), ("response_length/truncated", "truncated")),
    ),
    Panel("entropy", "entropy, all tokens (nats)", (("entropy/all", "all tokens"),)),
    Panel(
        "fork_entropy",
        "entropy at forks (nats; area: the band)",
        (("entropy/forks", "forks"),),
        (("band/low", "band/high"),),
    ),
    Panel("forks", "fork share of tokens", (("forks/share", "forks"),)),
    Panel("band", "forks inside the band", (("forks/in_band", "in the band"),)),
    Panel("kl", "KL from the start (nats a fork)", (("kl", "KL"),)),
    Panel(
        "seconds",
        "seconds a step, by phase",
        tuple((f"seconds/{name}", name) for name in PHASES),
    ),
    Panel("learning_rate", "learning rate", (("learning_rate", "learning rate"),)),
    Panel("memory", "peak memory (GiB)", (("memory/peak_gib", "memory"),)),
)


def choose_panels(groups: Sequence[RunGroup]) -> list[Panel]:
    """All panels; where groups are compared, one for each curve, so that a line is a group everywhere."""
    if len(groups) == 1:
        return list(PANELS)
    return [
        panel
        if len(panel.series) == 1
        else Panel(f"{panel.name}_{label}", f"{panel.title}: {label}", ((name, label),), panel.bands)
        for panel in PANELS
        for name, label in panel.series
    ]


def list_lines(panel: Panel, groups: Sequence[RunGroup]) -> list[Line]:
    """The panel's curves: the mean over a group's seeds, with the range over them as an area where there are several.

    A quantity that a run did not log has no line.
    """
    lines = []
    for group_index, group in enumerate(groups):
        for series_index, (name, label) in enumerate(panel.series):
            x, y = _average(group.runs, name)
            if not x:
                continue
            bands = [band for low, high in panel.bands if (band := _band(group.runs, low, high)) is not None]
            if len(group.runs) > 1 and not panel.bands:
                bands.append(_seed_band(group.runs, name))
            title, colour = (group.label, group_index) if len(groups) > 1 else (label, series_index)
            lines.append(Line(title, x, y, colour=colour, bands=bands))
    return lines


def _values_by_step(runs: Sequence[Run], name: str) -> dict[int, list[float]]:
    """Of the steps that every run logged, so that the mean is over the same runs all along."""
    columns: list[dict[int, float]] = [{_step(row): row[name] for row in run.rows if name in row} for run in runs]
    shared = set.intersection(*map(set, columns))
    return {step: [column[step] for column in columns] for step in sorted(shared)}


def _step(row: Row) -> int:
    return row["step"]


def _average(runs: Sequence[Run], name: str) -> tuple[list[int], list[float]]:
    values = _values_by_step(runs, name)
    return list(values), [fmean(row) for row in values.values()]


def _band(runs: Sequence[Run], low: str, high: str) -> Band | None:
    x, low_values = _average(runs, low)
    high_x, high_values = _average(runs, high)
    return Band(x, low_values, high_values) if x and x == high_x else None


def _seed_band(runs: Sequence[Run], name: str) -> Band:
    values = _values_by_step(runs, name)
    return Band(list(values), [min(row) for row in values.values()], [max(row) for row in values.values()])
