"""`spine bench`: runs the cases, prints the table, writes the JSON."""

import gc
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from spine_rl import __version__
from spine_rl.errors import ConfigError, RunFolderError
from spine_rl.lab.bench import cases, growth
from spine_rl.lab.bench.cases import RATIOS, Outcome
from spine_rl.lab.bench.floor import count_update_flops, measure_matmul_rate
from spine_rl.lab.bench.shapes import DEFAULT_SIZE, SIZES, BatchShape, ModelShape
from spine_rl.lab.tasks import ARITHMETIC, VQA
from spine_rl.runs.kinds import json_kind
from spine_rl.runs.machine import describe_machine
from spine_rl.runs.may_write import Output, check_may_write
from spine_rl.runs.whole_file import write_whole

Cases = Mapping[str, Callable[[], Outcome]]  # not yet run, by the names that --only goes by
OUTCOMES_FILE, GROWTH_FILE, PLOT_FILE = "bench.json", "growth.json", "growth.png"


def run_bench(
    out: Path, *, size: str = DEFAULT_SIZE, prompts: int | None = None, quick: bool = False, overwrite: bool = False
) -> list[Outcome]:
    """Compares SPINE with its peer, side by side.

    Args:
        out: New folder for `bench.json`.
        size: Of the random model, one of `spine_rl.lab.bench.shapes.SIZES`.
        prompts: Of an update's batch; default 2, or 1 of a quick one.
        quick: Less of everything, about three minutes on two cores.
        overwrite: An earlier result there is replaced.

    Raises:
        ConfigError: An unknown size.
        RunFolderError: The folder already holds a result.
    """
    if size not in SIZES:
        raise ConfigError(f"size={size!r}: must be one of {', '.join(SIZES)}")
    model, effort = SIZES[size], QUICK if quick else FULL
    effort = replace(effort, prompts=prompts or effort.prompts)
    _claim(out / OUTCOMES_FILE, overwrite=overwrite)
    console, rate = Console(width=120), measure_matmul_rate()
    others = list_lab_cases(effort) if size == DEFAULT_SIZE else list_large_cases(model, effort)
    outcomes = [_run(run_case, console) for run_case in [*list_cases(model, effort), *others.values()]]
    share = count_update_flops(model, effort.shape("4:1")) / rate / outcomes[0].after
    title = f"SPINE {__version__} beside TRL {version('trl')}, {effort.rounds} rounds in alternation"
    console.print(build_table(outcomes, title))
    console.print(f"4:1 update: {share:.0%} of the floor of {rate / 1e9:.0f} GFLOP/s", highlight=False)
    record = _describe(outcomes) | {"size": size, "prompts": effort.prompts, "rounds": effort.rounds, "quick": quick}
    _write(
        out / OUTCOMES_FILE, record | {"matmul_flops_per_second": rate, "floor_share_4_to_1": share}, replace=overwrite
    )
    return outcomes


def run_cases(list_of_cases: Sequence[Callable[[], Outcome]], out: Path, record: dict[str, Any]) -> bool:
    """Runs cases, those after one that fails too, and writes what there is after each. Whether all of them ran.

    Args:
        list_of_cases: Not yet run.
        out: New folder for `bench.json`.
        record: What else is written there.

    Raises:
        RunFolderError: The folder already holds a result.
    """
    _claim(out / OUTCOMES_FILE)
    console = Console(width=120)
    outcomes: list[Outcome] = []
    for number, run_case in enumerate(list_of_cases):
        try:
            outcomes.append(_run(run_case, console))
        except Exception:
            console.print_exception(max_frames=4)
        _write(out / OUTCOMES_FILE, record | _describe(outcomes), replace=number > 0)  # none but its own
    console.print(build_table(outcomes, f"SPINE {__version__} beside TRL {version('trl')}"))
    return len(outcomes) == len(list_of_cases)


def _run(run_case: Callable[[], Outcome], console: Console) -> Outcome:
    outcome = run_case()
    gc.collect()  # trainers are in cycles, and hold a GPU's memory
    console.print(f"{outcome.name}: {outcome.ratio:.2f}", highlight=False)
    return outcome


