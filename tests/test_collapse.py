"""The collapse monitor: each signal alone, judged runs, and what the guard does to a run."""

import json

import pytest
import torch
from safetensors.torch import load_file

from models import save_qwen2
from spine_rl.monitor import CollapseMonitor, judge_monitor, judge_run

SOUND = {
    "vote/majority_ratio": 0.4, "vote/distinct_answers": 5.0, "vote/label_drift": 0.1, "vote/abstained": 0.0,
    "response_length/mean": 50.0, "response_length/truncated": 0.0, "entropy/forks": 0.6, "kl": 0.0,
}  # fmt: skip
AGREED = {"vote/majority_ratio": 0.9, "vote/distinct_answers": 1.5, "entropy/forks": 0.1}


def make_rows(steps=20, **end):
    """Sound for the first half, then as `end` says."""
    return [{"step": step, **SOUND, **(end if step > steps // 2 else {})} for step in range(1, steps + 1)]


@pytest.mark.parametrize(
    ("end", "word"),
    [
        ({}, None),
        ({"vote/label_drift": 0.8}, "first labels"),
        ({"response_length/mean": 20.0}, "tokens"),
        ({"response_length/mean": 120.0}, "tokens"),
        ({"vote/abstained": 0.3}, "abstentions"),
        ({"response_length/truncated": 0.5}, "truncated"),
        ({"kl": 2.0}, "KL"),
        (AGREED, None),  # it learned
        (
            {
                "vote/majority_ratio": 0.9,
                "vote/distinct_answers": 1.5,
                "entropy/forks": 0.1,
                "response_length/mean": 40.0,
            },
            "agreement rises",
        ),
    ],
)
def test_each_signal_alone(end, word):
    last = judge_run(make_rows(**end))[-1]
    assert last.alarms == () if word is None else word in last.alarms[0] and len(last.alarms) == 1


def test_a_signal_that_was_not_logged_is_silent_and_one_bad_step_is_no_alarm():
    bare = [{"step": step, "vote/majority_ratio": 0.4} for step in range(1, 20)]
    assert all(verdict.healthy for verdict in judge_run(bare))
    rows = make_rows()
    rows[15] = {**rows[15], "response_length/mean": 5.0}
    assert all(verdict.healthy for verdict in judge_run(rows))


def test_the_monitor_reads_no_gold():
    rows = make_rows(**{"vote/label_accuracy": 0.0, "vote/pass@1": 0.0, "vote/reward_accuracy": 0.0})
    assert judge_run(rows) == judge_run(make_rows())


def test_detections_and_false_alarms():
    bad, good = make_rows(**{"vote/label_drift": 0.9}), make_rows()
    judged = judge_monitor([(bad, [0.5, 0.1]), (bad, [0.5, 0.6]), (good, [0.5, 0.3]), (good, [0.5, 0.45])])
    assert (judged.num_collapsed, judged.num_detected, judged.num_sound, judged.num_false_alarms) == (2, 1, 2, 1)
    assert judged.first_alarms == (13,)  # drift from step 11 on, the median of five from 13


@pytest.fixture
def collapsing(monkeypatch):
    """The monitor sees every run collapse at its fourth step."""
    update = CollapseMonitor.update

    def late(self, row):
        row = {**row, "vote/label_drift": 1.0} if row["step"] >= 4 else {"step": row["step"]}
        self.thresholds = type(self.thresholds)(start_steps=1, window=3)
        return update(self, row)

    monkeypatch.setattr(CollapseMonitor, "update", late)


@pytest.mark.slow
@pytest.mark.parametrize("action", ["warn", "stop", "rollback"])
def test_what_the_guard_does(spine, tmp_path, collapsing, action):
    model, data, out = save_qwen2(tmp_path / "model"), tmp_path / "p.jsonl", tmp_path / "run"
    data.write_text("".join(json.dumps({"id": i, "prompt": f"{i}+{i}="}) + "\n" for i in range(4)))
    with pytest.warns(UserWarning, match="looks like a collapse"):
        status, *_ = spine(
            "train", "--model", model, "--data", data, "--output_dir", out, "--max_steps=6", "--num_generations=2",
            "--per_device_train_batch_size=4", "--max_completion_length=6", "--learning_rate=1e-2", "--use_cpu",
            "--report_to=none", "--on_collapse", action, "--save_steps=2", "--keep_best=label-free", "--preset=spine",
        )  # fmt: skip
    assert status == 0
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert max(steps) == (6 if action == "warn" else 4)
    assert (out / "best" / "step.txt").read_text() == "2\n"
    best, last = load_file(out / "best" / "model.safetensors"), load_file(out / "model.safetensors")
    assert all(torch.equal(best[name], last[name]) for name in best) == (action == "rollback")
    assert [json.loads(line)["step"] for line in (out / "samples.jsonl").read_text().splitlines()] == [1, 1]
