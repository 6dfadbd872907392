"""The guard of a run: first labels, the best weights, what it does at an alarm, and all of it over a resume."""

import json
import math
import random
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import DistributedType
from accelerate.utils.deepspeed import DeepSpeedSchedulerWrapper
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState

from models import build_qwen2, save_qwen2
from spine_rl import SpineConfig, SpineTrainer
from spine_rl.errors import ConfigError
from spine_rl.monitor import RESPONSES, RETRIED_FROM, CollapseMonitor
from spine_rl.training.best_weights import BestWeights
from spine_rl.training.collapse_guard import CollapseGuard
from spine_rl.training.estimate import estimate_run
from spine_rl.training.first_labels import UNADAPTED_STEPS, compare_with_first_labels, forget_later
from spine_rl.training.model_card import write_model_card
from spine_rl.training.options import KEEP_BEST, ON_COLLAPSE
from spine_rl.voting import hold_vote

SHARES = [0.34, 0.50, 0.57, 0.54, 0.25, 0.14, 0.23]  # a real run's: an alarm at 5, the best weights before step 3


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


# ---- the best weights


@pytest.mark.parametrize("adapter", [False, True])
def test_weights_come_back_whole(tmp_path, adapter):
    model = build_qwen2()[0]
    if adapter:
        model = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    best = BestWeights(model)
    best.take()
    best.save(tmp_path)
    held = sum(copy.numel() for copy in best._copies.values())
    assert held == sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    for weights in (best, BestWeights(model)):
        with torch.no_grad():
            for weight in model.parameters():
                if weight.requires_grad:
                    weight.add_(1.0)
        assert weights.load(tmp_path)
        weights.put_back()
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_another_models_weights_are_not_taken_up(tmp_path):
    best = BestWeights(torch.nn.Linear(2, 2))
    assert not best.load(tmp_path)
    best.take()
    best.save(tmp_path)
    assert not BestWeights(torch.nn.Linear(2, 3)).load(tmp_path)


def test_weights_that_cannot_be_read_are_not_kept_and_a_retry_needs_them(tmp_path):
    sharded = SimpleNamespace(
        distributed_type=DistributedType.FSDP, state=SimpleNamespace(fsdp_plugin=SimpleNamespace(fsdp_version=1))
    )
    trainer = SimpleNamespace(accelerator=sharded, state=TrainerState(), args=SimpleNamespace(should_save=True))
    guard = CollapseGuard(trainer, tmp_path, configure(tmp_path, on_collapse="stop"))
    with pytest.warns(UserWarning, match="the run ends with its last weights: the first FSDP"):
        guard.on_train_begin(None, trainer.state, TrainerControl())
    guard.on_train_end(SimpleNamespace(save_strategy="no"), trainer.state, TrainerControl())
    assert guard.kept.reason == f"the last weights are kept: {guard._misses}"
    with pytest.raises(ConfigError, match="take fsdp_version: 2, or give warn or stop"):
        CollapseGuard(trainer, tmp_path, configure(tmp_path, on_collapse="retry", keep_best="none"))


@pytest.mark.parametrize("on_collapse", ON_COLLAPSE)
@pytest.mark.parametrize("keep_best", KEEP_BEST)
def test_the_weights_that_a_run_holds_are_those_that_the_memory_estimate_counts(tmp_path, on_collapse, keep_best):
    run = _Run(tmp_path, on_collapse=on_collapse, keep_best=keep_best)
    run.guard.on_train_begin(None, run.state, TrainerControl())
    args = configure(tmp_path, on_collapse=on_collapse, keep_best=keep_best)
    estimate = estimate_run(build_qwen2()[0], args, 8, copies_weights=False)
    assert (run.guard.weights is not None) == (estimate.most.best_weights > 0)


# ---- a run


def configure(folder, **options):
    return SpineConfig(output_dir=str(folder), use_cpu=True, report_to="none", **options)


