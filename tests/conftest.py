"""No test reaches the network, and none uses more threads than a laptop has."""

import os
import shutil
import subprocess
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


@pytest.fixture
def browse(tmp_path):
    """Opens a page in headless Chromium: the document after its scripts ran; fails if the browser complains of it."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += [f"--user-data-dir={tmp_path / 'browser'}", "--enable-logging=stderr", "--v=0", "--dump-dom"]

    def browse(page):
        path = tmp_path / "page.html"
        path.write_text(page, encoding="utf-8")
        result = subprocess.run([browser, *flags, path.as_uri()], capture_output=True, text=True, timeout=240)
        assert "CONSOLE" not in result.stderr, result.stderr
        return result.stdout

    return browse
