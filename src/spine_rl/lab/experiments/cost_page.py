"""The results of an experiment of `kind: cost`: a row a point and arm, each arm beside the first."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spine_rl.evaluation.formats import render_table
from spine_rl.evaluation.statistics import Estimate, estimate
from spine_rl.lab import plots
from spine_rl.lab.experiments.cells import show
from spine_rl.lab.experiments.cost import CostExperiment
from spine_rl.lab.experiments.page import describe_machines, write_page
from spine_rl.lab.experiments.store import Record

RATIOS = {"seconds_ratio": "time of the update", "mebibytes_ratio": "peak memory", "flops_ratio": "operations"}


def list_costs(records: Sequence[Record]) -> pd.DataFrame:
    """A row a point and arm: what varies, each quantity, and its ratio to the first arm's.

    Each round gives one ratio of seconds: `seconds_ratio` is their mean, `seconds_ratio_half_width` its interval's.
    """
    rows = []
    for record in records:
        first = next(iter(record["seconds"]))
        varied, value = next(iter(record["point"].items()), ("", ""))
        for arm, seconds in record["seconds"].items():
            ratio = estimate(np.divide(seconds, record["seconds"][first]))
            rows.append(
                {
                    "varied": varied,
                    "value": value,
                    "parameters": record["parameters"],
                    "arm": arm,
                    "seconds": float(np.median(seconds)),
                    "mebibytes": record["mebibytes"][arm],
                    "gflops": round(record["flops"][arm] / 1e9, 4),
                    "seconds_ratio": ratio.mean,
                    "seconds_ratio_half_width": ratio.half,
                    "mebibytes_ratio": round(record["mebibytes"][arm] / record["mebibytes"][first], 4),
                    "flops_ratio": round(record["flops"][arm] / record["flops"][first], 4),
                    "select_seconds": record["parts"]["select"][arm],
                    **{f"head_{name}_seconds": value for name, value in record["parts"]["head"].items()},
                }
            )
    return pd.DataFrame(rows)


def write_cost_results(
    experiment: CostExperiment, records: Sequence[Record], num_cells: int, folder: Path, command: str
) -> None:
    """Writes tables, pictures and the page from the finished cells, at least one."""
    frame = list_costs(records)
    middles = {name: find_middle(records, name) for name in experiment.vary if (frame.varied == name).any()}
    parts = [
        _render(frame, records[0]["settings"]["rounds"]),
        "`select` is choosing the tokens and their band by itself, `entropies` what the LM head's forward pass over "
        "all response tokens takes longer for entropies.",
    ]
    if middles:
        name = plots.save_figure(plots.draw_costs(frame, RATIOS, middles), folder, "cost")
        parts.append(f"![Ratios of time, memory and operations to the first arm's, by what varies]({name})")
    setting = _describe_setting(records, num_cells, command)
    write_page(folder, experiment, setting, parts, frame, {"command": command})


def _describe_setting(records: Sequence[Record], num_cells: int, command: str) -> str:
    middle = records[0]["settings"]
    model, batch = middle["model"], middle["batch"]
    return (
        f"Command: `{command}`. {len(records)} of {num_cells} points are finished. One update, loss and gradients, of "
        f"a random model; unless a row says otherwise hidden {model['hidden']}, {model['layers']} "
        f"layers, vocabulary {model['vocabulary']}, {batch['prompts']} prompts of "
        f"{batch['prompt_length']} tokens with {batch['group_size']} responses of "
        f"{batch['response_length']}. The arms take turns, {middle['rounds']} rounds; ratios are to the "
        "first arm, their interval is Student's 95 % over rounds. Memory is the peak above what stood there before, "
        f"in a process of its own. Run with {describe_machines(records)}."
    )


def _render(frame: pd.DataFrame, rounds: int) -> str:
    heads = ["", "arm", "parameters", "seconds", "ratio", "MiB", "ratio", "GFLOP", "ratio", "select (ms)"]
    lines = [
        [
            f"{row['varied']} {show(row['value'])}".strip() or "middle",
            row["arm"],
            f"{row['parameters'] / 1e6:.2f} M",
            f"{row['seconds']:.3f}",
            Estimate(row["seconds_ratio"], row["seconds_ratio_half_width"], rounds).describe(digits=2),
            f"{row['mebibytes']:.0f}",
            f"{row['mebibytes_ratio']:.2f}",
            f"{row['gflops']:.2f}",
            f"{row['flops_ratio']:.2f}",
            f"{1000 * row['select_seconds']:.2f}",
            f"{1000 * (row['head_with_entropies_seconds'] - row['head_log_probs_seconds']):.2f}",
        ]
        for row in frame.to_dict("records")
    ]
    return render_table([*heads, "entropies (ms)"], lines)


def find_middle(records: Sequence[Record], name: str) -> float | None:
    """A field's value where it is not varied, if that was run and all arms have the same."""
    settings: Mapping[str, Any] | None = next((each["settings"] for each in records if not each["point"]), None)
    if settings is None:
        return None
    groups = [settings["model"], settings["batch"], *settings["arms"].values()]
    values = {group[name] for group in groups if name in group}
    return values.pop() if len(values) == 1 else None
