"""Keeps the libraries' own progress bars and notices out of the commands' output; a warning is one line."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spine_rl.engine.progress import phase


@contextmanager
def loading_libraries() -> Iterator[None]:
    """For the imports of a command that needs torch: they take seconds, which is shown, and the libraries are quiet."""
    with phase("load libraries"):
        quiet_libraries()
        yield


def quiet_libraries() -> None:
    import datasets
    import transformers

    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"


@contextmanager
def redirecting_output(path: Path) -> Iterator[None]:
    """What this process prints, libraries' native code included, goes to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [os.dup(1), os.dup(2)]
    with path.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for target, source in enumerate(kept, start=1):
                os.dup2(source, target)
                os.close(source)
