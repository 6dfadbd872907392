"""The probe: which problems, how often, what of it is logged, and what it leaves as it was."""

import json

import pytest
import torch
from test_trainer import dataset, make_trainer, options

from models import build_qwen2
from spine_rl import SpineConfig, SpineTrainer
from spine_rl.errors import ConfigError
from spine_rl.monitor import judge_run
from spine_rl.training import trainer as trainer_module
from spine_rl.training.forecast import forecast
from spine_rl.training.probe import plan_probe


def plan(tmp_path, *, num_problems=320, max_steps=100, num_processes=1, **changes):
    args = SpineConfig(**options(tmp_path, num_generations=4, per_device_train_batch_size=32, **changes))
    return plan_probe(
        args,
        num_problems=num_problems,
        max_steps=max_steps,
        steps_an_epoch=max(1, num_problems // args.problems_per_rollout) * args.steps_per_rollout,
        num_processes=num_processes,
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (16, 16)),  # 8 problems a step: 16 more every 16 steps are an eighth of what is drawn
        ({"num_problems": 128}, None),  # an epoch of 16 steps
        ({"num_problems": 136}, (16, 16)),
        ({"max_steps": 16}, None),  # it ends before the second vote
        ({"probe_problems": 0}, None),
        ({"probe_problems": 4, "num_problems": 16}, (4, 8)),
        ({"probe_problems": 40}, (40, 40)),
        ({"probe_problems": 40, "probe_steps": 3}, (40, 3)),
        ({"probe_problems": 40, "num_problems": 20}, (20, 20)),
        ({"num_processes": 3}, (18, 18)),  # as many for each
        ({"num_iterations": 2}, (16, 32)),  # half as many responses are drawn a step
    ],
)
def test_what_is_probed(tmp_path, changes, expected):
    probe = plan(tmp_path, **changes)
    assert (probe and (len(probe.rows), probe.steps)) == expected
    if probe is not None:
        assert len(set(probe.rows)) == len(probe.rows)
        assert set(probe.rows) <= set(range(changes.get("num_problems", 320)))
        assert probe == plan(tmp_path, **changes)


def test_another_seed_probes_other_problems(tmp_path):
    assert plan(tmp_path).rows != plan(tmp_path, seed=1).rows


@pytest.fixture
def two_answers(monkeypatch):
    """A random model's text has no answers: it is one of two, so that votes have a label."""
    monkeypatch.setattr(SpineTrainer, "_key", lambda self, completion, *_: str(len(completion[-1]["content"]) % 2))


def run(folder, *, steps, resume=False, **changes):
    trainer = make_trainer(
        folder,
        build_qwen2(),
        data=dataset(12),
        per_device_train_batch_size=8,
        max_steps=steps,
        save_strategy="steps",
        save_steps=2,
        learning_rate=1e-2,
        **changes,
    )
    trainer.train(resume_from_checkpoint=resume or None)
    return trainer


def read_probes(trainer):
    return {
        row["step"]: {name: value for name, value in row.items() if name.startswith("probe/")}
        for row in trainer.state.log_history
        if "probe/responses" in row
    }


def test_votes_are_taken_again_judged_and_resumed(tmp_path, two_answers):
    whole = run(tmp_path / "whole", steps=5, probe_problems=3, probe_steps=2)
    probes = read_probes(whole)
    assert [*probes] == [1, 3, 5]  # of the weights after 0, 2 and 4 steps
    assert all(probe["probe/responses"] == 3 * 4 for probe in probes.values())
    assert "probe/label_drift" not in probes[1]
    assert 0 <= probes[5]["probe/label_drift"] <= 1
    kept = [row for row in whole.state.stateful_callbacks["collapse_guard"] if "probe/first_label_share" in row]
    assert [row["step"] for row in kept] == [1, 3, 5]
    assert [verdict.share is not None for verdict in judge_run(whole.state.log_history)] == [True, False] * 2 + [True]
    assert whole.state.log_history[0]["seconds/probe"] > 0
    # TRL's figures, and the tokens generated, are of what is trained on.
    first = whole.state.log_history[0]
    assert first["completions/min_length"] <= first["response_length/p10"]
    assert first["completions/mean_length"] == pytest.approx(first["response_length/mean"], abs=1)  # ends count there

    run(tmp_path / "broken", steps=3, probe_problems=3, probe_steps=2)
    broken = run(tmp_path / "broken", steps=5, resume=True, probe_problems=3, probe_steps=2)
    assert read_probes(broken) == probes
    whole_weights, broken_weights = whole.model.state_dict(), broken.model.state_dict()
    assert all(torch.equal(broken_weights[name], value) for name, value in whole_weights.items())
    assert whole.num_probed == broken.num_probed == 3 * 3 * 4  # of three votes

    labels = broken.state.stateful_callbacks["probe"]["labels"]
    labels["late"] = ("1", 1.0, 4)  # a problem that had no label before
    broken.forget_after(2)
    assert "late" not in labels
    assert len(labels) == 3


def test_a_probe_is_forecast(tmp_path):
    trainer = make_trainer(tmp_path, build_qwen2(), max_steps=2, probe_problems=2, probe_steps=4)
    (said,) = forecast(trainer)
    assert "; 2 problems are voted on at the start and every 4 steps, for the collapse monitor alone" in said
    without = make_trainer(tmp_path, build_qwen2(), max_steps=2, probe_problems=0)
    assert "voted on" not in forecast(without)[0]
    assert without.plan_probe(2) is None


def test_a_run_that_is_made_longer_gets_no_probe_whose_first_votes_are_not_the_unadapted_models(tmp_path):
    trainer = make_trainer(tmp_path, build_qwen2(), max_steps=9, probe_problems=2, probe_steps=4)
    trainer.state.global_step = 5
    assert trainer.plan_probe(9) is None
    trainer._probe_memory["step"] = 0
    assert trainer.plan_probe(9).steps == 4


def test_a_stream_has_none(tmp_path):
    stream = dataset(12).to_iterable_dataset()
    assert make_trainer(tmp_path, build_qwen2(), data=stream, max_steps=40).plan_probe(40) is None
    with pytest.raises(ConfigError, match=r"probe_problems=3: .* a streamed data set does not allow"):
        make_trainer(tmp_path, build_qwen2(), data=stream, max_steps=40, probe_problems=3)
    with pytest.raises(ConfigError, match="data_seed=3: a streamed data set is shuffled by seed alone"):
        make_trainer(tmp_path, build_qwen2(), data=stream, max_steps=40, data_seed=3)


def test_the_order_of_problems_follows_data_seed(tmp_path):
    def order(**seeds):
        return list(make_trainer(tmp_path, build_qwen2(), data=dataset(12), **seeds)._get_train_sampler())

    assert order(seed=1, data_seed=2) == order(seed=2)
    assert order(seed=1, data_seed=2) != order(seed=1)


def test_its_responses_are_not_trained_on(tmp_path, two_answers, monkeypatch):
    seen, real = [], trainer_module.compute_group_advantages

    def spy(rewards, *args, **kwargs):
        seen.append(len(rewards))
        return real(rewards, *args, **kwargs)

    monkeypatch.setattr(trainer_module, "compute_group_advantages", spy)
    run(tmp_path, steps=2, probe_problems=3, probe_steps=1)
    assert seen == [8, 8]
    labels = json.loads((tmp_path / "checkpoint-2" / "trainer_state.json").read_text())["stateful_callbacks"]
    assert len(labels["first_labels"]) <= 4  # two problems a step