class _Run:
    """A trainer whose weights are the number of updates they have had."""

    def __init__(self, folder, *, saves=True, state=None, **options):
        self.accelerator = SimpleNamespace(distributed_type=DistributedType.NO, state=None, is_main_process=True)
        self.optimizer, self.folder = torch.optim.SGD([torch.zeros(1)], lr=1.0), folder
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda _: 1.0)
        self.unwrapped_model = torch.nn.Linear(1, 1, bias=False)
        self.state = state or TrainerState(max_steps=7)
        self.args = SimpleNamespace(save_strategy="steps" if saves else "no", should_save=True)
        self.guard = CollapseGuard(self, folder, configure(folder, **options))
        self.said, self.probe = [], None
        torch.nn.init.constant_(self.unwrapped_model.weight, self.state.global_step)

    def plan_probe(self, max_steps):
        return self.probe

    def forget_after(self, step):
        self.forgotten = step

    def log_values(self, values):
        self.logged = values

    @property
    def weight(self):
        return self.unwrapped_model.weight.item()

    def save_model(self, folder, _internal_call):
        assert _internal_call  # nothing goes to the hub
        Path(folder).mkdir(parents=True)
        self.last = self.weight

    def checkpoint(self):
        folder = self.folder / f"checkpoint-{self.state.global_step}"
        folder.mkdir(parents=True)
        self.guard.save(folder)
        self.state.save_to_json(folder / "state.json")
        return TrainerState.load_from_json(folder / "state.json")

    def go(self, values, *, end=True, name="vote/first_label_share"):
        control = TrainerControl()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.guard.on_train_begin(self.args, self.state, control)
            for step, value in enumerate(values, start=self.state.global_step + 1):
                signals = {"vote/majority_ratio": 0.5, name: value, RESPONSES: 512}
                self.guard.on_step_begin(self.args, self.state, control)
                self.guard.observe({**signals, "step": step, "epoch": float(step), "vote/pass@1": 0.0})
                torch.nn.init.constant_(self.unwrapped_model.weight, step)
                self.state.global_step = step
                self.guard.on_step_end(self.args, self.state, control)
                if control.should_training_stop:
                    break
            if end:
                self.guard.on_train_end(self.args, self.state, control)
        self.said = [str(warning.message) for warning in caught]
        return self


def test_a_run_ends_with_the_weights_whose_responses_were_best(tmp_path):
    run = _Run(tmp_path).go(SHARES)
    assert run.weight == 2  # step 3's responses were of the weights after two updates
    assert run.last == 7
    assert (tmp_path / "last").is_dir()
    assert (run.guard.kept.step, run.guard.kept.last_step, run.guard.kept.share) == (2, 7, 0.57)
    assert "first labels most often, before the alarm of step 5: 25%" in run.guard.kept.reason
    assert len(run.said) == 1
    assert "step 5: this looks like a collapse: 25% of the responses give the first labels, 57% at best" in run.said[0]


def test_an_alarm_stops_where_it_is_asked_to(tmp_path):
    run = _Run(tmp_path, on_collapse="stop").go(SHARES)
    assert (run.state.global_step, run.weight) == (5, 2)
    assert run.said[0].endswith("; stopping")


def test_the_last_weights_are_kept_where_asked_or_where_nothing_was_better(tmp_path):
    run = _Run(tmp_path, keep_best="none").go(SHARES)
    assert (run.weight, run.guard.kept.step, run.guard.weights) == (7, 7, None)
    assert not hasattr(run, "last")
    assert _Run(tmp_path).go([0.5, 0.49, 0.5]).guard.kept.step == 0  # no better than the start
    assert not hasattr(_Run(tmp_path, saves=False).go(SHARES), "last")


def test_a_retry_goes_back_and_ends_with_the_last_weights_where_asked(tmp_path):
    """`keep_best=none` is about the end alone: a retry needs the best weights, and has them."""
    run = _Run(tmp_path, on_collapse="retry", keep_best="none").go(SHARES)
    assert (run.forgotten, run.lr_scheduler.base_lrs, run.optimizer.param_groups[0]["lr"]) == (2, [0.25], 0.25)
    assert (run.weight, run.guard.kept.step) == (7, 7)
    assert run.guard.kept.reason == "the last weights are kept, as keep_best=none says"
    assert _Run(tmp_path, on_collapse="retry").go(SHARES).guard.kept.step == 2


