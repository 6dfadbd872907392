"""Reports: what is recorded, how runs are grouped, and hostile text that stays text, in a browser too."""

import json
import re

import pytest
from transformers import TrainerState

from spine_rl.diagnose.token_text import split_text
from spine_rl.lab.tokenizer import build_tokenizer
from spine_rl.pages import show_text
from spine_rl.pages.report import build_report
from spine_rl.pages.report_panels import choose_panels, list_lines
from spine_rl.pages.report_runs import group_runs, load_run
from spine_rl.training.samples import SampleFile

ATTACK = "document.title='owned'"
HOSTILE = f'</style><script>{ATTACK}</script><img src=x onerror="{ATTACK}">\u202eabc\x1b[31m'


def write_run(folder, *, seed=0, learning_rate=1e-4, steps=12, length=50.0, run_name="r"):
    folder.mkdir(parents=True)
    training = {"seed": seed, "learning_rate": learning_rate, "output_dir": str(folder), "run_name": run_name}
    config = {"resolved": {"run": {"data": HOSTILE}, "training": training}, "versions": {"torch": "2"}}
    (folder / "spine_config.json").write_text(json.dumps(config))
    rows = [
        {
            "step": step, "vote/majority_ratio": 0.3 + 0.01 * step + 0.01 * seed, "vote/reward": 0.3,
            "response_length/mean": length, "response_length/p10": length - 5, "response_length/p90": length + 5,
            "entropy/forks": 0.5, "band/low": 0.4, "band/high": 0.6, "vote/label_drift": 0.9 * (step > 3),
        }
        for step in range(1, steps + 1)
    ]  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sample = {"step": 1, "prompt": HOSTILE, "tokens": [HOSTILE, "b"], "entropies": [1.5, 0.0], "forks": [0]}
    sample |= {"advantage": 1.0, "band": None}
    (folder / "samples.jsonl").write_text(json.dumps(sample) + "\n")
    return folder


def test_runs_of_one_configuration_are_one_line_with_the_range_over_seeds(tmp_path):
    folders = [write_run(tmp_path / f"a{seed}", seed=seed) for seed in (0, 1)]
    folders.append(write_run(tmp_path / "b", learning_rate=3e-4))
    groups = group_runs(map(load_run, folders))
    assert [len(group.runs) for group in groups] == [2, 1]
    assert [group.label for group in groups] == ["learning_rate=0.0001 (2 seeds)", "learning_rate=0.0003"]


def test_where_runs_are_compared_a_line_is_a_run_on_every_chart(tmp_path):
    runs = [load_run(write_run(tmp_path / name, learning_rate=rate)) for name, rate in (("a", 1e-4), ("b", 3e-4))]
    seconds = [panel for panel in choose_panels(group_runs(runs[:1])) if panel.name.startswith("seconds")]
    assert [len(panel.series) for panel in seconds] == [5]
    compared = choose_panels(group_runs(runs))
    assert {panel.name for panel in compared} >= {
        "seconds_generate",
        "seconds_backward",
        "unreadable_abstain",
        "length",
    }
    assert all(len(panel.series) == 1 for panel in compared)
    lines = list_lines(next(panel for panel in compared if panel.name == "length"), group_runs(runs))
    assert [(line.label, line.colour, len(line.bands)) for line in lines] == [
        ("learning_rate=0.0001", 0, 1),
        ("learning_rate=0.0003", 1, 1),
    ]


def test_the_page_is_self_contained_and_hostile_text_is_text(tmp_path):
    page = build_report([load_run(write_run(tmp_path / "run"))])
    assert "<script" not in page  # a report has none
    assert "onerror=&#34;" in page
    assert "⟨202E⟩abc⟨001B⟩[31m" in page
    assert not re.search(r"""(src|href)=["'](?!#)""", page)
    assert "alarm at step" in page  # label drift
    assert "Pass@1" not in page  # no gold answers were given
    assert page.count("<svg") == 5


@pytest.mark.slow
def test_a_browser_runs_nothing_of_it_and_has_no_complaint(tmp_path, browse):
    assert "<title>SPINE report</title>" in browse(build_report([load_run(write_run(tmp_path / "run"))]))


def test_the_command_writes_page_and_plots_and_refuses_what_is_no_run(spine, tmp_path):
    run = write_run(tmp_path / "run")
    out, plots = tmp_path / "report.html", tmp_path / "plots"
    assert spine("report", run, "--out", out, "--plots", plots)[0] == 0
    assert out.stat().st_size > 10_000
    assert (plots / "majority.png").read_bytes()[:4] == b"\x89PNG"
    assert (plots / "majority.svg").exists()
    status, _, error = spine("report", run, "--out", out)
    assert status == 2
    assert "--overwrite" in error
    status, _, error = spine("report", tmp_path, "--out", tmp_path / "other.html")
    assert status == 2
    assert "spine_config.json" in error


def test_invisible_characters_are_shown_as_code_points():
    assert show_text("a\u2066b\ud800\n\té\u0000") == "a⟨2066⟩b⟨D800⟩\n\té⟨0000⟩"


class _ByteTokenizer:
    def decode(self, ids, **_):
        return bytes(ids).decode("utf-8", errors="replace")


def test_pieces_of_text_are_the_whole_text_and_aligned_with_tokens():
    tokenizer = build_tokenizer()
    ids = tokenizer("Quickly: 3*4=12; \\boxed{12}").input_ids
    assert "".join(split_text(tokenizer, ids)) == tokenizer.decode(ids)
    data = "a–é𝄞b".encode()
    pieces = split_text(_ByteTokenizer(), list(data))
    assert "".join(pieces) == "a–é𝄞b"
    assert pieces[:4] == ["a", "", "", "–"]
    cut = split_text(_ByteTokenizer(), list(data[:2]))  # ends inside a character
    assert len(cut) == 2
    assert cut[0] == "a"


def test_a_resumed_run_drops_samples_after_its_checkpoint(tmp_path):
    path = tmp_path / "samples.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in (1, 10, 20)))
    state = TrainerState(global_step=10, is_world_process_zero=True)
    SampleFile(tmp_path, None).on_train_begin(None, state, None)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 10]
