"""From questions without labels to an answer a question: vote, adapt, vote again."""

import dataclasses
import json
import shlex
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spine_rl.diagnose.preflight import StepPlan, advise
from spine_rl.engine.say import say
from spine_rl.errors import shorten
from spine_rl.evaluation.responses import ResponseRow
from spine_rl.evaluation.run import EvaluationPlan, record_responses
from spine_rl.pages import write_page
from spine_rl.pages.report import build_report
from spine_rl.pages.report_runs import load_run
from spine_rl.problems import Problem, load_problems
from spine_rl.runs.folder_lock import owning
from spine_rl.runs.run_file import read_run
from spine_rl.runs.whole_file import write_whole
from spine_rl.solve.answers import Solved, describe_adaptation, measure_round, solve_problems
from spine_rl.solve.options import HTML, WORK, SolveOptions, check_places, name_places
from spine_rl.training.arguments import Arguments
from spine_rl.training.dataset import check_number
from spine_rl.training.run import train_or_go_on


@dataclass(frozen=True)
class Request:
    """What is asked.

    Attributes:
        options: Of the command.
        data: The problems.
        columns: Where in the data the problems stand: arguments of `load_problems`.
        overwrite: What an earlier command left there is replaced.
    """

    options: SolveOptions
    data: str
    columns: Mapping[str, Any]
    overwrite: bool = False

    @property
    def work(self) -> Path:
        """Where responses and the adapted model are kept, to go on with; beside the answers, with their name."""
        return self.options.out.with_suffix(WORK)


def run_solve(request: Request, plan_run: Callable[[int, Path], Arguments]) -> None:
    """Votes, adapts with the guard, votes again, and writes an answer a problem; goes on where it was stopped.

    Args:
        request: What is asked.
        plan_run: How so many problems are adapted to, in a folder; asked once they are read.

    Raises:
        ConfigError: The answers have the name of what lies beside them.
        DataError: There are too few problems for a step of the run.
        RunFolderError: The answers exist already, or the work folder is of another configuration, or in use.
    """
    out, model = request.options.out, request.options.model
    page, adapted = out.with_suffix(HTML), request.work / "adapted"
    check_places(out, request.data, model, overwrite=request.overwrite)
    problems = load_problems(request.data, gold_column=None, **request.columns).problems
    with owning(request.work):
        arguments = plan_run(len(problems), adapted)
        check_number(len(problems), arguments.training)  # before the first vote
        before = _sample(model, arguments, problems, request, "before")
        say(*_advise(before, problems, arguments))
        train_or_go_on(arguments, adapted, overwrite=request.overwrite)
        after = _sample(str(adapted), arguments, problems, request, "after")
    content = read_run(adapted) or {}
    helped, sentence = describe_adaptation(content.get("finished", {}).get("kept", {}))
    kind = arguments.training.answer_type
    solved = solve_problems(problems, before, after, helped=helped, answer_type=kind)
    rows = "".join(json.dumps(dataclasses.asdict(each)) + "\n" for each in solved)
    write_whole(out, rows, replace=request.overwrite)
    say(sentence, _summarize(solved), f"{out} has an answer a problem")
    _draw_page(page, adapted)


def _draw_page(page: Path, adapted: Path) -> None:
    """The answers are written, and are the result: that a page cannot be drawn is said, and is no failure."""
    try:
        write_page(page, build_report([load_run(adapted)], "SPINE solve"))
    except Exception as error:  # whatever it is: a full disk, a picture's library
        reason, again = shorten(error, 200), shlex.join(["spine", "report", str(adapted), "--out", str(page)])
        warnings.warn(
            f"{page} could not be drawn ({reason}); the answers are complete. To draw it: {again}", stacklevel=2
        )
    else:
        say(f"{page} says how the run went")


def _sample(
    model: str, arguments: Arguments, problems: Sequence[Problem], request: Request, name: str
) -> list[list[ResponseRow]]:
    training, run = arguments.training, arguments.run
    plan = EvaluationPlan(
        run.data,
        problems,
        arguments.style,
        training.get_decoding(batch_size=64, seed=request.options.seed),
        request.options.num_generations,
        dtype=arguments.model.dtype or "auto",
        loading=arguments.load_options,
    )
    return record_responses(model, plan, request.work / name, overwrite=request.overwrite, again=True).samples


def _advise(first: Sequence[Sequence[ResponseRow]], problems: Sequence[Problem], arguments: Arguments) -> list[str]:
    """What `spine preflight` would say of the first round."""
    training = arguments.training
    assert training.max_completion_length is not None
    votes = measure_round(problems, first, answer_type=training.answer_type)
    plan = StepPlan(
        num_generations=training.num_generations,
        max_completion_length=training.max_completion_length,
    )
    summary = (
        f"first vote: majority share {votes['majority_ratio']:.2f}; {votes['abstained']:.0%} of the responses without "
        f"a readable answer, {votes['truncated']:.0%} cut off"
    )
    return [summary, *map(name_places, advise(votes, plan))]


def _summarize(solved: Sequence[Solved]) -> str:
    answered = sum(each.answer is not None for each in solved)
    same = sum(each.agree for each in solved)
    expected = sum(each.confidence or 0 for each in solved)
    return (
        f"{answered} of {len(solved)} problems have an answer; the votes before and after agree on {same}; by the "
        f"confidences about {expected:.0f} are right"
    )
