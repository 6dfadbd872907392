"""The results of an experiment of `kind: cost`: a row a point and arm, each arm beside the first."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from spine_rl.lab.experiments import plots
from spine_rl.lab.experiments.cells import show
from spine_rl.lab.experiments.cost import CostExperiment
from spine_rl.lab.experiments.findings import CSV_FILE, JSON_FILE, RESULTS_FILE, describe_machines, read_findings
from spine_rl.lab.experiments.markdown import render_table
from spine_rl.lab.experiments.records import Record
from spine_rl.lab.experiments.tables import Estimate, estimate, tabulate, to_csv
from spine_rl.lab.experiments.tables import to_json as estimate_to_json

RATIOS = {"seconds_ratio": "time of the update", "mebibytes_ratio": "peak memory", "flops_ratio": "operations"}


def list_cost_rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """One row a point and arm: what varies, each quantity, and its ratio to the first arm's.

    `seconds_ratio` has an interval over the rounds, of which each gives one ratio.
    """
    rows = []
    for record in records:
        first = next(iter(record["seconds"]))
        varied, value = next(iter(record["point"].items()), ("", ""))
        for arm, seconds in record["seconds"].items():
            ratios = [ours / theirs for ours, theirs in zip(seconds, record["seconds"][first], strict=True)]
            row = {"varied": varied, "value": value, "parameters": record["parameters"], "arm": arm}
            row |= {"seconds": median(seconds), "mebibytes": record["mebibytes"][arm]}
            row |= {"gflops": round(record["flops"][arm] / 1e9, 4), "seconds_ratio": estimate(ratios)}
            row |= {
                f"{name}_ratio": round(record[name][arm] / record[name][first], 4) for name in ("mebibytes", "flops")
            }
            rows.append(
                row | {"select_seconds": record["parts"]["select"][arm], "head_seconds": record["parts"]["head"]}
            )
    return rows


def write_cost_results(
    experiment: CostExperiment, records: Sequence[Record], num_cells: int, folder: Path, command: str
) -> None:
    """Writes tables, pictures and the page from the finished cells, at least one."""
    rows = list_cost_rows(records)
    plain = [_flatten(row) for row in rows]
    (folder / CSV_FILE).write_text(to_csv(tabulate(plain)), encoding="utf-8")
    content = {"title": experiment.title, "command": command, "rows": plain}
    (folder / JSON_FILE).write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
    pictures = [
        f"![{name}]({plots.save_figure(_draw(experiment, records, rows, name), folder, f'cost-{name}')})\n\n"
        f"[as SVG](cost-{name}.svg)"
        for name in experiment.vary
        if any(row["varied"] == name for row in rows)
    ]
    middle = records[0]["settings"]
    setting = (
        f"Command: `{command}`. {len(records)} of {num_cells} points are finished. One update, loss and gradients, of "
        f"a random model; unless a row says otherwise hidden {middle['model']['hidden']}, {middle['model']['layers']} "
        f"layers, vocabulary {middle['model']['vocabulary']}, {middle['batch']['prompts']} prompts of "
        f"{middle['batch']['prompt_length']} tokens with {middle['batch']['group_size']} responses of "
        f"{middle['batch']['response_length']}. The arms take turns, {middle['rounds']} rounds; ratios are to the "
        "first arm, their interval is Student's 95 % over rounds. Memory is the peak above what stood there before, "
        f"in a process of its own. Run with {describe_machines(records)}."
    )
    parts = [
        f"# {experiment.title}",
        experiment.question,
        setting,
        read_findings(folder),
        _render(rows),
        "`select` is choosing the tokens and their band by itself, `entropies` what the LM head's forward pass over "
        "all response tokens takes longer for entropies.",
        *pictures,
    ]
    (folder / RESULTS_FILE).write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")


def _flatten(row: Mapping[str, Any]) -> dict[str, Any]:
    ratio = estimate_to_json(row["seconds_ratio"])
    flat = {name: value for name, value in row.items() if name not in ("seconds_ratio", "head_seconds")}
    flat |= {"seconds_ratio": ratio["mean"], "seconds_ratio_half_width": ratio["half_width"]}
    return flat | {f"head_{name}_seconds": seconds for name, seconds in row["head_seconds"].items()}


def _render(rows: Sequence[Mapping[str, Any]]) -> str:
    heads = [
        "",
        "arm",
        "parameters",
        "seconds",
        "ratio",
        "MiB",
        "ratio",
        "GFLOP",
        "ratio",
        "select (ms)",
        "entropies (ms)",
    ]
    lines = [
        [
            f"{row['varied']} {show(row['value'])}".strip() or "middle",
            row["arm"],
            f"{row['parameters'] / 1e6:.2f} M",
            f"{row['seconds']:.3f}",
            row["seconds_ratio"].describe(digits=2),
            f"{row['mebibytes']:.0f}",
            f"{row['mebibytes_ratio']:.2f}",
            f"{row['gflops']:.2f}",
            f"{row['flops_ratio']:.2f}",
            f"{1000 * row['select_seconds']:.2f}",
            f"{1000 * (row['head_seconds']['with_entropies'] - row['head_seconds']['log_probs']):.2f}",
        ]
        for row in rows
    ]
    return render_table(heads, lines)


def _draw(
    experiment: CostExperiment, records: Sequence[Record], rows: Sequence[Mapping[str, Any]], name: str
) -> Figure:
    """Each quantity's ratio to the first arm's over one field's values, the middle among them where it is a number.

    Ratios are of one process's rounds in turn; absolute figures of different minutes on a machine may not compare.
    """
    figure, axes = plots.make_grid(1, len(RATIOS))
    middle, first = find_middle(records, name), next(iter(experiment.arms))
    for panel, (quantity, title) in zip(axes[0], RATIOS.items(), strict=True):
        for index, arm in enumerate(experiment.arms):
            mine = [row for row in rows if row["arm"] == arm]
            points = [(row["value"], _get_mean(row[quantity])) for row in mine if row["varied"] == name]
            if middle is not None:
                points += [(middle, _get_mean(row[quantity])) for row in mine if not row["varied"]]
            points.sort()
            panel.plot(*zip(*points, strict=True), "o-", ms=3, color=plots.pick_colour(index), label=plots.plain(arm))
        panel.set(title=f"{title} ÷ {plots.plain(first)}'s", xlabel=plots.plain(name), ylim=(0, 1.3))
        if name != "fork_fraction":
            panel.set(xscale="log")
    plots.add_legend(figure, axes)
    return figure


def _get_mean(ratio: Estimate | float) -> float:
    return ratio.mean if isinstance(ratio, Estimate) else ratio


def find_middle(records: Sequence[Record], name: str) -> float | None:
    """A field's value where it is not varied, if that was run and all arms have the same."""
    settings = next((record["settings"] for record in records if not record["point"]), None)
    if settings is None:
        return None
    groups = [settings["model"], settings["batch"], *settings["arms"].values()]
    values = {group[name] for group in groups if name in group}
    return values.pop() if len(values) == 1 else None
