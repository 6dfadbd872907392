"""What is told is on the screen: lines that change in a terminal, plain ones elsewhere."""

import contextlib
import io
import os
import pty
import re
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from paths import ROOT
from spine_rl.cli.main import app
from spine_rl.cli.parse import is_silent, parse
from spine_rl.engine import live
from spine_rl.engine.live import LiveLine, format_seconds
from spine_rl.engine.progress import listening, phase, tell
from spine_rl.errors import ConfigError
from spine_rl.training.progress import LiveView

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


def run_in_terminal(*arguments):
    """A command that ends well: what it printed, and after how many seconds each piece of it."""
    main, side = pty.openpty()
    started, first, read = time.monotonic(), [], []

    def collect():
        try:
            while chunk := os.read(main, 4096):
                first.append(time.monotonic() - started)
                read.append(chunk)
        except OSError:  # closed
            pass

    process = subprocess.Popen([sys.executable, "-m", "spine_rl.cli.main", *arguments], stdout=side, stderr=side)
    os.close(side)
    reader = threading.Thread(target=collect)
    reader.start()
    assert process.wait(timeout=240) == 0
    reader.join()
    os.close(main)
    return b"".join(read).decode(), first


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": "a", "prompt": "3+4="}\n')
    return path


def test_a_command_that_loads_a_model_shows_something_at_once(data):
    """In a terminal, within five seconds on a machine that does other things, too; and the table is whole."""
    shown, first = run_in_terminal("preflight", "--model", BASE, "--data", data, "--max-completion-length", "8")
    # The lab's model is loaded too quickly to be seen.
    assert shown.index("load libraries") < shown.index("majority share")
    assert first[0] < 5


def test_disable_tqdm_silences_what_changes_and_not_what_is_logged(data, tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text(
        f"model: {BASE}\ndata: {data}\noutput_dir: {tmp_path / 'run'}\nmax_steps: 1\nnum_generations: 2\n"
        "per_device_train_batch_size: 2\nmax_completion_length: 8\nuse_cpu: on\ndisable_tqdm: on\n"
    )
    shown, _ = run_in_terminal("train", "--config", config)
    assert "\x1b[" not in shown  # a line that changes moves the cursor
    assert "load libraries" not in shown
    assert "adapt step 1/1  reward" in shown


def test_every_command_with_a_runs_file_hears_of_disable_tqdm(tmp_path):
    config = tmp_path / "run.yaml"
    with_config = (["train"], ["preflight"], ["inspect"])
    with_run = (["solve", "d", "--model=m", "--out=o"], ["transfer", "--eval-data=d", "--out=o"])
    for text, silent in (("disable-tqdm: true", True), ("disable_tqdm: off", False), ("seed: 1", False)):
        config.write_text(f"model: m\ndata: d\noutput_dir: o\n{text}\n")
        for command in with_config:
            assert is_silent(parse(app, [*command, f"--config={config}"])) is silent
            assert is_silent(parse(app, [*command, f"--config={config}", "--disable-tqdm"]))
            assert not is_silent(parse(app, [*command, f"--config={config}", "--disable-tqdm=no"]))
        for command in with_run:
            assert is_silent(parse(app, [*command, f"--run={config}"])) is silent
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        is_silent(parse(app, [*with_run[0], f"--run={tmp_path / 'none.yaml'}"]))


def test_a_step_is_a_line_wherever_no_line_that_changes_shows_it(monkeypatch):
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    logs = dict.fromkeys(("vote/reward", "vote/majority_ratio", "response_length/mean"), 0.5)
    logs |= dict.fromkeys(("entropy/all", "entropy/forks", "forks/share"), 0.5)
    state = SimpleNamespace(is_world_process_zero=True, global_step=1, max_steps=2)
    for shown, lines in ((contextlib.nullcontext(), 1), (listening(lambda *_: None), 0)):
        view = LiveView(Console(file=(out := io.StringIO())))
        with shown:
            view.on_train_begin(None, state, None)
            view.on_log(None, state, None, logs)
        assert out.getvalue().count("adapt step 1/2  reward 0.50") == lines
