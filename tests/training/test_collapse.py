"""The collapse monitor: each signal alone, judged runs, and what the guard does to a run."""

import json
import random
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM, TrainerControl, TrainerState

from models import QWEN, SMALL, build_architecture, build_qwen2, save_qwen2
from spine_rl import SpineTrainer
from spine_rl.errors import ConfigError
from spine_rl.monitor import RETRIED_FROM, CollapseMonitor, choose_checkpoint, judge_run
from spine_rl.training.collapse_guard import CollapseGuard, load_weights
from spine_rl.training.first_labels import UNADAPTED_STEPS, compare_with_first_labels, forget_later
from spine_rl.voting import hold_vote

SOUND = {
    "vote/majority_ratio": 0.4, "vote/distinct_answers": 5.0, "vote/label_drift": 0.1, "vote/abstained": 0.0,
    "vote/first_label_share": 0.5, "response_length/mean": 50.0, "response_length/truncated": 0.0,
    "entropy/forks": 0.6, "kl": 0.0,
}  # fmt: skip
AGREED = {"vote/majority_ratio": 0.9, "vote/distinct_answers": 1.5, "entropy/forks": 0.1}


def make_rows(steps=20, **end):
    """Sound for the first half, then as `end` says."""
    return [{"step": step, **SOUND, **(end if step > steps // 2 else {})} for step in range(1, steps + 1)]


@pytest.mark.parametrize(
    ("end", "word"),
    [
        ({}, None),
        ({"vote/label_drift": 0.8}, "of its first labels"),
        ({"vote/first_label_share": 0.39}, "give the first labels, 50% at best"),
        ({"vote/first_label_share": 0.41}, None),
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


def test_the_best_checkpoint_is_before_an_alarm_and_agrees_most_with_the_first_votes():
    rows = make_rows(steps=30)
    for row in rows:  # rises to step 15 and falls to an alarm at 26: its window's mean is 0.11 below the best
        row["vote/first_label_share"] = 0.5 + 0.02 * min(row["step"], 30 - row["step"])
    verdicts = judge_run(rows)
    assert next(verdict.step for verdict in verdicts if verdict.alarms) == 26
    assert choose_checkpoint(verdicts, [0, 5, 10, 18, 22, 30]) == 18  # a window of 8 ends at 18, about the top
    assert choose_checkpoint(verdicts, [0, 30]) == 0
    silent = judge_run([{"step": step, "vote/majority_ratio": 0.4} for step in range(1, 13)])
    assert choose_checkpoint(silent, [0, 6, 12]) == 12
    assert choose_checkpoint(silent, [0, 6]) == 0  # too early for a verdict


def test_a_lucky_first_step_is_no_best_and_a_noisy_fall_no_alarm():
    lucky = make_rows()
    lucky[0]["vote/first_label_share"] = 1.0
    assert all(verdict.healthy for verdict in judge_run(lucky))
    verdicts = judge_run(lucky)
    assert [verdict.early for verdict in verdicts] == [True] * 10 + [False] * 10
    told = [verdict.step for verdict in verdicts if verdict.first_label_share is not None]
    assert told == [3, *range(8, 21)]  # the start, and whole windows
    noisy = make_rows(steps=40)
    for row in noisy[20:]:  # 0.11 lower, now 0.79, now nothing
        row["vote/first_label_share"] = 0.79 if row["step"] % 2 else 0.0
    assert all(verdict.healthy for verdict in judge_run(noisy))


def test_shares_are_compared_over_the_same_problems():
    """Half of an epoch's problems are easy: windows that hold more of them look better."""
    rows = make_rows(steps=80)
    for row in rows:
        row["vote/first_label_share"] = 0.7 if row["step"] % 16 < 8 else 0.4
    assert not all(verdict.healthy for verdict in judge_run(rows))
    epochs = judge_run([{**row, "epoch": row["step"] / 16} for row in rows])
    assert all(verdict.healthy for verdict in epochs)
    assert {round(verdict.first_label_share, 3) for verdict in epochs[15:]} == {0.55}
    long = judge_run([{**row, "epoch": row["step"] / 400} for row in rows])  # the last 32 are enough
    assert {round(verdict.first_label_share, 3) for verdict in long[31:]} == {0.55}


def test_a_signal_must_stand_in_half_of_the_window():
    rows = make_rows(**{"vote/label_drift": 0.9})
    for row in rows:
        if row["step"] < 13:
            del row["vote/label_drift"]
    assert next(verdict.step for verdict in judge_run(rows) if verdict.alarms) == 16  # from the fourth on


def test_a_checkpoint_must_be_as_good_as_the_start():
    rows = make_rows(steps=40, **{"vote/first_label_share": 0.45})  # a fall too small for an alarm
    verdicts = judge_run(rows)
    assert all(verdict.healthy for verdict in verdicts)
    assert choose_checkpoint(verdicts, [0, 30, 40]) == 0
    assert choose_checkpoint(verdicts, [0, 15, 40]) == 15


def test_a_retry_makes_the_monitor_forget_the_way_that_was_left():
    rows = make_rows(**{"vote/first_label_share": 0.1})
    well = [{**SOUND, "step": step} for step in range(21, 30)]
    assert judge_run([*rows, *well])[-8].alarms  # one good step does not make a good window
    assert all(verdict.healthy for verdict in judge_run([*rows, {**well[0], RETRIED_FROM: 10.0}, *well[1:]])[20:])


def test_the_monitor_reads_no_gold():
    rows = make_rows(**{"vote/label_accuracy": 0.0, "vote/pass@1": 0.0, "vote/reward_accuracy": 0.0})
    assert judge_run(rows) == judge_run(make_rows())


def test_first_labels_are_remembered_with_their_margin():
    def vote(problem_id, *keys):
        return hold_vote(problem_id, keys)

    first = {}
    # Margins: a leads 3 to 1 of 4, b 2 to 1 of 4 with an abstention; c abstains altogether.
    signals = compare_with_first_labels(
        first, [vote("p", *"aaax"), vote("q", "b", "b", "y", None), vote("r", None, None)], step=0
    )
    assert first == {"p": ("a", 0.5, 0), "q": ("b", 0.25, 0)}
    # p: each a meets two other a and an x (margin 1/3), the x three a. q: each b a tie, the y two b, the abstention b.
    assert signals == {"first_label_share": pytest.approx((3 / 3 / 4) / ((3 / 3 + 1) / 4 + (2 / 3 + 1 / 3) / 4))}
    signals = compare_with_first_labels(first, [vote("p", *"xxxa"), vote("q", *"bbbb")], step=1)
    assert signals["label_drift"] == pytest.approx(0.5 / 0.75)
    assert signals["first_label_share"] == pytest.approx((0.5 * 0.25 + 0.25 * 1) / 0.75)
    # All abstain: there is no label to have drifted, and none of the responses gives the first one.
    assert compare_with_first_labels(first, [vote("p", None, None)], step=2) == {"first_label_share": 0.0}
    assert compare_with_first_labels({}, [vote("r", None, None)], step=0) == {}


def test_a_first_vote_counts_in_the_first_steps_alone():
    first = {}
    votes = [hold_vote("p", "aaax")]
    assert compare_with_first_labels(first, votes, step=UNADAPTED_STEPS) == {}
    assert compare_with_first_labels(first, votes, step=UNADAPTED_STEPS + 1)["first_label_share"] == 0.75
    assert "first_label_share" in compare_with_first_labels({}, votes, step=UNADAPTED_STEPS - 1)


def test_where_first_labels_end_the_last_healthy_step_is_kept():
    rows = make_rows(steps=30)
    for row in rows[16:]:  # an epoch goes on with problems that were not seen before
        del row["vote/first_label_share"]
    verdicts = judge_run(rows)
    assert all(verdict.healthy for verdict in verdicts)
    assert [verdict.first_label_share is None for verdict in verdicts[19:22]] == [False, True, True]
    assert choose_checkpoint(verdicts, [0, 12, 24, 30]) == 30


def test_labels_of_weights_that_were_left_are_forgotten():
    first = {"p": ("a", 0.5, 0), "q": ("b", 0.25, 4), "r": ("c", 0.5, 5)}
    forget_later(first, 4)
    assert first == {"p": ("a", 0.5, 0), "q": ("b", 0.25, 4)}


def test_first_votes_do_not_look_better_than_fresh_responses():
    """Answers drawn at random agree with their own majority, but not with one they had no part in."""
    rng = random.Random(0)

    def draw(problem_id):
        return hold_vote(problem_id, rng.choices("abcd", k=8))

    first, names = {}, [str(n) for n in range(4000)]
    seen_first = compare_with_first_labels(first, [draw(name) for name in names], 0)["first_label_share"]
    seen_again = compare_with_first_labels(first, [draw(name) for name in names], 0)["first_label_share"]
    assert seen_first == pytest.approx(0.25, abs=0.02)
    assert seen_again == pytest.approx(0.25, abs=0.02)


@pytest.fixture
def collapsing(monkeypatch):
    """The monitor sees every run collapse at its fourth step."""
    update = CollapseMonitor.update

    def late(self, row):
        row = {"step": row["step"], **({"vote/label_drift": 1.0} if row["step"] == 4 else {})}
        self.thresholds = type(self.thresholds)(start_steps=1, window=1)
        return update(self, row)

    monkeypatch.setattr(CollapseMonitor, "update", late)


@pytest.mark.slow
@pytest.mark.parametrize("action", ["warn", "stop", "rollback", "retry"])
def test_what_the_guard_does(spine, tmp_path, collapsing, action):
    model, data, out = save_qwen2(tmp_path / "model"), tmp_path / "p.jsonl", tmp_path / "run"
    data.write_text("".join(json.dumps({"id": i, "prompt": f"{i}+{i}="}) + "\n" for i in range(4)))
    with pytest.warns(UserWarning, match="looks like a collapse"):
        status, *_ = spine(
            "train", "--model", model, "--data", data, "--output_dir", out, "--max_steps=6", "--num_generations=2",
            "--per_device_train_batch_size=4", "--max_completion_length=6", "--learning_rate=1e-2", "--use_cpu",
            "--report_to=none", "--on_collapse", action, "--save_steps=2", "--keep_best=label-free", "--preset=spine",
            "--lr_scheduler_type=constant",
        )  # fmt: skip
    assert status == 0
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert max(row["step"] for row in rows) == (6 if action in ("warn", "retry") else 4)
    retried = [row["guard/retried_from"] for row in rows if "guard/retried_from" in row]
    assert retried == ([2] if action == "retry" else [])  # an alarm after the last step has none to follow
    rates = {row["step"]: row["learning_rate"] for row in rows if "learning_rate" in row}
    if action in ("warn", "retry"):
        assert rates[6] == pytest.approx(rates[4] * (0.5 if action == "retry" else 1))
    assert (out / "best" / "step.txt").read_text() == ("6\n" if action == "retry" else "2\n")  # the last one, too
    best, last = load_file(out / "best" / "model.safetensors"), load_file(out / "model.safetensors")
    assert all(torch.equal(best[name], last[name]) for name in best) == (action in ("rollback", "retry"))
    assert [json.loads(line)["step"] for line in (out / "samples.jsonl").read_text().splitlines()] == [1, 1]


@pytest.mark.parametrize("name", ["qwen2", "qwen3", "llava", QWEN, "mixture of experts"])
def test_weights_come_back_whole(tmp_path, name):
    """Files have other names than the modules, tied weights are saved once, experts are saved one by one."""
    if name == "mixture of experts":
        model = Qwen3MoeForCausalLM(Qwen3MoeConfig(**SMALL, head_dim=16, num_experts=4, moe_intermediate_size=16))
    else:
        model, _ = build_architecture(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1.0)
    load_weights(model, tmp_path)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_an_adapters_weights_come_back(tmp_path):
    model = get_peft_model(build_qwen2()[0], LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    model.save_pretrained(tmp_path)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(1.0)
    load_weights(model, tmp_path)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_sharded_weights_are_refused_where_whole_ones_are_needed(tmp_path):
    trainer = SimpleNamespace(is_sharded=True)
    CollapseGuard(trainer, tmp_path, on_collapse="stop", keep_best=False)
    with pytest.raises(ConfigError, match="FSDP and DeepSpeed shard"):
        CollapseGuard(trainer, tmp_path, on_collapse="stop", keep_best=True)


# ---- over a resume


class _Trainer:
    """Saves the step that its state is at."""

    def __init__(self, state):
        self.accelerator, self._state = SimpleNamespace(wait_for_everyone=lambda: None), state
        self.is_sharded = False

    def is_world_process_zero(self):
        return True

    def save_model(self, folder, _internal_call):
        assert _internal_call  # nothing goes to the hub
        Path(folder).mkdir(parents=True)
        (Path(folder) / "weights.txt").write_text(str(self._state.global_step))


def run_guard(folder, rows, *, history=(), on_collapse="stop", max_steps=0, num_epochs=0):
    """Logs rows as training does, after those in a checkpoint, and gives the warnings and the step of the stop."""
    state = TrainerState(log_history=list(history), max_steps=max_steps, num_train_epochs=num_epochs)
    control = TrainerControl()
    state.global_step = history[-1]["step"] if history else 0
    guard = CollapseGuard(_Trainer(state), folder, on_collapse=on_collapse, keep_best=True)
    args = SimpleNamespace(save_steps=4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        guard.on_train_begin(args, state, control)
        for row in rows if not control.should_training_stop else ():
            state.global_step = row["step"]
            guard.on_log(args, state, control, logs={name: value for name, value in row.items() if name != "step"})
            if control.should_training_stop:
                break
        guard.on_train_end(args, state, control)
    return [str(warning.message) for warning in caught], state.global_step


def read_best(folder):
    return (folder / "best" / "weights.txt").read_text(), (folder / "best" / "step.txt").read_text().strip()


def test_a_retrying_run_too_short_for_a_verdict_keeps_its_last_weights(tmp_path):
    run_guard(tmp_path / "short", make_rows()[:10], on_collapse="retry")
    with pytest.raises(AttributeError, match="unwrap_model"):  # it would go back to the best, but this model has none
        run_guard(tmp_path / "long", make_rows()[:11], on_collapse="retry")


def test_the_last_weights_are_looked_at_too(tmp_path):
    run_guard(tmp_path / "a", make_rows(steps=13), max_steps=13)  # looked at after 11, and every 4 steps
    assert read_best(tmp_path / "a") == ("13", "13")
    worse = make_rows(steps=13, **{"vote/first_label_share": 0.45})
    run_guard(tmp_path / "b", worse, max_steps=13)
    assert read_best(tmp_path / "b") == ("0", "0")


def test_a_run_that_sees_no_problem_twice_is_told_so(tmp_path):
    (said,), _ = run_guard(tmp_path / "a", make_rows(), max_steps=20, num_epochs=1)
    assert "no problem is seen twice" in said
    assert run_guard(tmp_path / "b", make_rows(), max_steps=20, num_epochs=2)[0] == []


def test_a_resumed_run_goes_on_with_its_signals(tmp_path):
    rows = make_rows(**{"response_length/mean": 20.0})  # an alarm needs the start, which a resumed run has behind it
    whole, broken = run_guard(tmp_path / "a", rows), run_guard(tmp_path / "b", rows[12:], history=rows[:12])
    assert whole[1] == 15
    assert broken == whole
    assert "step 15: this looks like a collapse: responses have 20 tokens, 50 at the start; stopping" in whole[0][0]
    assert run_guard(tmp_path / "c", rows[12:])[0] == []  # what starting anew would have seen


def test_an_alarm_before_the_checkpoint_still_counts(tmp_path):
    rows = make_rows(**{"response_length/mean": 20.0})
    assert run_guard(tmp_path / "a", rows[16:], history=rows[:16])[1] == 16
    run_guard(tmp_path / "b", rows[:16], on_collapse="warn")
    assert read_best(tmp_path / "b") == ("11", "11")
    well = [{**SOUND, "step": step} for step in range(17, 40)]
    said, step = run_guard(tmp_path / "b", well, history=rows[:16], on_collapse="warn")
    assert (len(said), step) == (1, 39)
    assert read_best(tmp_path / "b") == ("11", "11")  # none is kept after an alarm, as in an unbroken run


def test_best_survives_a_resume_unless_it_comes_from_after_the_checkpoint(tmp_path):
    rows = make_rows()
    run_guard(tmp_path, rows[:10])
    assert read_best(tmp_path) == ("0", "0")  # too early for a verdict
    run_guard(tmp_path, rows[:14])
    assert read_best(tmp_path) == ("11", "11")
    run_guard(tmp_path, [], history=rows[:12])
    assert read_best(tmp_path) == ("11", "11")
    run_guard(tmp_path, rows[12:16], history=rows[:12])
    assert read_best(tmp_path) == ("15", "15")
    run_guard(tmp_path, [], history=rows[:14])
    assert read_best(tmp_path) == ("14", "14")
    (tmp_path / "best").rename(tmp_path / ".best.old")  # stopped between the renames
    run_guard(tmp_path, [], history=rows[:15])
    assert read_best(tmp_path) == ("14", "14")
    run_guard(tmp_path, [])  # a new run
    assert read_best(tmp_path) == ("0", "0")


@pytest.mark.slow
def test_first_labels_survive_a_resume(spine, tmp_path, monkeypatch):
    monkeypatch.setattr(SpineTrainer, "_key", lambda self, completion, *_: str(sum(map(ord, str(completion))) % 3))
    model, data = save_qwen2(tmp_path / "model"), tmp_path / "p.jsonl"
    data.write_text("".join(json.dumps({"id": i, "prompt": f"{i}+{i}="}) + "\n" for i in range(4)))

    def train(out, *more):
        status, _, error = spine(
            "train", "--model", model, "--data", data, "--output_dir", tmp_path / out, "--num_generations=5",
            "--per_device_train_batch_size=20", "--max_completion_length=6", "--learning_rate=1e-2", "--use_cpu",
            "--report_to=none", "--lr_scheduler_type=constant", "--save_steps=1", *more,
        )  # fmt: skip
        assert status == 0, error
        rows = [json.loads(line) for line in (tmp_path / out / "metrics.jsonl").read_text().splitlines()]
        return {row["step"]: row["vote/label_drift"] for row in rows if "vote/label_drift" in row}

    whole = train("whole", "--max_steps=3")
    train("broken", "--max_steps=1")
    assert train("broken", "--max_steps=3", "--resume") == whole
    assert set(whole) == {2, 3}
    assert any(whole.values())
