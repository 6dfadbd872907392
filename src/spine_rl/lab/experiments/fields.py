"""Settings of a run in an experiment's file: fields of `SpineConfig`, checked before anything is run."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from spine_rl.errors import ConfigError, suggest_nearest
from spine_rl.presets import get_preset
from spine_rl.training import SpineConfig
from spine_rl.training.trl_fields import read_value, to_json

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
_DEFAULTS = {
    name: entry.default
    for name, entry in SpineConfig.__dataclass_fields__.items()
    if entry.default is not dataclasses.MISSING
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
    fields = {name: value for name, value in {**defaults, **given}.items() if value is not None}
    try:
        values = {name: read_value(SpineConfig, name, value) for name, value in fields.items()}
        config = SpineConfig(output_dir="unused", **values)
    except (ValueError, TypeError, ImportError) as error:
        raise ConfigError(f"{where}: {' '.join(str(error).split())}") from None
    return {name: to_json(getattr(config, name)) for name in given}


def get_value(fields: Mapping[str, Any], name: str) -> Any:
    """What a field is in a run of these fields: given, by its preset, or its default; None of an unknown field."""
    preset = get_preset(fields.get("preset", _DEFAULTS["preset"]))
    return {**_DEFAULTS, **preset, **fields}.get(name)
