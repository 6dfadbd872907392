"""How far long work is: who does it tells, who shows it listens. With no listener, telling costs one comparison.

with listening(show):                                # a command, a trainer's view, a test
    tell("generate", 120, 512, "tokens")             # whoever works, as often as it likes
    with phase("load weights"): ...                  # of unknown length
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

# phase, done, total, unit. A total of 0 is not known. The phase is over when `done` reaches a total above 0.
Listener = Callable[[str, int, int, str], None]

_listener: Listener | None = None


def tell(phase: str, done: int = 0, total: int = 0, unit: str = "") -> None:
    """Says how far a phase is; the first call begins it, `done >= total > 0` ends it.

    Args:
        phase: Its name, in a word or two, as a user reads it.
        done: How much of it.
        total: Of how much; 0 is not known.
        unit: What is counted: tokens, responses.
    """
    if _listener is not None:
        _listener(phase, done, total, unit)


def is_heard() -> bool:
    """Whether what is told is shown, or goes nowhere."""
    return _listener is not None


@contextmanager
def phase(name: str) -> Iterator[None]:
    """A phase that lasts as long as the block."""
    tell(name)
    try:
        yield
    finally:
        tell(name, 1, 1)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Within it, whatever is told goes to `listener`, which must not raise, and to no earlier one."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before
