"""The options of a run that only TRL declares: their names without importing it, their values once it is there."""

import ast
import dataclasses
import functools
from argparse import ArgumentTypeError
from collections.abc import Iterator, Mapping
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spine_rl.errors import ConfigError
from spine_rl.training.options import MethodOptions, TrainingOptions

# Where the classes are declared; importing them takes seconds, reading them does not.
_SOURCES = (
    ("transformers", "training_args.py", "TrainingArguments"),
    ("trl", "trainer/base_config.py", "_BaseConfig"),
    ("trl", "trainer/grpo_config.py", "GRPOConfig"),
    ("trl", "trainer/model_config.py", "ModelConfig"),
)


@functools.cache
def list_trl_fields() -> set[str]:
    """Names of all fields of `trl.GRPOConfig` and `trl.ModelConfig`, from their source."""
    return {name for source in _SOURCES for name in _read_fields(*source)}


def list_training_fields() -> set[str]:
    """Names of the options that `SpineConfig` takes and that are declared here."""
    return {entry.name for group in (MethodOptions, TrainingOptions) for entry in dataclasses.fields(group)}


def convert(rest: Mapping[str, Any], where: Mapping[str, str]) -> dict[str, Any]:
    """Values as the types that TRL declares.

    Args:
        rest: By name: the texts of a command line, none for a bare flag, or a value of a YAML file.
        where: Where those of the file stand.

    Raises:
        ConfigError: A value is not of the type.
    """
    actions = _list_actions()
    return {name: _convert_one(actions[name], name, value, where.get(name)) for name, value in rest.items()}


def to_json(value: Any) -> Any:
    """A value as a run's file keeps it."""
    return value.value if isinstance(value, Enum) else value


def _read_fields(package: str, file: str, name: str) -> Iterator[str]:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse((Path(spec.origin).parent / file).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    yield line.target.id


@functools.cache
def _list_actions() -> dict[str, Any]:
    from transformers import HfArgumentParser
    from trl import GRPOConfig, ModelConfig

    groups: Any = (GRPOConfig, ModelConfig)
    parser = HfArgumentParser(groups, add_help=False)
    return {action.dest: action for action in reversed(parser._actions)}  # the first of a name, not its negative


def _convert_one(action: Any, name: str, value: Any, where: str | None) -> Any:
    from transformers.hf_argparser import string_to_bool

    prefix = f"{where}: " if where else ""
    if isinstance(value, dict):
        return value
    texts = [str(item) for item in value] if isinstance(value, list) else [str(value)]
    if not texts and action.type is string_to_bool:
        return True
    if not texts and action.nargs == "?":
        return action.const
    if not texts:
        raise ConfigError(f"{prefix}--{name} needs a value")
    try:
        values = [text if action.type is None else action.type(text) for text in texts]
    except (ValueError, TypeError, ArgumentTypeError):
        kind = {int: "a whole number", float: "a number"}.get(action.type, "another value")
        raise ConfigError(f"{prefix}{name}={' '.join(texts)!r}: must be {kind}") from None
    if action.choices is not None and any(item not in action.choices for item in values):
        choices = ", ".join(str(to_json(choice)) for choice in action.choices)
        raise ConfigError(f"{prefix}{name}={' '.join(texts)!r}: must be one of {choices}")
    if action.nargs == "+":
        return values
    if len(values) > 1 and name != "report_to":
        raise ConfigError(f"{prefix}{name}={' '.join(texts)!r}: must be one value")
    return values[0] if len(values) == 1 else values
