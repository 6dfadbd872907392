"""What files of experiments have in common: the quick form, and checks that name key, value and rule."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from spine_rl.errors import ConfigError, suggest_nearest

Check = Callable[[Any], bool]


def replace_quick(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """The quick form of a file whose content has been checked: `quick` replaces keys; `arms` may be a list of names.

    Raises:
        ConfigError: There is no quick form, or it names an arm that is not there.
    """
    quick = dict(content.get("quick", {}))
    if not quick:
        raise ConfigError(f"{path}: it has no quick form; add a mapping `quick`, or run it without --quick")
    arms, pairs = content["arms"], content.get("compare", [])
    if isinstance(quick.get("arms"), list):
        unknown = [name for name in quick["arms"] if name not in arms]
        if unknown:
            near = suggest_nearest(str(unknown[0]), map(str, arms))
            raise ConfigError(f"{path}: quick.arms: unknown arm {unknown[0]!r}; {near}")
        quick["arms"] = {name: arms[name] for name in quick["arms"]}
        pairs = [pair for pair in pairs if all(arm in quick["arms"] for arm in pair)]
    kept = {name: value for name, value in content.items() if name not in ("quick", "compare")}
    return {**kept, **({"compare": pairs} if pairs else {}), **quick}


def check_keys(
    path: Path, content: Mapping[str, Any], checks: Mapping[str, tuple[Check, str]], required: tuple[str, ...]
) -> None:
    """Raises ConfigError for an unknown key, a value that is not as its check says, or a key that is missing."""
    for name, value in content.items():
        if name not in checks:
            raise ConfigError(f"{path}: unknown key {name!r}; {suggest_nearest(name, checks)}")
        is_valid, requirement = checks[name]
        if not is_valid(value):
            raise ConfigError(f"{path}: {name}={value!r}: {requirement}")
    missing = [name for name in required if name not in content]
    if missing:
        raise ConfigError(f"{path}: {missing[0]} is missing; it {checks[missing[0]][1]}")


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def is_list(of: Check = lambda _: True) -> Check:
    """Not empty."""
    return lambda value: isinstance(value, list) and bool(value) and all(map(of, value))


def is_mapping(of: Check = lambda _: True) -> Check:
    return lambda value: isinstance(value, dict) and all(map(of, value.values()))


QUICK: tuple[Check, str] = (is_mapping(), "must be a mapping of what the quick form replaces")
