"""An evaluation in shards has the rows of one process; shards that are missing or twice are named."""

import json
import shutil

import pytest

from models import save_qwen2
from spine_rl.errors import ConfigError, DataError, RunFolderError
from spine_rl.evaluation.responses import GREEDY_FILE, REPORT_FILE, SAMPLES_FILE, SETTINGS_FILE
from spine_rl.evaluation.shards import Shard, merge_shards, parse_shard

FILES = (SETTINGS_FILE, GREEDY_FILE, SAMPLES_FILE)


@pytest.mark.parametrize("text", ["2", "0/2", "3/2", "1/0", "a/b", "1/2/3", "-1/2", ""])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(ConfigError, match="must be i/n"):
        parse_shard(text)


@pytest.mark.parametrize(("num_rows", "batch_size", "count"), [(20, 4, 3), (21, 4, 3), (3, 4, 3), (0, 4, 2), (9, 1, 2)])
def test_shards_share_out_whole_batches(num_rows, batch_size, count):
    shards = [Shard(index, count) for index in range(1, count + 1)]
    starts = [start for shard in shards for start in shard.list_starts(num_rows, batch_size)]
    assert sorted(starts) == [*range(0, num_rows, batch_size)]
    assert sum(shard.count_rows(num_rows, batch_size) for shard in shards) == num_rows


@pytest.fixture(scope="module")
def common(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    data = folder / "data.jsonl"
    rows = [{"id": f"q{i}", "question": "What is " + "+".join("1" * (i + 2)) + "?", "answer": str(i)} for i in range(7)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = save_qwen2(folder / "model")
    sampling = ("--num-generations", 3, "--max-completion-length", 6, "--batch-size", 4)
    return ("--data", data, "--prompt-column", "question", *sampling), ("--model", model)


@pytest.fixture(scope="module")
def shards(common, tmp_path_factory):
    """Folders of an evaluation in one process and in three, run by the command."""
    from spine_rl.cli.main import app
    from spine_rl.cli.parse import parse

    folder = tmp_path_factory.mktemp("out")
    what, model = common

    def run(*arguments):
        parse(app, [*map(str, ("eval", *what, *model, *arguments))])()

    run("--out", folder / "whole")
    for index in (1, 2, 3):
        run("--out", folder / f"shard{index}", "--shard", f"{index}/3")
    return folder


def list_shards(folder, *indices):
    return [part for index in indices for part in ("--merge", folder / f"shard{index}")]


def test_merged_shards_are_the_evaluation_of_one_process(shards, common, spine, tmp_path):
    what, _ = common
    sizes = [len((shards / f"shard{index}" / SAMPLES_FILE).read_text().splitlines()) for index in (1, 2, 3)]
    assert sizes == [8, 8, 5]  # of 21
    status, printed, error = spine("eval", *what, *list_shards(shards, 2, 3, 1), "--out", tmp_path / "merged")
    assert status == 0, error
    assert "7 problems" in printed
    for name in (*FILES, REPORT_FILE):
        assert (tmp_path / "merged" / name).read_text() == (shards / "whole" / name).read_text(), name


def test_a_merged_evaluation_is_compared_with_a_baselines(shards, common, spine, tmp_path):
    what, _ = common
    out = tmp_path / "merged"
    more = ("--out", out, "--baseline", shards / "whole", "--budget", 2)
    assert spine("eval", *what, *list_shards(shards, 1, 2, 3), *more)[0] == 0
    report = json.loads((out / REPORT_FILE).read_text())
    assert report["budget"]["samples_per_problem"] == 2
    assert report["differences"]["greedy_pass@1"]["difference"] == 0


def test_an_interrupted_shard_goes_on(shards, common, spine, tmp_path):
    what, model = common
    half = tmp_path / "half"
    shutil.copytree(shards / "shard1", half)
    lines = (half / SAMPLES_FILE).read_text().splitlines(keepends=True)
    (half / SAMPLES_FILE).write_text("".join(lines[:6]))  # within the second batch
    status, _, error = spine("eval", *what, "--merge", half, *list_shards(shards, 2, 3), "--out", tmp_path / "whole")
    assert status == 2
    assert "6 of 8 responses; finish the shard" in error
    assert spine("eval", *what, *model, "--shard", "2/3", "--out", half)[0] == 2  # it is another
    assert spine("eval", *what, *model, "--shard", "1/3", "--out", half)[0] == 0
    assert (half / SAMPLES_FILE).read_text() == "".join(lines)


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (("shard1", "shard3"), "shard 2/3 is missing"),
        (("shard1",), "shard 2/3, 3/3 is missing"),
        (("shard1", "shard2", "shard3", "copy"), "shard 1/3 again"),
        (("shard1", "whole"), "a whole evaluation, no shard"),
        (("shard1", "other"), "give shards of one evaluation"),
        (("shard1", "seed", "shard3"), r"another decoding.seed .*\(7 and 0\)"),
        (("shard1", "nothing"), "no evaluation"),
    ],
)
def test_shards_that_are_no_whole_are_named(shards, tmp_path, folders, words):
    def change(name, source, **settings):
        shutil.copytree(shards / source, tmp_path / name)
        path = tmp_path / name / SETTINGS_FILE
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))

    decoding = json.loads((shards / "shard2" / SETTINGS_FILE).read_text())["decoding"]
    change("copy", "shard1")
    change("other", "shard2", shard="2/4")
    change("seed", "shard2", decoding=decoding | {"seed": 7})
    found = [path if (path := tmp_path / name).exists() else shards / name for name in folders]
    with pytest.raises(DataError, match=words):
        merge_shards(found, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_shard_is_no_evaluation_yet(shards, common, spine, tmp_path):
    what, model = common
    status, _, error = spine("eval", *what, "--from-samples", shards / "shard1")
    assert (status, "merge all of them with --merge" in error) == (2, True)
    for more, words in (
        (("--baseline", shards / "whole", "--out", tmp_path / "x"), "--baseline is of the whole evaluation"),
        (("--json", tmp_path / "x.json", "--out", tmp_path / "x"), "--json is of the whole evaluation"),
        ((), "--out, a folder of the shard's own"),
    ):
        status, _, error = spine("eval", *what, *model, "--shard", "1/2", *more)
        assert (status, words in error) == (2, True), error
    status, _, error = spine("eval", *what, *list_shards(shards, 1, 2, 3))
    assert (status, "--merge needs --out" in error) == (2, True)
    with pytest.raises(RunFolderError, match="already holds an evaluation"):
        merge_shards([shards / f"shard{index}" for index in (1, 2, 3)], shards / "whole")
