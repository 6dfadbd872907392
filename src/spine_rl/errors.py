"""What SPINE raises for a user's mistake; every message says what is wrong, where, and what to do.

- SpineError
    - ConfigError (also a ValueError): a field, preset or combination of options that cannot work
    - DataError (also a ValueError): problems or gold answers that cannot be read
    - HubError (also a ConnectionError): a hub that cannot be pushed to
    - ModelError (also a ValueError): a model or tokenizer that cannot be loaded or used
    - RunFolderError (also a FileExistsError): an output folder that must not be touched
    - UpdateMemoryError (also a MemoryError): an update of a single response that does not fit into memory
- Stopped: no error; the process was told to end
"""

import difflib
import signal
from collections.abc import Iterable


class SpineError(Exception):
    """Base of every error that SPINE raises on purpose."""


class ConfigError(SpineError, ValueError):
    """A field, preset or combination of options that cannot work."""


class DataError(SpineError, ValueError):
    """Problems or gold answers that cannot be read."""


class HubError(SpineError, ConnectionError):
    """A hub that cannot be pushed to."""


class ModelError(SpineError, ValueError):
    """A model or tokenizer that cannot be loaded or used."""


class RunFolderError(SpineError, FileExistsError):
    """An output folder that must not be touched."""


class UpdateMemoryError(SpineError, MemoryError):
    """An update of a single response that does not fit into memory."""


class Stopped(BaseException):
    """The process was told to end. No `Exception`, so that nobody takes it for a failure.

    Attributes:
        signal: `SIGINT` or `SIGTERM`.
        kept: What is kept, where the one who was stopped knows.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.signal = number
        self.kept: str | None = None


def escape_controls(text: str) -> str:
    """Text for a terminal, on one line: what it would obey, or not show, is written as an escape."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def show_setting(value: object) -> str:
    """A setting's value in a message about settings that differ."""
    return "not given" if value is None else repr(value)


def suggest_nearest(name: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """`did you mean 'x'?`, or where no name is near what is said otherwise, by default the list of known names."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    if otherwise is not None:
        return otherwise
    if not known:
        return "there are none"
    return "known: " + ", ".join(known) if len(known) <= 20 else "nothing known has a similar name"


def shorten(error: BaseException, most: int = 300) -> str:
    """An error's message, or without one its name, as a part of one line, cut after `most` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[:most]}…"
