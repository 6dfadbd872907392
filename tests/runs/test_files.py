"""Whole files, the lock of a folder, and what may be written."""

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from spine_rl.errors import RunFolderError
from spine_rl.runs.checkpoints import publish
from spine_rl.runs.folder_lock import LOCK_FILE, holds_nothing, owning
from spine_rl.runs.kinds import PAGE, folder_kind, json_kind, rows_kind
from spine_rl.runs.manifest import find_damage
from spine_rl.runs.may_write import Output, check_may_write, remove_own
from spine_rl.runs.run_folder import move_model
from spine_rl.runs.whole_file import open_whole, write_whole, writing_aside

REPORT = json_kind("a report", "score")
ROWS = rows_kind("rows", "id", "score")
FOLDER = folder_kind("an evaluation", "settings.json", ("rows.jsonl", "checkpoint-*"))


def list_names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_half(path, error):
    def begin():
        with open_whole(path) as file:
            file.write("half")
            raise error

    with pytest.raises(error):
        begin()


# ---- whole files


def test_a_file_that_is_not_finished_changes_nothing(tmp_path):
    path = tmp_path / "a" / "rows.jsonl"
    write_half(path, RuntimeError)
    assert list_names(path.parent) == []
    write_whole(path, "first\n")
    write_half(path, RuntimeError)
    assert path.read_text() == "first\n"
    assert list_names(path.parent) == ["rows.jsonl"]