@pytest.mark.parametrize("action", ["warn", "retry"])
def test_a_collapse_that_the_last_step_shows_is_not_what_a_run_ends_with(tmp_path, action):
    run = _Run(tmp_path, on_collapse=action).go([100, 100, 30, 30], name="response_length/mean")
    assert "step 4: this looks like a collapse: responses have 30 tokens, 100 at the start" in run.said[0]
    assert (run.last, run.weight, run.guard.kept.step) == (4, 0, 0)
    assert "before step 4" in run.guard.kept.reason


def test_a_retry_halves_the_rate_within_accelerates_wrappers_or_is_refused_at_the_start(tmp_path):
    run = _Run(tmp_path, on_collapse="retry")
    own = run.lr_scheduler
    run.lr_scheduler = DeepSpeedSchedulerWrapper(own, run.optimizer)
    assert run.go(SHARES).forgotten == 2
    assert own.base_lrs == [0.25]  # two alarms
    run = _Run(tmp_path, on_collapse="retry")
    run.lr_scheduler = DeepSpeedSchedulerWrapper(SimpleNamespace(), run.optimizer)  # as WarmupLR of a `scheduler`
    with pytest.raises(ConfigError, match=r"retry' halves the learning rate, .*DeepSpeed's configuration leave out"):
        run.go(SHARES)


def test_the_last_weights_of_an_earlier_end_do_not_stay(tmp_path):
    first = _Run(tmp_path).go(SHARES)
    assert first.guard.kept.step == 2
    assert (tmp_path / "last").is_dir()
    _Run(tmp_path, keep_best="none").go(SHARES)  # of a fresh run nobody has said whose folder that is
    assert (tmp_path / "last").is_dir()
    gone_on = _Run(tmp_path, keep_best="none", state=first.checkpoint())
    gone_on.go(SHARES[:1])
    assert not (tmp_path / "last").exists()


@pytest.mark.parametrize("saves", [True, False])
def test_the_card_says_where_the_last_weights_are_where_there_are_any(tmp_path, saves):
    run = _Run(tmp_path, saves=saves).go(SHARES)
    write_model_card(SpineConfig(output_dir=str(tmp_path), use_cpu=True), "name", None, [], run.guard.kept)
    card = (tmp_path / "README.md").read_text()
    assert "the weights after step 2 of 7" in card
    assert ("Those after the last step" in card) == saves


def test_a_run_that_was_interrupted_ends_with_its_best_weights_the_next_time(tmp_path):
    run = _Run(tmp_path).go(SHARES[:3], end=False)
    run.guard.is_interrupted = True
    run.guard.on_train_end(run.args, run.state, TrainerControl())
    assert run.guard.kept is None
    run.state = TrainerState(max_steps=7)
    assert run.go(SHARES).guard.kept.step == 2


def test_no_gold_reaches_the_guard(tmp_path):
    run = _Run(tmp_path).go(SHARES)
    assert not any("pass@1" in name for row in run.guard._rows for name in row)


def test_a_number_that_is_not_finite_is_no_signal(tmp_path):
    run = _Run(tmp_path).go([0.5])
    run.guard.observe({"step": 2, "vote/majority_ratio": 0.5, "kl": math.nan, "entropy/forks": math.inf})
    assert run.guard._rows[-1] == {"step": 2, "vote/majority_ratio": 0.5}


def test_a_run_that_sees_no_problem_twice_is_told_so_and_keeps_its_last_weights(tmp_path):
    state = TrainerState(max_steps=20, num_train_epochs=1)
    run = _Run(tmp_path, state=state).go([])
    assert "no problem is seen twice" in run.said[0]
    assert run.guard.kept.reason.startswith("no problem with a clear first vote was seen again")
    run = _Run(tmp_path, state=TrainerState(max_steps=20, num_train_epochs=1))
    run.probe = "some problems"
    assert not run.go([]).said


