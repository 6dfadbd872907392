"""An evaluation beside a baseline: responses drawn, or those of an earlier one read, and reported."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spine_rl.engine.samplers import Decoding, check_loading
from spine_rl.errors import ConfigError
from spine_rl.evaluation.budget import read_budget
from spine_rl.evaluation.grading import AnswerSheet, make_answer_sheet
from spine_rl.evaluation.report import build_report, check_comparable
from spine_rl.evaluation.responses import (
    BASELINE_FOLDER,
    COMPARISON,
    EVALUATION,
    REPORT,
    SETTINGS_FILE,
    Recorded,
    load_recorded,
    read_settings,
)
from spine_rl.evaluation.run import EvaluationPlan, finish, record_responses, record_shard
from spine_rl.evaluation.shards import Shard, merge_shards
from spine_rl.problems import ProblemSet, PromptStyle, load_problems
from spine_rl.runs.folder_lock import owning
from spine_rl.runs.may_write import Output, check_may_write
from spine_rl.runs.whole_file import write_whole


@dataclass(frozen=True)
class EvalOptions:
    """What is evaluated, how, and where it is kept; `spine eval --help` says what each is."""

    data: str
    decoding: Decoding
    model: str | None = None
    num_samples: int = 8
    answer_type: str = "auto"
    style: PromptStyle = field(default_factory=PromptStyle)
    columns: dict[str, Any] = field(default_factory=lambda: {"gold_column": "answer"})
    engine: str = "transformers"
    dtype: str = "auto"
    loading: Mapping[str, Any] = field(default_factory=dict)
    baseline: str | None = None
    budget: int | None = None
    out: Path | None = None
    from_samples: Path | None = None
    merge: Sequence[Path] = ()
    json_out: Path | None = None
    overwrite: bool = False
    again: bool = False  # report a finished evaluation with the same settings anew, instead of refusing


@dataclass(frozen=True)
class _Comparison:
    """The responses, and what they are compared with."""

    recorded: Recorded
    baseline: Recorded | None
    budget: int


def run_evaluation(options: EvalOptions) -> dict[str, Any]:
    """Draws responses (or reads them), writes what is to be kept, and returns the report."""
    _check(options)
    problem_set = load_problems(options.data, **options.columns)
    sheet = make_answer_sheet(problem_set.problems, problem_set.gold_answers, options.answer_type)
    with ExitStack() as stack:
        if options.out is not None:
            stack.enter_context(owning(options.out))
        folder = options.out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if options.merge:
            merge_shards(options.merge, folder, overwrite=options.overwrite)
            compared = _reload(options, folder, sheet)
        elif options.from_samples is not None:
            compared = _reload(options, options.from_samples, sheet)
        else:
            compared = _draw(options, problem_set, folder)
        report = build_report(sheet, problem_set.tags, compared.recorded, compared.baseline, compared.budget)
        if options.out is not None:
            _finish_baseline(folder, sheet, problem_set)
            finish(folder, report)
    if options.json_out is not None:
        write_whole(options.json_out, json.dumps(report, indent=2) + "\n", replace=options.overwrite)
    return report


def run_shard(options: EvalOptions, shard: Shard) -> int:
    """Draws one shard's responses into the folder of `out`; returns how many it has.

    Raises:
        ConfigError: Model or folder are missing, or something is asked for that only the whole has.
    """
    if options.model is None or options.out is None:
        raise ConfigError(f"--shard {shard} needs --model, which draws, and --out, a folder of the shard's own")
    for name in ("baseline", "budget", "json_out"):
        if getattr(options, name) is not None:
            raise ConfigError(f"--{name.removesuffix('_out')} is of the whole evaluation; give it with --merge")
    _check(options)
    problem_set = load_problems(options.data, **options.columns)
    with owning(options.out):
        plan = _make_plan(options, problem_set)
        return record_shard(options.model, plan, options.out, shard, overwrite=options.overwrite)


def _check(options: EvalOptions) -> None:
    if sum((options.model is not None, options.from_samples is not None, bool(options.merge))) != 1:
        raise ConfigError(
            "give either --model, to draw responses, --from-samples, to grade earlier ones, or --merge, for shards"
        )
    if options.merge and options.out is None:
        raise ConfigError("--merge needs --out, the folder of the whole evaluation")
    if options.from_samples is not None and options.out is not None:
        raise ConfigError("--from-samples draws nothing that --out could keep; give --json FILE for the report")
    check_loading(options.engine, options.loading)
    outputs = [Output(options.out, EVALUATION, goes_on=True), Output(options.json_out, REPORT, "--json")]
    reads = [options.data, options.model, options.baseline, options.from_samples, *options.merge]
    check_may_write(outputs, overwrite=options.overwrite, reads=filter(None, reads))
    if options.budget and options.baseline is None and options.model is not None:
        raise ConfigError(f"--budget {options.budget} is the baseline's; give a --baseline model too")


def _make_plan(options: EvalOptions, problem_set: ProblemSet) -> EvaluationPlan:
    return EvaluationPlan(
        data=options.data,
        problems=problem_set.problems,
        style=options.style,
        decoding=options.decoding,
        num_samples=options.num_samples,
        engine=options.engine,
        dtype=options.dtype,
        loading=options.loading,
    )


def _draw(options: EvalOptions, problem_set: ProblemSet, folder: Path) -> _Comparison:
    assert options.model is not None
    plan = _make_plan(options, problem_set)
    if options.baseline is None:
        recorded = record_responses(options.model, plan, folder, overwrite=options.overwrite, again=options.again)
        return _Comparison(recorded, None, 0)
    budget = (read_budget(options.model) or 0) if options.budget is None else options.budget
    ids = [problem.id for problem in problem_set.problems]
    is_folder = (Path(options.baseline) / SETTINGS_FILE).is_file()
    baseline = load_recorded(Path(options.baseline), ids) if is_folder else None
    if baseline is not None:  # before hours of sampling
        check_comparable(plan.describe(options.model), baseline, max(options.num_samples, budget))
    comparison = {"baseline": options.baseline, "budget": budget}
    recorded = record_responses(
        options.model, plan, folder, comparison=comparison, overwrite=options.overwrite, again=options.again
    )
    if baseline is None:
        plan = replace(plan, num_samples=max(options.num_samples, budget))
        baseline = record_responses(options.baseline, plan, folder / BASELINE_FOLDER, again=True)
    return _Comparison(recorded, baseline, budget)


def _finish_baseline(folder: Path, sheet: AnswerSheet, problem_set: ProblemSet) -> None:
    """A baseline that was drawn beside the model is an evaluation of its own."""
    nested = folder / BASELINE_FOLDER
    if nested.is_dir():
        recorded = load_recorded(nested, [problem.id for problem in problem_set.problems])
        finish(nested, build_report(sheet, problem_set.tags, recorded))


def _reload(options: EvalOptions, folder: Path, sheet: AnswerSheet) -> _Comparison:
    """What an earlier evaluation drew, and what it was compared with unless another baseline is given."""
    ids = [problem.id for problem in sheet.problems]
    settings = read_settings(folder)
    before = settings.get(COMPARISON) or {}
    nested = folder / BASELINE_FOLDER
    baseline = options.baseline or (str(nested) if nested.is_dir() else before.get("baseline"))
    known = before.get("budget", 0)
    if options.merge and options.baseline is not None:
        known = read_budget(settings["model"]) or 0
    budget = known if options.budget is None else options.budget
    return _Comparison(
        load_recorded(folder, ids), load_recorded(Path(baseline), ids) if baseline is not None else None, budget
    )
