"""What a cell adapts to and is evaluated on: a task of the lab, or a model and data of one's own."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from spine_rl.engine.models import load_model_and_tokenizer
from spine_rl.errors import ConfigError, suggest_nearest
from spine_rl.lab.adapt import LAB_FIELDS, EvaluationSet, LoadedTask
from spine_rl.lab.experiments.spec import PROBLEM_SETS, TaskRef
from spine_rl.lab.tasks import TASKS, get_task
from spine_rl.problems import ProblemSet, load_problems

_COLUMNS = {"split", "prompt_column", "id_column", "limit", "max_image_pixels", "allow_image_urls"}


def check_task(task: TaskRef, evaluate_on: Sequence[str], tasks: Sequence[TaskRef], where: str) -> None:
    """Raises ConfigError for a task that is not known, or that cannot be evaluated so; reads no file."""
    if not task.own and task.name not in TASKS:
        raise ConfigError(f"{where}: task {task.name!r}: unknown; {suggest_nearest(task.name, TASKS)}")
    if task.own and task.name in TASKS:
        raise ConfigError(f"{where}: task {task.name!r}: the lab has one of that name; give yours another")
    others = {name: TaskRef(name=name) for name in TASKS} | {other.name: other for other in tasks}
    for name in evaluate_on:
        if name not in PROBLEM_SETS and name not in others:
            near = suggest_nearest(name, [*PROBLEM_SETS, *others])
            raise ConfigError(f"{where}: evaluate_on: unknown problem set or task {name!r}; {near}")
        held_out = task if name == "held_out" else others.get(name)
        if held_out is not None and held_out.own and "eval_data" not in held_out.own:
            raise ConfigError(f"{where}: task {held_out.name!r}: evaluate_on has {name}, so give it eval_data")


def get_defaults(task: TaskRef) -> dict[str, Any]:
    """Fields of `SpineConfig` that its runs have unless the experiment's file says otherwise."""
    return {} if task.own else {**LAB_FIELDS, "max_completion_length": get_task(task.name).max_new_tokens}


def load_task(
    task: TaskRef,
    evaluate_on: Sequence[str],
    others: Mapping[str, TaskRef],
    *,
    num_problems: int,
    max_new_tokens: int,
    seed: int,
) -> LoadedTask:
    """Loads the model and draws or reads the problems.

    Args:
        task: What is adapted to.
        evaluate_on: Problem sets: `adapt`, `held_out`, or a task's name for its held-out problems.
        others: The experiment's tasks by name.
        num_problems: Of each set of a task of the lab.
        max_new_tokens: Longest response of the run; other tasks of the lab have their own.
        seed: Draws a lab's problems.

    Raises:
        DataError: A file cannot be read.
        ModelError: The model cannot be loaded.
    """
    model, processing_class = (
        load_model_and_tokenizer(task.own["model"], trains_adapter=True, dtype=torch.float32)  # as spine train does
        if task.own
        else get_task(task.name).load_base()
    )
    problem_set = _load_set(task, "adapt", num_problems, seed)
    sets = {}
    for name in evaluate_on:
        if name == "adapt":
            sets[name] = EvaluationSet(problem_set, max_new_tokens, task.style)
        else:
            other = task if name == "held_out" else others.get(name, TaskRef(name=name))
            limit = max_new_tokens if name == "held_out" or other.own else get_task(name).max_new_tokens
            sets[name] = EvaluationSet(_load_set(other, "held_out", num_problems, seed), limit, other.style)
    return LoadedTask(model, processing_class, problem_set, sets, task.style)


def _load_set(task: TaskRef, split: Any, num_problems: int, seed: int) -> ProblemSet:
    if not task.own:
        return get_task(task.name).make_problems(split, num_problems, seed=seed)
    source = task.own["data" if split == "adapt" else "eval_data"]
    columns = task.model_dump(include=_COLUMNS, exclude_unset=True)
    return load_problems(source, gold_column=task.gold_column, **columns)
