"""Settings of a run in an experiment's file: fields of `SpineConfig`, checked before anything is run."""

import dataclasses
import functools
import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, NoReturn

from transformers import HfArgumentParser

from spine_rl.errors import ConfigError, suggest_nearest
from spine_rl.presets import get_preset
from spine_rl.training import SpineConfig

# What the engine itself decides, and where the file says so.
_DECIDED = {
    "max_steps": "give `steps`",
    "num_train_epochs": "give `steps`",
    "seed": "give `seeds`",
    "data_seed": "give `seeds`",
    "output_dir": "a cell keeps figures, no model",
    "resume_from_checkpoint": "cells are run whole",
    "save_strategy": "a cell keeps figures, no model",
    "logging_steps": "every step is logged",
    "keep_best": "the results say which step it would have kept",
    "sample_steps": "cells keep histograms, no samples",
    "report_to": "an experiment has its own tables",
}
_FIXED: dict[str, Any] = {
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "logging_steps": 1,
    "sample_steps": 0,
}


def resolve_fields(given: Mapping[str, Any], defaults: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The given fields, as the types they are declared with.

    Args:
        given: Fields of one cell, by name.
        defaults: Of its task, for the checks that read several fields.
        where: Where they stand, for messages.

    Raises:
        ConfigError: An unknown field, one that the engine decides, or a value that `SpineConfig` refuses.
    """
    for name in given:
        if name in _DECIDED:
            raise ConfigError(f"{where}: field {name!r} is not for an experiment to set: {_DECIDED[name]}")
        if name not in SpineConfig.__dataclass_fields__:
            near = suggest_nearest(name, SpineConfig.__dataclass_fields__)
            raise ConfigError(f"{where}: unknown field {name!r} of the training configuration; {near}")
    if given.get("on_collapse", "warn") not in ("warn", "retry"):
        raise ConfigError(f"{where}: on_collapse={given['on_collapse']!r}: cells run to their end; give warn or retry")
    try:
        config = _parse({**defaults, **given})
    except (ValueError, TypeError, ImportError) as error:
        raise ConfigError(f"{where}: {' '.join(str(error).split())}") from None
    return {name: _to_json(getattr(config, name)) for name in given}


def get_value(fields: Mapping[str, Any], name: str) -> Any:
    """What a field is in a run of these fields: given, by its preset, or as it is where nobody sets it."""
    if name in fields:
        return fields[name]
    preset = get_preset(fields.get("preset", _get_default("preset")))
    return preset[name] if name in preset else _get_default(name)


def _get_default(name: str) -> Any:
    """None of an unknown field."""
    entry = SpineConfig.__dataclass_fields__.get(name)
    return None if entry is None or entry.default is dataclasses.MISSING else entry.default


def build_config(fields: Mapping[str, Any], *, steps: int, seed: int, folder: str) -> SpineConfig:
    """The configuration of one cell's run; nothing is saved in `folder`."""
    return SpineConfig(output_dir=folder, max_steps=steps, seed=seed, **{**_FIXED, **fields})


class _Parser(HfArgumentParser):
    def error(self, message: str) -> NoReturn:
        found = re.fullmatch(r"argument --(\w+)\S*: (.*)", message, re.DOTALL)
        raise ConfigError(f"{found[1]}: {found[2]}" if found else message)


@functools.cache
def _parser() -> _Parser:
    return _Parser([SpineConfig], allow_abbrev=False, add_help=False)  # pyright: ignore[reportArgumentType]


def _parse(fields: Mapping[str, Any]) -> SpineConfig:
    tokens = [token for name, value in fields.items() for token in _to_tokens(name, value)]
    (config,) = _parser().parse_args_into_dataclasses(["--output_dir=unused", *tokens], look_for_args_file=False)
    return config


def _to_tokens(name: str, value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, dict):
        return [f"--{name}", json.dumps(value)]
    if isinstance(value, list):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}={value}"]


def _to_json(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
