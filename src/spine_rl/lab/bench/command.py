"""The modules that have rows of one kind of machine: what they are given, and one of their cases alone."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spine_rl.errors import ConfigError, SpineError
from spine_rl.lab.bench.run import Cases, run_cases
from spine_rl.lab.bench.shapes import SIZES


def run_command(
    module: str, positional: Sequence[str], tokens: Sequence[str], plan: Callable[..., tuple[Cases, dict[str, Any]]]
) -> None:
    """A module that runs cases of its own: `python -m MODULE SIZE ... OUT [--only NAME]`; ends the process.

    Args:
        module: Its name.
        positional: What it is given between size and folder.
        tokens: Its command line.
        plan: Model and positional arguments → cases, and what else is recorded.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("size", choices=SIZES)
    for name in positional:
        parser.add_argument(name)
    parser.add_argument("out", type=Path, help="new folder for bench.json")
    only = "run alone the cases that have this in their name; give it again for more"
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help=only)
    given = parser.parse_args(tokens)
    named, record = plan(SIZES[given.size], *(getattr(given, name) for name in positional))
    try:
        ran = run_cases([*choose_cases(named, given.only).values()], given.out, {"size": given.size} | record)
    except SpineError as error:
        sys.exit(str(error))
    sys.exit(not ran)


def choose_cases(named: Cases, only: Sequence[str]) -> Cases:
    """Those that have one of these texts in their name; all where there are none.

    Raises:
        ConfigError: No case has it.
    """
    for part in only:
        if not any(part in name for name in named):
            raise ConfigError(f"only={part!r}: no case has it in its name; there are: {'; '.join(named)}")
    return {name: case for name, case in named.items() if not only or any(part in name for part in only)}
