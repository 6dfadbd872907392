"""An option is a dataclass's field, declared once: its default, its meaning, and the values it may take.

Help, checks and docs all come from the declaration: `option(8, "Responses per problem.", at_least=2)` has the help
"Responses per problem. At least 2.", and `check_options` refuses 1 and nan with that reason.
"""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any

from spine_rl.errors import ConfigError, suggest_nearest

MAX_SEED = 2**32 - 1  # what numpy's generators take
MODEL = "Model folder, adapter folder, .gguf file or hub id."  # of every command that takes one
_TRUE, _FALSE = ("true", "yes", "on", "1", "t", "y"), ("false", "no", "off", "0", "f", "n")  # pydantic's, argparse's


@dataclass(frozen=True)
class Bound:
    """The values that an option may take; a number must be finite in any case.

    Attributes:
        at_least: The smallest number.
        above: Numbers must be larger than this.
        at_most: The largest number.
        below: Numbers must be smaller than this.
        choices: The texts there are; a registry's stay open.
        unless: A value that is taken although it is out of bounds, and means something of its own.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: Collection[str] | None = None
    unless: Any = None

    def describe(self) -> str:
        """`at least 1`, `in (0, 1]`, `one of spine, ttrl`; empty where any finite value will do."""
        if self.choices is not None:
            return "one of " + ", ".join(self.choices)
        low = self.at_least if self.above is None else self.above
        high = self.at_most if self.below is None else self.below
        if low is not None and high is not None:
            opening, closing = "[" if self.above is None else "(", "]" if self.below is None else ")"
            return f"in {opening}{low:,}, {high:,}{closing}"
        if low is not None:
            return f"at least {low:,}" if self.above is None else f"above {low:,}"
        if high is not None:
            return f"at most {high:,}" if self.below is None else f"below {high:,}"
        return ""

    def describe_all(self) -> str:
        """The bound in words, with the value that is taken all the same."""
        said = self.describe()
        return said + (f", or {self.unless}" if said and self.unless is not None else "")

    def find_fault(self, value: Any) -> str | None:
        """What is wrong with a value, or None; the items of a list are looked at one by one."""
        if isinstance(value, list | tuple):
            return next((fault for item in value if (fault := self.find_fault(item)) is not None), None)
        if self.unless is not None and value == self.unless:
            return None
        if self.choices is not None:
            if value in self.choices:
                return None
            near = suggest_nearest(str(value), self.choices, otherwise="")
            return f"must be {self.describe()}" + (f"; {near}" if near else "")
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if isinstance(value, float) and not math.isfinite(value):
            return f"must be a finite number{', ' + self.describe() if self.describe() else ''}"
        return None if self._holds(value) else f"must be {self.describe_all()}"

    def _holds(self, value: float) -> bool:
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )


_FINITE = Bound()


class Help(str):
    """An option's help, which knows its bound: a dataclass's metadata has `help` alone, as other parsers want it."""

    bound: Bound

    def __new__(cls, text: str, bound: Bound):
        said = bound.describe_all()
        made = super().__new__(cls, f"{text} {said[0].upper()}{said[1:]}." if said else text)
        made.bound = bound
        return made


def get_bound(entry: Field) -> Bound:
    """A field's bound; any finite number where it was declared without."""
    return getattr(entry.metadata.get("help"), "bound", _FINITE)


def option(
    default: Any = MISSING, help: str = "", *, factory: Any = MISSING, kw_only: bool | None = None, **bound: Any
) -> Any:
    """A dataclass's field.

    Args:
        default: Its value where none is given; without one it must be given.
        help: What it is, in one sentence with a full stop; the bound is added.
        factory: Makes the default, where that is mutable.
        kw_only: Whether it is given by name alone; as the class says by default.
        bound: Arguments of `Bound`.
    """
    metadata = {"help": Help(help, Bound(**bound))}
    by_name: Any = MISSING if kw_only is None else kw_only
    if factory is not MISSING:
        return field(default_factory=factory, metadata=metadata, kw_only=by_name)
    return field(default=default, metadata=metadata, kw_only=by_name)


def check_options(options: Any, where: Mapping[str, str] | None = None) -> None:
    """Checks a dataclass's values; None is "not given", and numbers of fields without a bound must be finite too.

    Args:
        options: The instance.
        where: Where a value was given, by name, for the message.

    Raises:
        ConfigError: `run.yaml, line 3: temperature=-1: must be above 0`.
    """
    for entry in fields(options):
        check_option(entry.name, getattr(options, entry.name), get_bound(entry), (where or {}).get(entry.name))


def read_mapping(name: str, text: str | None) -> dict[str, Any] | None:
    """The value of an option that is a mapping, given as JSON; None was not given.

    Raises:
        ConfigError: It is none.
    """
    try:
        value = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if value is not None and not isinstance(value, dict):
        raise ConfigError(f"{name}={text!r}: must be a mapping, as text in JSON")
    return value


def read_truth(text: str) -> bool | None:
    """What a word says for a switch, in any case of its letters; None where it says nothing."""
    word = text.lower()
    return True if word in _TRUE else False if word in _FALSE else None


def check_option(name: str, value: Any, bound: Bound, where: str | None = None) -> None:
    """Checks one value.

    Raises:
        ConfigError: It is out of its bound.
    """
    fault = None if value is None else bound.find_fault(value)
    if fault is not None:
        raise ConfigError(f"{where + ': ' if where else ''}{name}={value!r}: {fault}")
