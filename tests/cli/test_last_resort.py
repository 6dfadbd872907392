"""How commands end: one line, an exit status, and no traceback on the screen."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spine_rl.cli import last_resort
from spine_rl.cli.last_resort import advise, run_reported
from spine_rl.errors import DataError, Stopped

ROWS = '{"id": "a", "completion": "\\\\boxed{1}"}\n'


def end(capsys, error):
    def command():
        raise error

    with pytest.raises(SystemExit) as stop:
        run_reported(command)
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    return stop.value.code, printed


def test_a_mistake_is_one_line(capsys):
    assert end(capsys, DataError("rows.jsonl: mend it")) == (2, "spine: rows.jsonl: mend it\n")


def test_what_a_terminal_would_obey_is_written_as_an_escape(capsys):
    status, line = end(capsys, DataError("no column 'é\x1b[31m\x9b1m\x07\u202e\nb'; 选 one"))
    assert (status, line) == (2, "spine: no column 'é\\x1b[31m\\x9b1m\\x07\\u202e\\nb'; 选 one\n")


def test_a_full_disk_is_named(capsys):
    status, line = end(capsys, OSError(28, "No space left on device", "out/report.json"))
    assert status == 2
    assert line.startswith("spine: out/report.json: No space left on device; what was whole is untouched")


@pytest.mark.parametrize("error", [KeyError("secret"), RecursionError("deep\nand deeper"), AssertionError()])
def test_a_defect_is_one_line_and_its_traceback_a_file(capsys, error):
    status, line = end(capsys, error)
    assert status == 2
    assert line.startswith(f"spine: a defect of spine, {type(error).__name__}: ")
    path = Path(re.search(r"its traceback is in (\S+)\)", line)[1])
    assert "Traceback (most recent call last)" in path.read_text()
    path.unlink()


def test_no_memory_says_what_to_lower(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(last_resort.tempfile, "tempdir", str(tmp_path))
    assert end(capsys, MemoryError())[1].startswith("spine: out of memory; lower the batch size")


@pytest.mark.parametrize(("number", "status", "how"), [(2, 130, "interrupted"), (15, 143, "ended by SIGTERM")])
def test_a_signal_says_how_to_go_on(capsys, monkeypatch, number, status, how):
    monkeypatch.setattr(sys, "argv", ["spine", "experiment", "a b.yaml", "--overwrite"])

    def command():
        os.kill(os.getpid(), number)
        time.sleep(10)

    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    with pytest.raises(SystemExit) as stop:
        run_reported(command)
    after = [signal.signal(each, handler) for each, handler in handlers.items()]
    assert stop.value.code == status
    printed = capsys.readouterr().err
    assert printed == f"spine: {how}; what is finished is kept; go on with: spine experiment 'a b.yaml'\n"
    assert after == [signal.SIG_DFL] * 2  # a second one ends the process


def test_signals_are_handed_back_where_none_came():
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    run_reported(lambda: None)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers


COMMAND = """
import hashlib
from spine_rl.cli.last_resort import run_reported
def command():
    try:
        print("begun", flush=True)
        time.sleep(100)
    finally:
        print("ending after this step", flush=True)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # within C, as a backward pass is
run_reported(command)
"""
RUN = """
import hashlib
from types import SimpleNamespace
from spine_rl.training.stopping import StopOnSignal
stop = StopOnSignal(SimpleNamespace(accelerator=SimpleNamespace(num_processes=PROCESSES)))
with stop.listening():
    print("begun", flush=True)
    while not stop.heard:
        time.sleep(0.01)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**20 if PROCESSES > 1 else 2**31 - 1)
print("saved", flush=True)
"""


@pytest.mark.parametrize(("script", "processes"), [(COMMAND, 1), (RUN, 1), (RUN, 2)])
@pytest.mark.parametrize(("first", "second"), [(signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGINT)])
def test_a_second_signal_ends_at_once_whatever_python_waits_for(script, processes, first, second):
    code = f"import time\nPROCESSES = {processes}\n{script}"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(first)
        assert "ending after this step" in process.stdout.readline()
        time.sleep(0.3)
        process.send_signal(second)
        status = process.wait(timeout=100)
        assert (status, process.stdout.read()) == ((0, "saved\n") if processes > 1 else (-second, ""))
    finally:
        process.kill()


def test_advice_by_command():
    assert "nothing is kept; with --out FOLDER" in advise(["eval", "--data", "x"])
    assert advise(["eval", "--out=e"]).endswith("go on with: spine eval --out=e")
    assert advise(["vote", "-"]) == "nothing is kept; to begin again: spine vote -"


def test_a_stopped_run_says_what_is_kept_and_how_its_command_goes_on(capsys, monkeypatch):
    stop = Stopped(signal.SIGINT)
    stop.kept = "all is kept"
    for command, again in (("train --overwrite", "train --resume"), ("transfer", "transfer"), ("solve", "solve")):
        monkeypatch.setattr(sys, "argv", ["spine", *command.split()])
        assert end(capsys, stop) == (130, f"spine: interrupted; all is kept; go on with: spine {again}\n")


def run(command, **options):
    script = Path(sys.executable).with_name("spine")
    return subprocess.run(f"{script} {command}", shell=True, capture_output=True, text=True, **options)


@pytest.mark.parametrize(
    ("command", "status", "line"),
    [
        ("vote rows.jsonl >&-", 2, "spine: standard output is closed, and the labels would be lost; give --out FILE"),
        ("vote rows.jsonl --out out.jsonl >&-", 0, None),
        ("vote rows.jsonl 2>&-", 0, None),
        ("vote rows.jsonl > /dev/full", 2, "spine: standard output: No space left on device"),
        ("data list | head -1", 0, None),
    ],
)
def test_streams_that_are_closed_or_full(tmp_path, command, status, line):
    (tmp_path / "rows.jsonl").write_text(ROWS)
    done = run(command, cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    if line is not None:
        assert line in done.stderr


def test_a_terminal_that_knows_ascii_alone(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"id": "ä\\ud83d", "completion": "\\\\boxed{1}"}\n')
    (tmp_path / "gold.jsonl").write_text('{"id": "b", "answer": "1"}\n')
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for command in ("data list", "grade --help", "grade rows.jsonl --gold gold.jsonl"):
        done = run(command, cwd=tmp_path, env=environment)
        assert "Traceback" not in done.stderr
        assert done.returncode == (2 if "rows" in command else 0), done.stderr
