"""Keeps the libraries' own progress bars and notices out of the commands' output; a warning is one line."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

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
