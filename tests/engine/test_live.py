"""What is told is on the screen: lines that change in a terminal, plain ones elsewhere."""

import io
import os
import pty
import re
import subprocess
import sys
import threading
import time

import pytest
from rich.console import Console

from paths import ROOT
from spine_rl.engine import live
from spine_rl.engine.live import LiveLine, format_seconds
from spine_rl.engine.progress import phase, tell

BASE = ROOT / "src" / "spine_rl" / "lab" / "bases" / "arithmetic"


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    return now


def test_elsewhere_what_took_long_is_a_line_and_what_did_not_is_none(clock):
    out = io.StringIO()
    with LiveLine(Console(file=out)):
        with phase("load libraries"):
            clock[0] += 4
        with phase("load weights"):
            clock[0] += 61
    tell("nobody listens")
    assert out.getvalue() == "load weights took 1:01\n"


def test_elsewhere_a_long_phase_is_said_to_go_on(monkeypatch):
    monkeypatch.setattr(live, "_TICK", 0.0)
    out = io.StringIO()
    with LiveLine(Console(file=out)):
        tell("generate", 0, 400, "tokens")
        tell("generate", 100, 400, "tokens")
        deadline = time.monotonic() + 10
        while not out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert re.match(r"generate 100/400 tokens  0:0\d, 0:0\d left\n", out.getvalue())


def test_in_a_terminal_all_that_goes_on_is_shown_and_then_gone(clock):
    console = Console(file=io.StringIO(), force_terminal=True, width=60)
    with LiveLine(console) as line:
        tell("adapt", 3, 60, "steps")
        with phase("vote"):
            clock[0] += 70
            tell("adapt", 4, 60, "steps  reward [b]0.5[/b]")
            page = Console(file=io.StringIO(), width=60)
            page.print(line._render())
    rows = [row.split(maxsplit=3) for row in page.file.getvalue().splitlines()]
    assert rows[0][1:3] == ["1:10,", "1:05:20"]
    assert rows[0][3].startswith("left adapt 4/60 steps  reward [b]0.5")  # as told: no markup
    assert rows[1:] == [["1:10", "vote"]]
    assert line._live is None


def test_what_is_left_shrinks_while_nothing_more_is_done(clock):
    with LiveLine(Console(file=io.StringIO())) as line:
        tell("samples", 0, 192, "responses")
        clock[0] += 120
        tell("samples", 64, 192, "responses")
        clock[0] += 60
        tell("samples", 64, 192, "responses")
        phase = line._phases["samples"]
        assert phase.describe_time(clock[0]) == "3:00, 3:00 left"
        assert phase.describe_time(clock[0] + 300) == "8:00, 0:00 left"


def test_times_are_read_at_a_glance():
    assert [*map(format_seconds, (6.6, 750, 11_100))] == ["0:07", "12:30", "3:05:00"]


def test_a_command_that_loads_a_model_shows_something_at_once(tmp_path):
    """In a terminal, within five seconds on a machine that does other things, too; and the table is whole."""
    data = tmp_path / "p.jsonl"
    data.write_text('{"id": "a", "prompt": "3+4="}\n')
    main, side = pty.openpty()
    command = [sys.executable, "-m", "spine_rl.cli.main", "preflight", "--model", str(BASE), "--data", str(data)]
    started, first, read = time.monotonic(), [], []

    def collect():
        try:
            while chunk := os.read(main, 4096):
                first.append(time.monotonic() - started)
                read.append(chunk)
        except OSError:  # closed
            pass

    process = subprocess.Popen([*command, "--max-completion-length", "8"], stdout=side, stderr=side)
    os.close(side)
    reader = threading.Thread(target=collect)
    reader.start()
    assert process.wait(timeout=240) == 0
    reader.join()
    os.close(main)
    shown = b"".join(read).decode()
    # The lab's model is loaded too quickly to be seen.
    assert shown.index("load libraries") < shown.index("majority share")
    assert first[0] < 5
