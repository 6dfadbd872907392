"""Inspect: sampled responses on one page, and the test of forking tokens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spine_rl.diagnose.inspect_page import build_page
from spine_rl.diagnose.round import RolloutOptions, draw
from spine_rl.diagnose.validate_forks import ForkValidation, validate_forks
from spine_rl.engine.say import say
from spine_rl.pages import write_page
from spine_rl.runs.kinds import PAGE
from spine_rl.runs.may_write import Output, check_may_write


def run_inspect(
    options: RolloutOptions,
    out: Path,
    load_options: Mapping[str, Any] = {},
    *,
    validation: tuple[int, int] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes the page; prints the outcome of the validation.

    Args:
        options: What is sampled.
        out: The page.
        load_options: How the model is loaded, as `draw` takes it.
        validation: Tokens that are resampled, and continuations of each; None validates nothing.
        overwrite: An earlier page is replaced.

    Raises:
        RunFolderError: The page exists already.
    """
    forks = options.forks
    check_may_write([Output(out, PAGE)], overwrite=overwrite, reads=[options.model, options.data])
    engine, rollouts = draw(options, load_options=load_options)
    write_page(out, build_page(rollouts, engine.tokenizer, forks))  # nothing is lost if the validation stops
    say(f"{len(rollouts.problems)} problems: {out}")
    if validation is not None:
        outcome = validate_forks(
            engine,
            rollouts,
            options.decoding,
            num_tokens=validation[0],
            num_repeats=validation[1],
            answer_type=options.answer_type,
        )
        write_page(out, build_page(rollouts, engine.tokenizer, forks, outcome))
        say(*describe(outcome))


def describe(outcome: ForkValidation) -> list[str]:
    """A line a finding."""
    lines = [f"{len(outcome.trials)} tokens tried; share of changed answers by entropy (nats), token resampled | kept:"]
    lines += [
        f"  {entry.entropy:6.3f}  {entry.resampled[0]:.2f} [{entry.resampled[1]:.2f}, {entry.resampled[2]:.2f}] | "
        f"{entry.kept[0]:.2f} [{entry.kept[1]:.2f}, {entry.kept[2]:.2f}]"
        for entry in outcome.bins
    ]
    for name, value in (("changed", outcome.correlation), ("resampled - kept", outcome.own_correlation)):
        if value is not None:
            lines.append(f"rank correlation of entropy and {name}: {value[0]:.2f} (p = {value[1]:.2g})")
    lines += [
        f"{score.name}: {score.num_selected} selected, precision {_show(score.precision)}, "
        f"recall {_show(score.recall)} of {outcome.num_deciding} deciding tokens"
        for score in outcome.selectors
    ]
    return lines


def _show(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