@pytest.mark.parametrize("broken_at", range(1, 7))
def test_a_resumed_run_ends_as_an_unbroken_one(tmp_path, broken_at):
    whole = _Run(tmp_path / "whole").go(SHARES)
    state = _Run(tmp_path / "broken").go(SHARES[:broken_at], end=False).checkpoint()
    resumed = _Run(tmp_path / "broken", state=state).go(SHARES[broken_at:])
    assert (resumed.weight, resumed.guard.kept) == (whole.weight, whole.guard.kept)
    assert len(resumed.said) == 1  # an alarm before the checkpoint still counts, and is said again


def test_a_resume_without_the_best_weights_starts_from_its_own(tmp_path):
    state = _Run(tmp_path).go(SHARES[:3], end=False).checkpoint()
    (tmp_path / "checkpoint-3" / "best_weights.safetensors").unlink()
    assert _Run(tmp_path, state=state).go([0.54, 0.54]).weight == 3
    state = _Run(tmp_path / "other").go(SHARES[:3], end=False).checkpoint()  # a share of 0.57 that is lost
    (tmp_path / "other" / "checkpoint-3" / "best_weights.safetensors").unlink()
    kept = _Run(tmp_path / "other", state=state).go([0.50, 0.55, 0.55]).guard.kept
    assert (kept.step, kept.share) == (4, 0.55)


@pytest.fixture
def collapsing(monkeypatch):
    """The monitor sees every run be best at its third step and collapse at its fourth."""
    update = CollapseMonitor.update

    def late(self, row):
        share = {1: 0.3, 2: 0.3, 3: 0.9, 4: 0.1}.get(row["step"], 0.9)
        seen = {name: row[name] for name in ("step", RETRIED_FROM) if name in row}
        return update(self, {**seen, "epoch": float(row["step"]), "vote/first_label_share": share, RESPONSES: 512})

    monkeypatch.setattr(CollapseMonitor, "update", late)


@pytest.mark.slow
@pytest.mark.parametrize("action", ["warn", "stop", "retry"])
def test_what_the_guard_does(spine, tmp_path, collapsing, action):
    model, data, out = save_qwen2(tmp_path / "model"), tmp_path / "p.jsonl", tmp_path / "run"
    data.write_text("".join(json.dumps({"id": i, "prompt": f"{i}+{i}="}) + "\n" for i in range(4)))
    with pytest.warns(UserWarning, match="looks like a collapse"):
        status, printed, _ = spine(
            "train", "--model", model, "--data", data, "--output_dir", out, "--max_steps=6", "--num_generations=2",
            "--per_device_train_batch_size=4", "--max_completion_length=6", "--learning_rate=1e-2", "--use_cpu",
            "--report_to=none", "--on_collapse", action, "--save_steps=2", "--preset=spine", "--logging_steps=2",
            "--lr_scheduler_type=constant",
        )  # fmt: skip
    assert status == 0
    printed = " ".join(printed.split())
    assert "its weights are those after step 2 of" in printed
    assert "the weights after the last step are in" in printed
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert max(row["step"] for row in rows) == (4 if action == "stop" else 6)
    retried = [row["guard/retried_from"] for row in rows if "guard/retried_from" in row]
    assert retried == ([2] if action == "retry" else [])
    rates = {row["step"]: row["learning_rate"] for row in rows if "learning_rate" in row}
    if action != "stop":
        assert rates[6] == pytest.approx(rates[4] * (0.5 if action == "retry" else 1))
    kept, last = load_file(out / "model.safetensors"), load_file(out / "last" / "model.safetensors")
    after_two = load_file(out / "checkpoint-4" / "best_weights.safetensors")
    assert all(torch.equal(kept[name], after_two[name]) for name in kept)
    assert not all(torch.equal(kept[name], last[name]) for name in kept)
    card = (out / "README.md").read_text()
    assert "the weights after step 2 of" in card
    assert "Those after the last step are in the run's folder, in `last`." in card


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
