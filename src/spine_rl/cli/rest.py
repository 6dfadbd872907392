"""Options that a command hands on undeclared, as the fields of the configuration that has them."""

import dataclasses
from typing import Any

from spine_rl.cli.parse import Given
from spine_rl.training.trl_fields import read_texts, read_value


def select_fields(values: dict[str, Any], config: type) -> dict[str, Any]:
    """Those that are fields of a dataclass."""
    names = {field.name for field in dataclasses.fields(config)}
    return {name: value for name, value in values.items() if name in names}


def read_rest(given: Given, config: type) -> dict[str, Any]:
    """What was given and not declared, of a configuration of TRL's or ours; the file's values have a place.

    Raises:
        ConfigError: A value is of another type than its field.
    """
    return {
        name: read_value(config, name, value, given.where[name])
        if name in given.where
        else read_texts(config, name, value)
        for name, value in select_fields(given.rest, config).items()
    }
