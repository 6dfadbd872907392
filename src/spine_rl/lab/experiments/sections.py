"""The parts of a page that an experiment asks for: arms, curves, lengths, entropies, phases, the map, and so on."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from spine_rl.lab.experiments import plots, stability
from spine_rl.lab.experiments.cells import format_name
from spine_rl.lab.experiments.markdown import quote, render_table
from spine_rl.lab.experiments.monitoring import Choice, choose_step, judge_records, list_judged
from spine_rl.lab.experiments.records import Record
from spine_rl.lab.experiments.spec import Experiment
from spine_rl.lab.experiments.tables import Group, estimate
from spine_rl.lab.experiments.tables import to_json as estimate_to_json
from spine_rl.pages.report_panels import PHASES

_LEAST_SHARE = 0.001  # of the tokens, for a token to stand in the table

Section = Callable[[Experiment, str, Sequence[Group], Path], list[str]]


def render(experiment: Experiment, groups: Sequence[Group], records: Sequence[Record], folder: Path) -> list[str]:
    """Markdown of every part that is asked for, pictures beside it."""
    parts = []
    for task in dict.fromkeys(group.task for group in groups):
        chosen = [group for group in groups if group.task == task]
        for name, section in _SECTIONS.items():
            if name in experiment.sections:
                parts += section(experiment, task, chosen, folder)
        if experiment.vary:
            figure = plots.draw_varied(experiment, chosen, experiment.evaluate_on[0])
            parts += [f"## {task}: one field at a time", _picture(figure, folder, "varied", task, "Pass@1 by value")]
    if "transfer" in experiment.sections:
        parts += _render_transfer(experiment, groups)
    if "monitor" in experiment.sections:
        parts += _render_monitor(experiment, records)
    return parts


def to_json(experiment: Experiment, groups: Sequence[Group], records: Sequence[Record]) -> dict[str, Any]:
    """Figures of the map and of the monitor."""
    content: dict[str, Any] = {}
    first = experiment.evaluate_on[0]
    if "map" in experiment.sections:
        content["map"] = {}
        for task in dict.fromkeys(group.task for group in groups):
            areas = stability.measure_areas(experiment, [group for group in groups if group.task == task], first)
            content["map"][task] = {
                "areas": {arm: {seed: vars(area) for seed, area in by.items()} for arm, by in areas.items()},
                "differences": [
                    {"title": title, "above": estimate_to_json(above), "collapsed": estimate_to_json(collapsed)}
                    for title, above, collapsed in stability.compare_areas(experiment, areas)
                ],
            }
    judged = list_judged(records)
    if "monitor" in experiment.sections and judged:
        choices = [choose_step(record, first) for record in judged]
        content["monitor"] = vars(judge_records(judged, first)) | {
            "kept": [
                {"cell": _name(choice), **{name: value for name, value in vars(choice).items() if name != "record"}}
                for choice in choices
            ]
        }
    return content


def _picture(figure: Any, folder: Path, what: str, task: str, title: str) -> str:
    file = plots.save_figure(figure, folder, format_name(what, task, point={}))
    return f"![{title}]({file})\n\n[as SVG]({file.replace('.png', '.svg')})"


# ---- of one task


def _arms(experiment: Experiment, task: str, groups: Sequence[Group], folder: Path) -> list[str]:
    figure = plots.draw_arms(groups, experiment.evaluate_on)
    return [f"## {task}: arms side by side", _picture(figure, folder, "arms", task, "Pass@1 after the last step")]


def _curves(experiment: Experiment, task: str, groups: Sequence[Group], folder: Path) -> list[str]:
    as_it_is = [group for group in groups if not any(name in experiment.vary for name, _ in group.point)]
    if not as_it_is:
        return []
    figure = plots.draw_curves(as_it_is, experiment.evaluate_on)
    title = "Mean over seeds, the seeds' range shaded"
    return [f"## {task}: curves", _picture(figure, folder, "curves", task, title)]


def _lengths(experiment: Experiment, task: str, groups: Sequence[Group], folder: Path) -> list[str]:
    rows = []
    for group in groups:
        row = [group.label]
        for when in ("start", "end"):
            counts = plots.add_counts(record["lengths"][when] for record in group.records.values())
            row += [str(find_percentile(counts, percent)) for percent in (10, 50, 90)]
        rows.append(row)
    heads = ["", *(f"{when}, {percent} %" for when in ("before", "after") for percent in (10, 50, 90))]
    return [
        f"## {task}: response lengths",
        f"Percentiles in tokens of the samples on {experiment.evaluate_on[0]}, all seeds together.",
        render_table(heads, rows),
        _picture(plots.draw_lengths(groups), folder, "lengths", task, "Lengths of sampled responses"),
    ]


def find_percentile(counts: dict[int, int], percent: float) -> int:
    """The smallest length that at least so many percent of the responses do not exceed."""
    needed, seen = percent / 100 * sum(counts.values()), 0
    for length, count in counts.items():
        seen += count
        if seen >= needed:
            return length
    return max(counts)


def _entropies(experiment: Experiment, task: str, groups: Sequence[Group], folder: Path) -> list[str]:
    return [
        f"## {task}: entropy of the tokens, and which are updated",
        _picture(plots.draw_entropies(groups), folder, "entropies", task, "Tokens by entropy"),
        f"The most frequent tokens of the first step of {groups[-1].label}, all seeds added, by how often each was "
        "updated.",
        _token_table(groups[-1]),
    ]


def _token_table(group: Group) -> str:
    totals: dict[str, list[float]] = {}
    for record in group.records.values():
        for text, count, forks, entropy in record["tokens"]["start"]["texts"]:
            total = totals.setdefault(text, [0, 0, 0.0])
            total[0], total[1], total[2] = total[0] + count, total[1] + forks, total[2] + count * entropy
    rows = [
        [quote(text), f"{count:.0f}", f"{forks / count:.0%}", f"{entropy / count:.3f}"]
        for text, (count, forks, entropy) in sorted(totals.items(), key=lambda item: -item[1][1] / item[1][0])
        if count >= _LEAST_SHARE * sum(each[0] for each in totals.values())
    ]
    return render_table(["token", "tokens", "updated", "mean entropy (nats)"], rows)


def _map(experiment: Experiment, task: str, groups: Sequence[Group], folder: Path) -> list[str]:
    first = experiment.evaluate_on[0]
    areas = stability.measure_areas(experiment, groups, first)
    rows = [
        [
            arm,
            *(
                estimate([getattr(area, name) for area in by_seed.values()]).describe()
                for name in ("above", "collapsed")
            ),
            str(len(by_seed)),
        ]
        for arm, by_seed in areas.items()
    ]
    paired = [
        [title, above.describe(signed=True), collapsed.describe(signed=True), str(above.num_seeds)]
        for title, above, collapsed in stability.compare_areas(experiment, areas)
    ]
    heads = ["", "above its start", "collapsed (10 points below)", "seeds"]
    on_map = [group for group in groups if group.arm in areas and stability.get_rate(group) is not None]
    if not areas:
        return []
    return [
        f"## {task}: the map of learning rate × steps",
        f"Share of the map where Pass@1 (mean of samples, {first}) is above its start, and where it has collapsed; "
        "learning rates count alike, an evaluated step stands for the steps since the one before.",
        render_table(heads, [*rows, *paired]),
        _picture(plots.draw_map(on_map, first), folder, "map", task, "Pass@1 less its start"),
    ]


def _phases(experiment: Experiment, task: str, groups: Sequence[Group], folder: Path) -> list[str]:
    """Medians over steps and seeds, of runs that log them."""
    rows = []
    for group in groups:
        steps = [record["steps"] for record in group.records.values()]
        seconds = [[value for columns in steps for value in columns.get(f"seconds/{name}", [])] for name in PHASES]
        if all(seconds):
            medians = [median(values) for values in seconds]
            rows.append([group.label, *(f"{value:.3f}" for value in (*medians, sum(medians)))])
    if not rows:
        return []
    return [f"## {task}: seconds a step, by phase", render_table(["", *PHASES, "together"], rows)]


_SECTIONS: dict[str, Section] = {
    "map": _map,
    "arms": _arms,
    "curves": _curves,
    "lengths": _lengths,
    "entropies": _entropies,
    "phases": _phases,
}


# ---- of all tasks


def _render_transfer(experiment: Experiment, groups: Sequence[Group]) -> list[str]:
    """Gains of Pass@1 by adaptation on the problem sets, a row a task and group."""
    heads = ["adapted on", "", *experiment.evaluate_on, "seeds"]
    rows = []
    for group in groups:
        gains = []
        for problem_set in experiment.evaluate_on:
            after, before = (group.values(problem_set, "pass@1", index) for index in (-1, 0))
            gains.append(estimate([after[seed] - before[seed] for seed in after]).describe(signed=True))
        rows.append([group.task, group.label, *gains, str(len(group.records))])
    return ["## Transfer: gain of Pass@1 (mean of samples), by where it is evaluated", render_table(heads, rows)]


def _render_monitor(experiment: Experiment, records: Sequence[Record]) -> list[str]:
    first, judged = experiment.evaluate_on[0], list_judged(records)
    if not judged:
        return []
    judgement, choices = judge_records(judged, first), [choose_step(record, first) for record in judged]
    safe, near = sum(choice.is_safe for choice in choices), sum(choice.is_near_best for choice in choices)
    text = (
        f"{judgement.num_collapsed} of {len(judged)} runs collapsed (Pass@1 ends at least 10 points below its start); "
        f"the monitor gave an alarm in {judgement.num_detected} of them, and in {judgement.num_false_alarms} of the "
        f"{judgement.num_sound} others. The evaluated step that `keep_best=label-free` would have kept (before the "
        "first alarm, the one where most responses give their problem's first label) is at most 2 points below the "
        f"start in {safe} of {len(choices)} runs (goal: all), and at most 3 points below the best evaluated step in "
        f"{near} ({near / len(choices):.0%}; goal: 90 %)."
    )
    rows = [
        [
            _name(choice),
            "none" if choice.alarm is None else str(choice.alarm),
            str(choice.step),
            *(f"{value:.3f}" for value in (choice.start, choice.chosen, choice.last, choice.best)),
        ]
        for choice in choices
    ]
    heads = ["run", "first alarm", "kept step", "start", "kept", "last", "best"]
    return [f"## The collapse monitor, judged by Pass@1 on {first}", text, render_table(heads, rows)]


def _name(choice: Choice) -> str:
    record = choice.record
    point = [f"{name} {value}" for name, value in record["point"].items()]
    return ", ".join([record["task"], record["arm"], *point, f"seed {record['seed']}"])
