"""`spine preflight`: a round of responses, measured, and advice before a run is started."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from spine_rl.cli.rollout_options import RolloutOptions, draw
from spine_rl.diagnose.preflight import StepPlan, advise, estimate_cost, measure_signal
from spine_rl.errors import ConfigError
from spine_rl.runs.kinds import json_kind
from spine_rl.runs.may_write import Output, check_may_write
from spine_rl.runs.whole_file import write_whole

if TYPE_CHECKING:
    from spine_rl.cli.model_commands import PreflightOptions

_FIGURES = json_kind("figures of spine preflight", "signal", "cost", "advice")


def run_preflight(
    options: RolloutOptions, planned: "PreflightOptions", json_out: Path | None, *, overwrite: bool
) -> None:
    """Prints a table and advice; writes both as JSON where asked."""
    outputs = [Output(json_out, _FIGURES, "--json")]
    check_may_write(outputs, overwrite=overwrite, reads=[options.model, options.data])
    plan = _make_plan(options, planned)
    engine, rollouts = draw(options)
    signal = measure_signal(rollouts, options.forks)
    cost = estimate_cost(rollouts, engine.model, plan)
    advice = advise(signal, plan, rollouts.prompt_texts)
    console = Console()
    title = f"{len(rollouts.problems)} problems, {options.num_generations} responses each"
    table = Table("measured", "", title=title, title_justify="left")
    for name, value in signal.items():
        table.add_row(name.replace("_", " "), f"{value:.1f}" if name.startswith("length") else f"{value:.3f}")
    table.add_section()
    for name, value in cost.items():
        table.add_row(f"{name.replace('_', ' ')} (estimate)", f"{value:.2f}")
    console.print(table)
    for line in advice or ["nothing stands out; watch the collapse monitor while it runs"]:
        console.print(f"- {line}", markup=False, highlight=False, soft_wrap=True)
    if json_out is not None:
        figures = {"signal": signal, "cost": cost, "advice": advice}
        write_whole(json_out, json.dumps(figures, indent=2) + "\n", replace=overwrite)


def _make_plan(options: RolloutOptions, planned: "PreflightOptions") -> StepPlan:
    responses = planned.per_device_train_batch_size * planned.gradient_accumulation_steps
    if responses % options.num_generations:
        raise ConfigError(
            f"per_device_train_batch_size={planned.per_device_train_batch_size} x gradient_accumulation_steps="
            f"{planned.gradient_accumulation_steps} = {responses} responses a step: must be a multiple of "
            f"num_generations={options.num_generations}"
        )
    return StepPlan(
        num_generations=options.num_generations,
        problems_per_step=responses // options.num_generations,
        rows_at_once=planned.per_device_train_batch_size,
        max_completion_length=options.decoding.max_new_tokens,
        prompt_suffix=options.style.prompt_suffix,
    )
