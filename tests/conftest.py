"""No test reaches the network, and none uses more threads than a laptop has."""

import os
import sys

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


@pytest.fixture
def spine(monkeypatch, capsys):
    """Runs the command in this process: exit status and what it printed."""

    from spine_rl.cli.main import main

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["spine", *map(str, arguments)])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code or 0
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run