def _describe(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {"outcomes": [asdict(o) | {"ratio": o.ratio, "met": o.met} for o in outcomes]}


@dataclass(frozen=True)
class Effort:
    """How much is run of each case; a round is a turn of every side.

    Attributes:
        rounds: Of updates.
        prompts: Of an update's batch.
        step_rounds: Of whole steps.
        steps: In a row, in a round of the lab's.
        whole_steps: In a row, in a round of a large model's; the last counts.
        memory_rounds: Of peak memory.
        generation: Rounds, turns before them that are not counted, and tokens of generation.
    """

    rounds: int
    prompts: int
    step_rounds: int
    steps: int
    whole_steps: int
    memory_rounds: int
    generation: Mapping[str, int]

    def shape(self, ratio: str) -> BatchShape:
        """The batch of a ratio of prompt to response."""
        return replace(RATIOS[ratio][0], prompts=self.prompts)


FULL = Effort(5, 2, 5, 4, 2, 3, {"rounds": 3, "warmups": 1, "new_tokens": 100})
QUICK = Effort(2, 1, 1, 2, 1, 1, {"rounds": 1, "warmups": 0, "new_tokens": 20})


def list_cases(model: ModelShape, effort: Effort) -> list[Callable[[], Outcome]]:
    """The cases in their order, not yet run; the update at 4:1 is the first."""
    rounds, sides = effort.rounds, ("trl", "spine")
    visual = replace(model, image_tokens=64)
    pictures = BatchShape(effort.prompts, prompt_length=100, response_length=40)
    update = partial(cases.compare_update, rounds=rounds)
    return [
        *(
            partial(update, f"update, prompt:response {ratio}", model, effort.shape(ratio), goal=goal, sides=sides)
            for ratio, (_, goal) in RATIOS.items()
        ),
        partial(update, "update with images, 64 patches", visual, pictures, goal=None, sides=sides),
        partial(
            update,
            "update with frozen vision, 64 patches, unshared",
            visual,
            pictures,
            goal=None,
            sides=("unshared", "spine"),
            freeze_vision=True,
        ),
        partial(cases.compare_memory, model, effort.shape("4:1"), goal=0.6, rounds=effort.memory_rounds),
        partial(cases.compare_generation, model, goal=1.5, **effort.generation),
        partial(cases.compare_decoding, model, **list_decoding_options(model, effort)),
        partial(cases.compare_overhead, model, effort.shape("1:1"), goal=1.03, rounds=rounds),
    ]


def list_decoding_options(model: ModelShape, effort: Effort) -> dict[str, Any]:
    """Sizes and goal of the decoding case: real models' have one, on a GPU for more rows."""
    is_real, on_gpu = model.vocabulary > 100_000, torch.accelerator.is_available()
    options = {"rounds": effort.generation["rounds"], "warmups": effort.generation["warmups"]}
    options |= {"new_tokens": 136 if effort.generation["new_tokens"] >= 100 else 12}
    if on_gpu:
        options |= {"prompts": 32, "group_size": 16, "prompt_length": 100, "new_tokens": 200}
    return options | {"goal": (4.0 if on_gpu else 3.0) if is_real else None}


def list_lab_cases(effort: Effort) -> Cases:
    """Those of the lab's own models, whatever the size."""
    step = partial(cases.compare_steps, rounds=effort.step_rounds, steps=effort.steps)
    return {
        "whole step, arithmetic lab": partial(step, "whole step, arithmetic lab, 16 x 8", ARITHMETIC, goal=1.7),
        "whole step, visual test bed": partial(step, "whole step, visual test bed, 16 x 8", VQA, goal=2.5),
    }


def list_large_cases(model: ModelShape, effort: Effort) -> Cases:
    """Those of models as large as users have: goals are of two cores, and of an H100."""
    on_gpu = torch.cuda.is_available()
    update = BatchShape(1, 8, prompt_length=100, response_length=200, equal_lengths=False)
    step = BatchShape(64, 8, 100, 320) if on_gpu else BatchShape(8, 8, prompt_length=100, response_length=200)
    compare = partial(cases.compare_update, "update, 1 x 8, 100/200, unequal lengths", model, update, goal=2.5)
    whole_step = partial(cases.compare_whole_step, rounds=effort.step_rounds, steps=effort.whole_steps)
    return {  # those with processes of their own come first: a case leaves its memory to this one
        "whole step, real model": partial(whole_step, model, step, goal=3.0),
        "peak memory": partial(cases.check_step_memory, model, step, most_gib=45.0 if on_gpu else 11.0),
        "update": partial(compare, rounds=effort.rounds, sides=("trl", "spine")),
    }


def run_growth(out: Path, *, rounds: int = 3, overwrite: bool = False) -> None:
    """Measures how the update grows; writes every point, the fits and a picture.

    Raises:
        RunFolderError: The folder already holds a result.
    """
    _claim(out / GROWTH_FILE, overwrite=overwrite)
    rate, points = measure_matmul_rate(), []
    for axis, values in growth.AXES.items():
        for value, model, batch in values:
            point = growth.measure_point(axis, value, model, batch, rate, rounds)
            points.append(point)
            seconds, ratio = point.seconds["spine"], point.seconds["trl"] / point.seconds["spine"]
            print(f"{axis} {point.value:g}: {seconds:.3f} s, {ratio:.2f} x, {point.floor_share:.0%} of the floor")
    fits = growth.summarize_growth(points)
    record = {"points": [growth.to_json(point) for point in points], "fits": fits}
    _write(out / GROWTH_FILE, record | {"rounds": rounds, "matmul_flops_per_second": rate}, replace=overwrite)
    growth.plot_growth(points, out / PLOT_FILE)


def build_table(outcomes: list[Outcome], title: str) -> Table:
    """A row a case."""
    table = Table(title=title)
    for heading in ("", "compared with", "SPINE", "ratio", "range", "goal"):
        table.add_column(heading, no_wrap=True)
    for outcome in outcomes:
        sign = "≤" if outcome.at_most else "≥"
        digits = {"MiB": 0, "GiB": 1}.get(outcome.unit, 3)
        goal = "" if outcome.goal is None else f"{sign} {outcome.goal} {'met' if outcome.met else 'missed'}"
        table.add_row(
            outcome.name,
            *(f"{value:.{digits}f} {outcome.unit}" for value in (outcome.before, outcome.after)),
            f"{outcome.ratio:.2f}",
            f"{min(outcome.ratios):.2f}-{max(outcome.ratios):.2f}",
            goal,
        )
    return table


def _claim(path: Path, *, overwrite: bool = False) -> None:
    if path.exists() and not overwrite:
        raise RunFolderError(f"{path} already exists; give another --out, or --overwrite")
    check_may_write([Output(path, json_kind("figures of spine bench", "machine"))], overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)


def _write(path: Path, record: dict[str, Any], *, replace: bool = False) -> None:
    text = json.dumps(record | {"machine": describe_machine()}, indent=2, ensure_ascii=False) + "\n"
    write_whole(path, text, replace=replace)
    print(f"{path} is written")
