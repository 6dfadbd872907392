"""The collapse monitor judged on an experiment's cells, and the step that `keep_best=label-free` would have kept.

The monitor reads label-free signals; gold answers, by Pass@1 on the first problem set, judge it alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from spine_rl.lab.experiments.adaptation import to_rows
from spine_rl.lab.experiments.fields import get_value
from spine_rl.lab.experiments.frame import get_group
from spine_rl.lab.experiments.stability import COLLAPSE
from spine_rl.lab.experiments.store import Record, identify
from spine_rl.monitor import RESPONSES, choose_checkpoint, judge_run

BELOW_START, BELOW_BEST = 0.02, 0.03  # what the kept step may lose at most, by the project's own goals


def judge_records(records: Sequence[Record]) -> pd.DataFrame:
    """A row a run that the monitor is for: label-free, and nothing was done about its alarms; by what identifies it.

    `cell`; `alarm`, the step of the first one, None without one; `step`, the evaluated one that would be kept; Pass@1
    (mean of the samples, first problem set) at the `start`, `kept`, after the `last` step and at the `best` evaluated
    one; whether the run `collapsed` (ends at least 10 points below its start); whether the kept step `is_safe` (at most
    2 points below the start) and `is_near_best` (at most 3 points below the best).
    """
    judged = [record for record in records if _is_for_monitor(record["settings"]["fields"])]
    return pd.DataFrame([_judge(record) for record in judged], index=pd.Index(map(identify, judged)))


def _is_for_monitor(fields: Mapping[str, Any]) -> bool:
    return not fields.get("allow_gold_rewards") and fields.get("on_collapse", "warn") == "warn"


def _judge(record: Record) -> dict[str, Any]:
    curve, problem_set = record["curve"], record["settings"]["evaluate_on"][0]
    steps, scores = [row["step"] for row in curve], [row[problem_set]["pass@1"] for row in curve]
    verdicts = judge_run(_list_steps(record))
    index = steps.index(choose_checkpoint(verdicts, steps))
    start, kept, last, best = scores[0], scores[index], scores[-1], max(scores)
    return {
        "cell": f"{record['task']}, {get_group(record).label}, seed {record['seed']}",
        "alarm": next((verdict.step for verdict in verdicts if not verdict.healthy), None),
        "step": steps[index],
        "start": start,
        "kept": kept,
        "last": last,
        "best": best,
        "collapsed": last <= start - COLLAPSE,
        "is_safe": kept >= start - BELOW_START - 1e-9,
        "is_near_best": kept >= best - BELOW_BEST - 1e-9,
    }


def _list_steps(record: Record) -> list[dict[str, Any]]:
    """Logged steps; how far into the data each was, and of how many responses, where not logged, is in the settings."""
    settings, fields = record["settings"], record["settings"]["fields"]
    responses = get_value(fields, "per_device_train_batch_size") * get_value(fields, "gradient_accumulation_steps")
    epochs_a_step = responses / get_value(fields, "num_generations") / settings["num_problems"]
    rows = to_rows(record["steps"])
    return [{"epoch": row["step"] * epochs_a_step, RESPONSES: responses, **row} for row in rows]


def count_judged(judged: pd.DataFrame) -> dict[str, int]:
    """Runs that collapsed, those of them with an alarm, sound ones, and those of them with one: false alarms."""
    alarmed, collapsed = judged.alarm.notna(), judged.collapsed
    return {
        "num_collapsed": int(collapsed.sum()),
        "num_detected": int((alarmed & collapsed).sum()),
        "num_sound": int((~collapsed).sum()),
        "num_false_alarms": int((alarmed & ~collapsed).sum()),
    }
