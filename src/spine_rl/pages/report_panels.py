"""Which curves a report shows, and how runs become lines with bands."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from spine_rl.pages import Band, Line
from spine_rl.pages.report_runs import Row, Run, RunGroup

_PARTS = 25  # of a run's logged steps: one of them is smoothed over to either side of a step
_LEAST_SMOOTHED = 8  # logged steps; a shorter run is drawn as it was logged


@dataclass(frozen=True)
class Panel:
    """A chart of the report.

    Attributes:
        name: File name of its plot.
        title: What it shows, with its unit; followed by a curve's label where that is the only one of several.
        series: (name in metrics.jsonl, label) of each curve.
        bands: Pairs of names between which an area is drawn.
    """

    name: str
    title: str
    series: tuple[tuple[str, str], ...]
    bands: tuple[tuple[str, str], ...] = ()


PHASES = ("generate", "vote", "forward", "backward", "optimise")  # of a step, in their order
KEY_PANELS = (  # the pictures that carry the verdict
    Panel(
        "agreement",
        "share of responses",
        (
            ("vote/first_label_share", "with the first vote's answer"),
            ("probe/first_label_share", "the same, of the probe"),
            ("vote/pass@1", "right (Pass@1, gold)"),
        ),
    ),
    Panel(
        "majority",
        "majority share of the vote, and agreement between responses to different problems",
        (("vote/majority_ratio", "majority share"), ("vote/chance_agreement", "between problems")),
    ),
    Panel(
        "length",
        "response length (tokens; area: 10th to 90th percentile)",
        (("response_length/mean", "length"),),
        (("response_length/p10", "response_length/p90"),),
    ),
    Panel(
        "fork_entropy",
        "entropy at forks (nats; area: the band)",
        (("entropy/forks", "forks"),),
        (("band/low", "band/high"),),
    ),
)
OTHER_PANELS = (
    Panel("label_accuracy", "label accuracy (gold, diagnosis only)", (("vote/label_accuracy", "label accuracy"),)),
    Panel("reward", "reward", (("vote/reward", "reward"),)),
    Panel("label_drift", "first labels that the vote has left", (("vote/label_drift", "label drift"),)),
    Panel("distinct", "distinct answers a problem", (("vote/distinct_answers", "distinct answers"),)),
    Panel("margin", "lead of the first answer over the second (share)", (("vote/margin", "margin"),)),
    Panel("unanimous", "problems whose responses all agree (share)", (("vote/unanimous", "unanimous"),)),
    Panel("unlabelled", "problems without a label (share)", (("vote/unlabelled", "unlabelled"),)),
    Panel(
        "unreadable",
        "abstaining and truncated responses (share)",
        (("vote/abstained", "abstain"), ("response_length/truncated", "truncated")),
    ),
    Panel("entropy", "entropy, all tokens (nats)", (("entropy/all", "all tokens"),)),
    Panel("forks", "fork share of tokens", (("forks/share", "forks"),)),
    Panel("band", "forks inside the band (share)", (("forks/in_band", "in the band"),)),
    Panel("kl", "KL from the start (nats a fork)", (("kl", "KL"),)),
    Panel(
        "loss",
        "loss, by term",
        (("loss/policy", "policy"), ("loss/band", "band"), ("loss/kl", "KL")),
    ),
    Panel("grad_norm", "norm of the gradient", (("grad_norm", "norm"),)),
    Panel("learning_rate", "learning rate", (("learning_rate", "learning rate"),)),
    Panel(
        "seconds",
        "seconds a step, by phase",
        tuple((f"seconds/{name}", name) for name in (*PHASES, "probe")),
    ),
    Panel("memory", "peak memory (GiB)", (("memory/peak_gib", "memory"),)),
)


def split_panels(panels: Sequence[Panel], groups: Sequence[RunGroup]) -> list[Panel]:
    """The panels; where groups are compared, one for each curve, so that a line is a group everywhere."""
    if len(groups) == 1:
        return list(panels)
    return [
        panel
        if len(panel.series) == 1
        else Panel(name.replace("/", "_"), f"{panel.title}: {label}", ((name, label),), panel.bands)
        for panel in panels
        for name, label in panel.series
    ]


def list_lines(panel: Panel, groups: Sequence[RunGroup]) -> list[Line]:
    """The panel's curves: the mean over a group's seeds, smoothed, with the range over them as an area.

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
            smoothed, raw = smooth(y), y if len(y) >= _LEAST_SMOOTHED else None
            lines.append(Line(title, x, smoothed, colour=colour, bands=bands, raw=raw))
    return lines


def count_smoothed(num_steps: int) -> int:
    """Logged steps that a point of a smoothed curve is the mean of; 1 where a run is too short for it."""
    return 1 if num_steps < _LEAST_SMOOTHED else 2 * -(-num_steps // _PARTS) + 1


def smooth(values: Sequence[float]) -> list[float]:
    """The mean over a step and its neighbours, of which there are fewer at either end."""
    half = count_smoothed(len(values)) // 2
    return [fmean(values[max(0, index - half) : index + half + 1]) for index in range(len(values))]


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
    return Band(x, smooth(low_values), smooth(high_values)) if x and x == high_x else None


def _seed_band(runs: Sequence[Run], name: str) -> Band:
    values = _values_by_step(runs, name)
    lows, highs = [min(row) for row in values.values()], [max(row) for row in values.values()]
    return Band(list(values), smooth(lows), smooth(highs))
