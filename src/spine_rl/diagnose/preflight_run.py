"""Preflight: a round of responses, measured, and advice before a run is started."""

import json
from collections.abc import Mapping
from pathlib import Path

from rich.table import Table

from spine_rl.diagnose.planned_run import PlannedRun
from spine_rl.diagnose.preflight import advise, estimate_time, measure_signal
from spine_rl.diagnose.round import RolloutOptions, draw
from spine_rl.engine.estimate import MemoryEstimate
from spine_rl.engine.generation import Generator
from spine_rl.engine.live import format_seconds
from spine_rl.engine.models import get_hidden_size
from spine_rl.engine.say import say, show
from spine_rl.problems import load_problems
from spine_rl.runs.kinds import json_kind
from spine_rl.runs.may_write import Output, check_may_write
from spine_rl.runs.whole_file import write_whole
from spine_rl.training.estimate import estimate_run

_NAMES = {  # in words, where they are not the figure's own
    "majority_ratio": "majority share",
    "chance_agreement": "agreement between problems",
    "kappa": "Fleiss' kappa",
    "responses_per_step": "responses a step",
    "seconds_per_step": "seconds a step (estimate)",
    "hours": "time of the run (estimate)",
}
_FIGURES = json_kind("figures of spine preflight", "signal", "cost", "advice")


def run_preflight(options: RolloutOptions, planned: PlannedRun, json_out: Path | None, *, overwrite: bool) -> None:
    """Prints a table and advice; writes both as JSON where asked."""
    outputs = [Output(json_out, _FIGURES, "--json")]
    check_may_write(outputs, overwrite=overwrite, reads=[options.model, options.data])
    problems = load_problems(options.data, **{**options.columns, "limit": None}).problems
    plan = planned.plan_steps(len(problems))
    engine, rollouts = draw(options, problems[: options.columns["limit"]], planned.load_options)
    signal = measure_signal(rollouts, options.forks)
    time = estimate_time(rollouts, plan)
    planned.args.choose_precision(get_hidden_size(engine.model))
    memory = estimate_run(
        engine.model,
        planned.args,
        max(map(len, rollouts.prompts)),
        peft_config=planned.peft_config,
        copies_weights=Generator(engine.model, planned.args.generation_dtype).copies,
        num_processes=planned.num_processes,
        sharding=planned.sharding,
    )
    advice = advise(signal, plan, rollouts.prompt_texts, memory)
    title = f"{len(rollouts.problems)} problems, {options.num_generations} responses each"
    show(_make_table(title, signal, time, plan.num_steps))
    show(_make_memory_table(memory))
    say(*(f"- {line}" for line in advice or ["nothing stands out; watch the collapse monitor while it runs"]))
    if json_out is not None:
        sizes = {name: {"most": most, "least": least} for name, (most, least) in memory.list_parts().items()}
        figures = {"signal": signal, "cost": {**time, "memory_gib": sizes}, "advice": advice}
        write_whole(json_out, json.dumps(figures, indent=2) + "\n", replace=overwrite)


def _make_table(title: str, signal: Mapping[str, float], time: Mapping[str, float], num_steps: int | None) -> Table:
    table = Table("measured", "", title=title, title_justify="left")
    for name, value in signal.items():
        shown = f"{value:.1f}" if name.startswith("length") else f"{value:.3f}"
        table.add_row(_NAMES.get(name, name.replace("_", " ")), shown)
    table.add_section()
    shown = {
        "responses_per_step": f"{time['responses_per_step']:.0f}",
        "seconds_per_step": f"{time['seconds_per_step']:.1f}",
        "steps": str(num_steps),
        "hours": format_seconds(3600 * time.get("hours", 0)),
    }
    for name, value in shown.items():
        if num_steps or name.endswith("step"):  # without a step there is no time of the run
            table.add_row(_NAMES.get(name, name), value)
    return table


def _make_memory_table(memory: MemoryEstimate) -> Table:
    table = Table("memory of a process, GiB (estimate)", "at most", "at least")
    for name, (most, least) in memory.list_parts().items():
        table.add_row(name, f"{most:.2f}", f"{least:.2f}")
    if memory.available is not None:
        table.add_section()
        table.add_row("available", "", f"{memory.available / 2**30:.2f}")
    return table
