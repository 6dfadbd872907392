"""Reports: what is recorded, how runs are grouped, and hostile text that stays text, in a browser too."""

import html
import json
import re
from dataclasses import replace

import pytest
from transformers import TrainerState

from spine_rl.engine.token_text import split_text
from spine_rl.errors import DataError
from spine_rl.lab.tokenizer import build_tokenizer
from spine_rl.pages import show_text
from spine_rl.pages.problems import render_problems
from spine_rl.pages.report import build_report
from spine_rl.pages.report_panels import KEY_PANELS, OTHER_PANELS, count_smoothed, list_lines, smooth, split_panels
from spine_rl.pages.report_runs import Run, group_runs, load_run
from spine_rl.pages.report_verdict import answer_run
from spine_rl.problems import Problem, ProblemSet
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
            "entropy/forks": 0.5, "band/low": 0.4, "band/high": 0.6, "kl": 2.0 * (step > 3),
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
    panels = (*KEY_PANELS, *OTHER_PANELS)
    seconds = [panel for panel in split_panels(panels, group_runs(runs[:1])) if panel.name.startswith("seconds")]
    assert [len(panel.series) for panel in seconds] == [6]
    compared = split_panels(panels, group_runs(runs))
    assert {panel.name for panel in compared} >= {
        "seconds_generate",
        "seconds_backward",
        "vote_abstained",
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
    assert page.count("<script") == 1
    assert "onerror=&#34;" in page
    assert "⟨202E⟩abc⟨001B⟩[31m" in page
    assert not re.search(r"""(src|href)=["'](?!#)""", page)
    assert re.search(r"It turned at step \d+: this looks like a collapse", page)  # far from its start
    assert "Pass@1" not in page  # no gold answers were given
    answer, first_chart, folded = page.index("It turned"), page.index("<svg"), page.index("All other curves (2)")
    assert answer < first_chart < folded
    assert page[:folded].count("<svg") == 3  # the key pictures of what this run logged
    assert page.count("<svg") == 5


@pytest.mark.slow
def test_a_browser_runs_the_pages_script_alone_and_has_no_complaint(tmp_path, browse):
    assert "<title>SPINE report</title>" in browse(build_report([load_run(write_run(tmp_path / "run"))]))


READER = """
const chart = document.querySelector(".chart"), tip = chart.querySelector(".tip"), log = [tip.hidden];
const press = (key) => chart.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
press("Home"); log.push(tip.textContent);
press("ArrowRight"); press("ArrowRight"); log.push(tip.textContent);
const box = chart.querySelector("svg").getBoundingClientRect();
chart.dispatchEvent(new PointerEvent("pointermove", { clientX: box.right, clientY: box.top + 20 }));
log.push(tip.textContent, tip.hidden);
chart.dispatchEvent(new PointerEvent("pointerleave")); log.push(tip.hidden);
document.title = JSON.stringify(log);
"""


@pytest.mark.slow
def test_a_chart_tells_its_values_to_pointer_and_keyboard(tmp_path, browse):
    page = build_report([load_run(write_run(tmp_path / "run"))])
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)  # it forbids another script
    title = re.search(r"<title>(.*?)</title>", browse(page.replace("</body>", f"<script>{READER}</script></body>")))
    assert title is not None
    hidden, first, third, last, *ends = json.loads(html.unescape(title[1]))
    assert first == "step 1majority share: 0.315, this step 0.31"  # with the next step's: the run begins here
    assert third == "step 3majority share: 0.33, this step 0.33"
    assert last.startswith("step 12")
    assert [hidden, *ends] == [True, False, True]


def test_a_curve_is_the_mean_over_neighbours_and_its_raw_values_stay():
    assert [count_smoothed(steps) for steps in (7, 8, 25, 26, 100)] == [1, 3, 3, 5, 9]
    assert smooth([0.0, 3.0, 0.0, 3.0, 0.0, 3.0, 0.0, 3.0])[:3] == [1.5, 1.0, 2.0]
    assert smooth([1.0, 2.0]) == [1.0, 2.0]
    (group,) = group_runs([Run("a", [{"step": step, "vote/majority_ratio": float(step)} for step in (2, 4)])])
    (panel,) = [panel for panel in KEY_PANELS if panel.name == "majority"]
    assert list_lines(panel, [group])[0].raw is None  # too short to be smoothed


def make_run(shares, *, length=50.0, gold=None, majority=0.4, epochs=10):
    rows = [
        {
            "step": step, "epoch": epochs * step / len(shares), "vote/majority_ratio": majority,
            "response_length/mean": length,
        }
        for step in range(1, len(shares) + 1)
    ]  # fmt: skip
    for row, share in zip(rows, shares, strict=True):
        row |= {} if share is None else {"vote/first_label_share": share}
        row |= {} if gold is None else {"vote/pass@1": gold}
    return Run("run", rows, {"training": {"learning_rate": 1e-5}})


def make_probed_run(shares):
    """One epoch; every tenth step was preceded by a probe of 512 responses."""
    run = make_run([None] * (10 * len(shares)), epochs=1)
    for share, row in zip(shares, run.rows[::10], strict=True):
        row |= {"probe/first_label_share": share, "probe/responses": 512}
    return run


RISE = [0.3 + 0.01 * step for step in range(40)]


