"""An experiment's file: YAML in, a checked `Experiment` out; whatever is wrong with it is said in one line.

```yaml
title: TTRL against SPINE
question: Which of them is safe at which learning rate?
tasks: [arithmetic]                # of the lab, or a mapping: name, model, data, eval_data, gold_column, ...
seeds: [0, 1, 2]                   # each draws problems, their order and the samples
steps: 60
evaluate_every: 20
evaluate_on: [adapt, held_out]     # or other tasks' names: their held-out problems
fields: {beta: 0.0}                # of SpineConfig, for every cell
arms:                              # named settings; a field that an arm sets itself is no axis for it
  ttrl: {preset: ttrl}
  spine: {preset: spine}
axes: {learning_rate: [1e-4, 3e-4]}     # every arm with every value
vary: {fork_fraction: [0.1, 0.4]}       # every arm as it is, and with one field changed at a time
compare: [[spine, ttrl]]           # differences, paired by seed
quick: {seeds: [0], steps: 5}      # what --quick replaces; arms may be a list of their names
```
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spine_rl.errors import ConfigError, suggest_nearest
from spine_rl.lab.experiments.yaml_file import (
    QUICK,
    Check,
    check_keys,
    is_count,
    is_list,
    is_mapping,
    is_text,
    replace_quick,
)
from spine_rl.options import read_yaml

READY = Path(__file__).parent / "ready"
SECTIONS = ("arms", "curves", "lengths", "entropies", "phases", "map", "transfer", "monitor")
PROBLEM_SETS = ("adapt", "held_out")

Fields = Mapping[str, Any]
Axes = Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True)
class TaskRef:
    """A task of the lab by its name, or a model and data of one's own.

    Attributes:
        name: In file names and tables.
        own: Of one's own task: `model`, `data`, and as in `spine train` the columns and what is put around prompts;
            `eval_data` is its held-out set. Empty for a task of the lab.
    """

    name: str
    own: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """An experiment as its file describes it; the module's docstring explains the parts.

    Attributes:
        name: The file's, without its ending.
        title: One line.
        tasks: What is adapted to.
        arms: Arm → fields of `SpineConfig`.
        steps: Optimiser steps of a cell.
        question: What it is to answer, in plain words.
        seeds: Of problems, their order and the samples.
        evaluate_every: Evaluates before the first step, every so many steps, and after the last.
        evaluate_on: Problem sets: `adapt`, `held_out`, or tasks.
        num_problems: Problems of a lab's set, to adapt to and to evaluate on.
        num_samples: Samples a problem in an evaluation.
        fields: Of every arm.
        axes: Field → values, all combined.
        vary: Field → values, one field at a time.
        compare: Pairs of arms.
        sections: Of the page, beside the tables.
    """

    name: str
    title: str
    tasks: tuple[TaskRef, ...]
    arms: Mapping[str, Fields]
    steps: int
    question: str = ""
    seeds: tuple[int, ...] = (0, 1, 2)
    evaluate_every: int = 20
    evaluate_on: tuple[str, ...] = PROBLEM_SETS
    num_problems: int = 64
    num_samples: int = 8
    fields: Fields = field(default_factory=dict)
    axes: Axes = field(default_factory=dict)
    vary: Axes = field(default_factory=dict)
    compare: tuple[tuple[str, str], ...] = ()
    sections: tuple[str, ...] = ("curves", "monitor")


def list_ready() -> dict[str, Path]:
    """The experiments that come with the package, by name."""
    return {path.stem: path for path in sorted(READY.glob("*.yaml"))}


def find_file(source: str) -> Path:
    """A file's path, or that of a ready experiment by its name.

    Raises:
        ConfigError: It is neither.
    """
    if Path(source).suffix in (".yaml", ".yml"):
        return Path(source)
    ready = list_ready()
    if source not in ready:
        near = suggest_nearest(source, ready)
        raise ConfigError(f"experiment {source!r}: neither a .yaml file nor a ready one; {near}")
    return ready[source]


def load_experiment(path: Path, content: Mapping[str, Any] | None = None, *, quick: bool = False) -> Experiment:
    """Reads an experiment's file.

    Args:
        path: The file.
        content: What it holds, where that has been read.
        quick: Its quick form.

    Raises:
        ConfigError: It cannot be read, or something in it is wrong: with the key, its value and what it must be.
    """
    content = read_yaml(path).content if content is None else content
    _check(path, content)
    if quick:
        content = replace_quick(path, content)
        _check(path, content)
    return _build(path, content)


# ---- what each key must be


def _are_seeds(value: Any) -> bool:
    whole = is_list(lambda seed: isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0)
    return whole(value) and len(set(value)) == len(value)


_OWN_TASK = ("name", "model", "data", "eval_data", "gold_column", "prompt_column", "id_column", "split", "limit")
_OWN_TASK += ("system_prompt", "prompt_suffix", "max_image_pixels", "allow_image_urls")
_AXES: tuple[Check, str] = (is_mapping(is_list()), "must be a mapping: field → list of values")
_CHECKS: dict[str, tuple[Check, str]] = {
    "kind": (lambda _: False, "must be cost, or not be there"),
    "title": (is_text, "must be a line of text"),
    "question": (is_text, "must be text"),
    "tasks": (is_list(lambda task: isinstance(task, str | dict)), "must be a list of tasks' names, or of mappings"),
    "seeds": (_are_seeds, "must be a list of different whole numbers, at least 0"),
    "steps": (is_count, "must be a whole number, at least 1"),
    "evaluate_every": (is_count, "must be a whole number, at least 1"),
    "evaluate_on": (is_list(is_text), "must be a list of adapt, held_out, or tasks' names"),
    "num_problems": (is_count, "must be a whole number, at least 1"),
    "num_samples": (is_count, "must be a whole number, at least 1"),
    "fields": (is_mapping(), "must be a mapping: field → value"),
    "arms": (is_mapping(is_mapping()), "must be a mapping: name → fields"),
    "axes": _AXES,
    "vary": _AXES,
    "compare": (
        lambda value: isinstance(value, list) and all(is_list(is_text)(pair) and len(pair) == 2 for pair in value),
        "must be a list of pairs of arms: [[spine, ttrl]]",
    ),
    "sections": (
        lambda value: isinstance(value, list) and all(name in SECTIONS for name in value),
        f"must be a list of {', '.join(SECTIONS)}",
    ),
    "quick": QUICK,
}


def _check(path: Path, content: Mapping[str, Any]) -> None:
    check_keys(path, content, _CHECKS, required=("title", "tasks", "arms", "steps"))
    for pair in content.get("compare", []):
        for arm in pair:
            if arm not in content["arms"]:
                near = suggest_nearest(arm, map(str, content["arms"]))
                raise ConfigError(f"{path}: compare={pair!r}: there is no arm {arm!r}; {near}")
    both = content.get("axes", {}).keys() & content.get("vary", {}).keys()
    if both:
        raise ConfigError(f"{path}: {min(both)} stands in axes and in vary; keep one")
    if "map" in content.get("sections", []) and [*content.get("axes", {})] != ["learning_rate"]:
        raise ConfigError(f"{path}: sections has map, so axes must be learning_rate alone")


def _build(path: Path, content: Mapping[str, Any]) -> Experiment:
    tasks = tuple(_build_task(path, task) for task in content["tasks"])
    names = [task.name for task in tasks]
    if len(set(names)) < len(names):
        raise ConfigError(f"{path}: tasks={names!r}: two have one name; give them different ones")
    parts = {name: value for name, value in content.items() if name != "quick"}
    for name in ("seeds", "evaluate_on", "sections"):
        if name in parts:
            parts[name] = tuple(parts[name])
    for name in ("axes", "vary"):
        parts[name] = {str(field): tuple(values) for field, values in parts.get(name, {}).items()}
    parts["compare"] = tuple((ours, theirs) for ours, theirs in parts.get("compare", []))
    parts["arms"] = {str(arm): fields for arm, fields in content["arms"].items()}
    parts["question"] = " ".join(parts.get("question", "").split())
    return Experiment(**{**parts, "name": path.stem, "tasks": tasks})


def _build_task(path: Path, task: str | Mapping[str, Any]) -> TaskRef:
    if isinstance(task, str):
        return TaskRef(task)
    for name in task:
        if name not in _OWN_TASK:
            raise ConfigError(f"{path}: tasks: unknown key {name!r}; {suggest_nearest(str(name), _OWN_TASK)}")
    for name in ("name", "model", "data"):
        if not is_text(task.get(name)):
            raise ConfigError(f"{path}: tasks: {name}={task.get(name)!r}: must be text; your own task needs one")
    return TaskRef(task["name"], {name: value for name, value in task.items() if name != "name"})