def test_a_full_disk_names_the_file_and_changes_nothing(tmp_path):
    path = tmp_path / "report.json"
    write_whole(path, "first\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"report\.json") as caught:
            write_whole(path, "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(path)
    assert path.read_text() == "first\n"
    assert list_names(tmp_path) == ["report.json"]


def test_a_link_is_followed_and_rights_are_kept(tmp_path):
    (tmp_path / "real").write_text("first")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_whole(tmp_path / "link", "second")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "second"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640


def test_what_a_dead_process_left_is_removed_and_a_living_ones_is_not(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    here = platform.node()
    lefts = [f".tmp-{owner}@a[1].json" for owner in (f"{dead.pid}@{here}", f"{os.getppid()}@{here}")]
    elsewhere = f".tmp-{dead.pid}@not-{here}@a[1].json"  # on a shared disk: that host alone knows its processes
    for name in (*lefts, elsewhere):
        (tmp_path / name).write_text("half")
    write_whole(tmp_path / "a[1].json", "whole")
    assert list_names(tmp_path) == sorted([lefts[1], elsewhere, "a[1].json"])


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127 + "b"])
def test_a_name_as_long_as_the_system_takes_is_written_and_what_is_left_of_it_removed(tmp_path, monkeypatch, name):
    monkeypatch.setattr("spine_rl.runs.whole_file.platform.node", lambda: "h" * 64)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    other = f"{name[:-1]}c"  # as long, and alike but for its end
    for each in (name, other):
        with writing_aside(tmp_path / each) as aside:
            aside.write_text("whole")
            shutil.copy(aside, aside.with_name(aside.name.replace(str(os.getpid()), str(dead.pid))))
    write_whole(tmp_path / name, "again")
    lefts = [each for each in list_names(tmp_path) if each.startswith(".tmp-")]
    assert len(lefts) == 1  # the other's
    write_whole(tmp_path / other, "again")
    assert list_names(tmp_path) == sorted([name, other])
    assert (tmp_path / name).read_text() == "again"


def test_a_checkpoint_that_is_replaced_goes_once_the_new_one_has_its_name(tmp_path, monkeypatch):
    """A process that is killed meanwhile leaves the one or the other, whole."""
    for name, text in (("new", "new"), ("checkpoint-1", "old")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text(text)
    there = []
    monkeypatch.setattr("spine_rl.runs.checkpoints.shutil.rmtree", lambda path, **_: there.append(path))
    renamed = []

    def replace(source, target, real=os.replace):
        renamed.append((Path(source).name, Path(target).name, len(there)))
        real(source, target)

    monkeypatch.setattr("spine_rl.runs.checkpoints.os.replace", replace)
    publish(tmp_path / "new", tmp_path / "checkpoint-1")
    aside = f".tmp-checkpoint-1-{os.getpid()}"
    assert renamed[-2:] == [("checkpoint-1", aside, 1), ("new", "checkpoint-1", 1)]  # nothing that takes long
    assert [path.name for path in there] == [aside, aside]
    assert (tmp_path / "checkpoint-1" / "weights").read_text() == "new"


def test_two_that_write_one_file_do_not_both_win(tmp_path):
    path = tmp_path / "rows.jsonl"
    writing = open_whole(path, replace=False)
    writing.__enter__().write("second")
    path.write_text("first")
    with pytest.raises(RunFolderError, match="has come up in the meantime"):
        writing.__exit__(None, None, None)
    assert path.read_text() == "first"
    assert list_names(tmp_path) == ["rows.jsonl"]


def test_a_pipe_is_written_as_it_is(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    heard = []
    thread = threading.Thread(target=lambda: heard.append((tmp_path / "pipe").read_text()))
    thread.start()
    with writing_aside(tmp_path / "pipe") as path:
        path.write_text("all")
    thread.join()
    assert heard == ["all"]


# ---- one owner

_HOLD = """
import sys, time
from pathlib import Path
from spine_rl.runs.folder_lock import owning
with owning(Path(sys.argv[1])):
    print("owned", flush=True)
    time.sleep(60)
"""


def test_a_folder_has_one_owner_and_a_killed_one_leaves_it(tmp_path):
    folder = tmp_path / "run"
    other = subprocess.Popen([sys.executable, "-c", _HOLD, folder], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "owned\n"
    with pytest.raises(RunFolderError, match=f"in use by process {other.pid} on .*{LOCK_FILE}"), owning(folder):
        pass
    other.kill()
    other.wait()
    with owning(folder):
        assert holds_nothing(folder)


def test_a_folder_that_is_gone_at_the_end_hides_no_error(tmp_path):
    folder = tmp_path / "new"

    def fail():
        with owning(folder):
            shutil.rmtree(folder)
            raise KeyError("the command's own")

    with pytest.raises(KeyError):
        fail()
    with owning(folder):
        assert folder.is_dir()


def test_an_empty_folder_that_was_made_goes_again_and_others_stay(tmp_path):
    with owning(tmp_path / "new"):
        pass
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    with owning(tmp_path / "old"):
        pass
    assert (tmp_path / "old").is_dir()
    with owning(tmp_path / "used"):
        (tmp_path / "used" / "result").touch()
    assert list_names(tmp_path / "used") == [LOCK_FILE, "result"]


# ---- what may be written


def refuse(message, path, kind, *, overwrite=True, reads=(), **options):
    before = {each: each.read_bytes() for each in path.parent.rglob("*") if each.is_file()}
    with pytest.raises(RunFolderError, match=message):
        check_may_write([Output(path, kind, **options)], overwrite=overwrite, reads=reads)
    assert {each: each.read_bytes() for each in path.parent.rglob("*") if each.is_file()} == before


def test_what_is_read_is_never_written_whatever_its_name(tmp_path):
    data = tmp_path / "data.json"
    data.write_text('{"score": 1}')
    (tmp_path / "symlink").symlink_to(data)
    (tmp_path / "hard").hardlink_to(data)
    for name in ("data.json", "symlink", "hard", "../" + tmp_path.name + "/data.json"):
        for read in (data, str(data), f"math500={data}"):
            refuse("is what is read, and would be lost", tmp_path / name, REPORT, reads=[read])


def test_standard_input_is_read_too(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "a", "score": 1}\n')
    code = (
        "import sys; from pathlib import Path; from spine_rl.runs.may_write import Output, check_may_write\n"
        "from spine_rl.runs.kinds import rows_kind\n"
        "check_may_write([Output(Path(sys.argv[1]), rows_kind('rows', 'id'))], overwrite=True, reads=['-'])"
    )
    with rows.open() as stdin:
        done = subprocess.run([sys.executable, "-c", code, rows], stdin=stdin, capture_output=True, text=True)
    assert "is what is read" in done.stderr


@pytest.mark.parametrize(
    ("kind", "ours", "not_ours"),
    [
        (REPORT, '{"score": 1, "more": 2}', ['{"id": 1}', "[1]", "no JSON", "[" * 100_000, '{"score": 1} {}']),
        (ROWS, '{"id": 1, "score": 2}\n{"id"', ['{"id": 1}\n{"id": 1, "score": 2}', "text\n", "\n"]),
        (PAGE, '<html><meta name="generator" content="spine-rl 1">', ["<html>spine-rl</html>", "x" * 9999]),
    ],
)
def test_overwrite_replaces_what_is_of_its_kind_and_nothing_else(tmp_path, kind, ours, not_ours):
    path = tmp_path / "out"
    path.write_text(ours)
    check_may_write([Output(path, kind)], overwrite=True)
    refuse("exists; give another name or --overwrite", path, kind, overwrite=False)
    for content in not_ours:
        path.write_text(content)
        refuse(f"is not {kind.name}: --overwrite keeps it", path, kind)
    path.write_bytes(b"\xff\xfe")
    refuse("--overwrite keeps it", path, kind)
    path.write_text("")  # there is nothing to lose
    check_may_write([Output(path, kind)], overwrite=True)


def test_outputs_are_files_of_their_own(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(RunFolderError, match=r"--out and --json both name .*link; give each its own"):
        check_may_write([Output(tmp_path / "a", ROWS), Output(tmp_path / "link", REPORT, "--json")], overwrite=True)
    check_may_write([Output(tmp_path / "a", ROWS), Output(None, REPORT, "--json")], overwrite=False)


def test_places_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    refuse("cannot be made", tmp_path / "file" / "a" / "b", REPORT)
    refuse("is a folder; give the name of a file", tmp_path, REPORT)
    refuse("not UTF-8", Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")), REPORT)
    refuse("is a file; give another --out", tmp_path / "file", FOLDER)


def make_evaluation(folder):
    folder.mkdir()
    (folder / "settings.json").write_text("{}")
    (folder / "rows.jsonl").write_text("")
    (folder / "checkpoint-2").mkdir()
    (folder / "notes.txt").write_text("mine")
    return folder


def test_a_folder_of_ours_loses_what_is_ours_and_keeps_the_rest(tmp_path):
    folder = make_evaluation(tmp_path / "e")
    refuse("already holds an evaluation; give another --out, or --overwrite", folder, FOLDER, overwrite=False)
    check_may_write([Output(folder, FOLDER, goes_on=True)], overwrite=False)
    check_may_write([Output(folder, FOLDER)], overwrite=True)
    remove_own(folder, FOLDER)
    assert list_names(folder) == ["notes.txt", "settings.json"]
    (folder / "settings.json").unlink()
    refuse("is not an empty folder and holds no evaluation of ours", folder, FOLDER)


def test_a_folder_is_not_overwritten_by_what_reads_it(tmp_path):
    folder = make_evaluation(tmp_path / "e")
    for read in (folder, folder / "rows.jsonl", folder / "checkpoint-2"):
        refuse("is read from, and --overwrite would remove it", folder, FOLDER, reads=[read])
    check_may_write([Output(folder, FOLDER)], overwrite=True, reads=[folder / "notes.txt", "openai/gsm8k", "x" * 9999])


def test_a_model_takes_its_place_where_an_earlier_end_of_the_run_left_one(tmp_path):
    """Tokenizers with several chat templates save a folder of them."""
    aside, folder = tmp_path / "aside", tmp_path / "run"
    folder.mkdir()
    for text in ("first", "second"):
        write_whole(aside / "config.json", text)
        write_whole(aside / "additional_chat_templates" / "tool_use.jinja", text)
        move_model(aside, folder)
        assert not aside.exists()
        assert find_damage(folder) is None
        assert (folder / "additional_chat_templates" / "tool_use.jinja").read_text() == text
        write_whole(folder / "additional_chat_templates" / "a_users.jinja", "")
    assert (folder / "additional_chat_templates" / "a_users.jinja").exists()


def test_json_of_an_owner_is_whole(tmp_path):
    with owning(tmp_path):
        assert json.loads((tmp_path / ".spine.owner").read_text())["pid"] == os.getpid()