@pytest.mark.parametrize(
    ("run", "kind", "words"),
    [
        (make_run(RISE), "helped", "It helped, as far as can be told without labels."),
        (make_run(RISE, majority=0.96), "helped", "little left to teach"),
        (make_run(RISE, majority=0.2), "helped", "The first votes were weak"),
        (make_run(RISE, gold=0.5), "helped", "about as many samples are right"),
        (make_run([*RISE, *[0.1] * 20]), "turned", "It had helped up to step"),
        (make_run([0.5] * 20 + [0.1] * 20), "turned", "(it was 1e-05)"),
        (make_run([0.5] * 20 + [0.42] * 20), "lost", "It lost"),
        (make_run([0.5, 0.3] * 20), "same", "No change that can be told from noise."),
        (make_run(RISE[:5]), "unknown", "5 steps are logged"),
        (make_probed_run([0.3, 0.4, 0.5, 0.5]), "helped", "At the start 30% of the responses gave"),
        (make_probed_run([0.5, 0.51, 0.5, 0.49]), "same", "No change"),
        (make_probed_run([0.5, 0.6, 0.6, 0.2]), "turned", "It had helped up to step 10"),
        (make_probed_run([0.5]), "unknown", "Whether it helped cannot be told"),
        (make_run([None] * 40), "unknown", "No problem was voted on a second time"),
    ],
)
def test_a_report_answers_whether_a_run_helped(run, kind, words):
    answer = answer_run(run)
    assert answer.kind == kind
    assert words in " ".join([answer.headline, *answer.reasons, *answer.advice])
    assert answer.advice
    assert (answer.turned_at is None) == (kind != "turned")


def test_a_finished_run_says_which_weights_it_kept():
    run = make_run([*RISE, *[0.1] * 20])
    assert "Keep the weights of step" in " ".join(answer_run(run).advice)
    kept = replace(run, kept={"step": 33, "reason": "its responses gave the first labels most often"})
    assert answer_run(kept).best_step == 33
    assert "Use what the run kept, the weights of step 33: its responses gave" in answer_run(kept).advice[0]
    unharmed = replace(run, kept={"step": 0, "reason": "no step's responses did better"})
    assert "the model as it was" in answer_run(unharmed).advice[0]


def test_gold_answers_are_told_and_do_not_decide():
    """Without labels a run may look well that lost: the page says both."""
    run = make_run(RISE)
    for row in run.rows:
        row["vote/pass@1"] = 0.9 - 0.02 * row["step"]
    answer = answer_run(run)
    assert answer.kind == "helped"
    assert any("fewer samples are right" in reason for reason in answer.reasons)


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


def test_a_part_of_a_chat_is_no_source_of_a_picture():
    part = {"type": "text", "text": "1+1?", "picture": "https://example.org/a.png"}
    page = render_problems(ProblemSet([Problem("a", [{"role": "user", "content": [part]}])]), "t")
    assert "1+1?" in page
    assert "example.org" not in page


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


def test_a_sample_without_tokens_is_named_with_its_row(tmp_path):
    folder = write_run(tmp_path / "a")
    (folder / "samples.jsonl").write_text('{"step": 1, "tokens": 5}\n')
    with pytest.raises(DataError, match=r"samples.jsonl, line 1: not a sample of a run"):
        load_run(folder)


SAMPLE = {"step": 1, "prompt": "?", "tokens": ["a"], "entropies": [0.5], "forks": [0], "advantage": 1.0, "band": None}
ROW = {"step": 1, "vote/majority_ratio": 0.5}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.jsonl", ROW | {"reward": "high"}, "line 1: reward must be a number, got text"),
        ("metrics.jsonl", ROW | {"vote/majority_ratio": None}, "majority_ratio must be a number, got null"),
        ("metrics.jsonl", ROW | {"step": True}, "step must be a number, got true or false"),
        ("spine_config.json", {"resolved": [1]}, "resolved must be an object, got a list"),
        ("spine_config.json", {"resolved": {"training": 5}}, "training must be an object, got a number"),
        ("spine_config.json", {"versions": "2"}, "versions must be an object, got text"),
        ("spine_config.json", {"finished": {"kept": {"step": "x"}}}, "kept must say a step and a reason"),
        ("samples.jsonl", SAMPLE | {"entropies": []}, "line 1: not a sample of a run"),
        ("samples.jsonl", SAMPLE | {"entropies": [None]}, "line 1: not a sample of a run"),
        ("samples.jsonl", SAMPLE | {"tokens": [1]}, "line 1: not a sample of a run"),
        ("samples.jsonl", SAMPLE | {"forks": [[0]]}, "line 1: not a sample of a run"),
        ("samples.jsonl", SAMPLE | {"band": [0.1]}, "line 1: not a sample of a run"),
        ("samples.jsonl", SAMPLE | {"prompt": None}, "line 1: not a sample of a run"),
    ],
)
def test_garbage_in_a_runs_folder_is_named_with_its_place(tmp_path, name, content, message):
    folder = write_run(tmp_path / "a")
    (folder / name).write_text(json.dumps(content) + "\n")
    with pytest.raises(DataError) as caught:
        load_run(folder)
    assert message in str(caught.value)
    assert name in str(caught.value)


def test_what_is_not_finite_is_left_out_and_a_sample_may_have_no_band(tmp_path):
    folder = write_run(tmp_path / "a")
    rows = [ROW | {"step": step, "kl": kl} for step, kl in enumerate((float("nan"), 10**400, 0.5), start=1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "samples.jsonl").write_text(json.dumps({k: v for k, v in SAMPLE.items() if k != "band"}) + "\n")
    run = load_run(folder)
    assert [row.get("kl") for row in run.rows] == [None, None, 0.5]
    assert "nan" not in build_report([run])
