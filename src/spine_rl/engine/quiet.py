"""Keeps the libraries' own progress bars and notices out of the commands' output; a warning is one line."""

import warnings

import datasets
import transformers


def quiet_libraries() -> None:
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
