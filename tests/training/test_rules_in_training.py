"""Label rules in training: what they read of tokens is right, and the rewards that TRL logs are theirs."""

import re
from collections import defaultdict, deque
from types import SimpleNamespace

import pytest
import torch
from test_trainer import NUM_GENERATIONS, make_trainer, options, pretend_answers, scored_batch

from models import build_qwen2, build_qwen3
from paths import ROOT
from spine_rl import SpineConfig
from spine_rl.engine.certainty import compute_logit_leads, compute_self_certainties
from spine_rl.errors import ConfigError
from spine_rl.training.ballots import VotingTrainer
from spine_rl.training.election import Election
from spine_rl.training.response_statistics import average_tokens, measure_responses
from spine_rl.voting import LABEL_RULES, STATISTICS, hold_vote


@pytest.mark.parametrize("build", [build_qwen2, build_qwen3])
def test_self_certainty_is_the_divergence_from_uniform(build):
    model, tokenizer = build()
    ids = torch.randint(20, len(tokenizer), (3, 9))
    with torch.no_grad():
        hidden = model.base_model(input_ids=ids).last_hidden_state
        log_probs = (model(input_ids=ids).logits / 0.7).log_softmax(-1)
    targets = torch.randint(20, len(tokenizer), (3, 9))
    logps = log_probs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    uniform = torch.full_like(log_probs, 1 / log_probs.size(-1))
    expected = (uniform * (uniform.log() - log_probs)).sum(-1)
    leads = compute_logit_leads(model, hidden, targets)
    found = compute_self_certainties(leads, logps, 0.7, log_probs.size(-1))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sharing", ["two-calls", "off"])
def test_statistics_are_means_over_a_responses_own_tokens(tmp_path, monkeypatch, sharing):
    pretend_answers(monkeypatch)
    trainer = make_trainer(
        tmp_path, preset="entropy", prompt_sharing=sharing, temperature=0.8, per_device_train_batch_size=4,
        gradient_accumulation_steps=4,
    )  # fmt: skip
    batch = scored_batch(trainer)
    found = measure_responses(trainer, batch, STATISTICS)
    assert [[*row] for row in found] == [[*STATISTICS]] * len(batch["completion_ids"])
    for row, statistics in enumerate(found):
        length = int(batch["completion_mask"][row].sum())
        prompt = batch["prompt_ids"][row][batch["prompt_mask"][row].bool()]
        response = batch["completion_ids"][row, :length]
        with torch.no_grad():
            logits = trainer.model(input_ids=torch.cat([prompt, response])[None]).logits[0]
        log_probs = (logits[len(prompt) - 1 : -1] / 0.8).log_softmax(-1)
        expected = {
            "mean_logps": log_probs.gather(1, response[:, None]).mean(),
            "mean_entropies": -(log_probs.exp() * log_probs).sum(1).mean(),
            "self_certainties": -log_probs.mean(1).mean() - torch.log(torch.tensor(float(log_probs.size(1)))),
        }
        for name, value in expected.items():
            assert statistics[name] == pytest.approx(value.item(), rel=1e-3, abs=1e-4), name


def test_a_response_without_tokens_has_mean_0():
    values = torch.tensor([[1.0, float("nan")], [float("nan"), float("nan")]])
    assert average_tokens(values, torch.tensor([[True, False], [False, False]])).tolist() == [1.0, 0.0]


def test_mean_log_probabilities_are_those_that_the_sampler_drew_with(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    trainer = make_trainer(tmp_path, preset="confidence-vote")
    batch = scored_batch(trainer)
    monkeypatch.setattr(type(trainer), "score_tokens", lambda *_: pytest.fail("nothing is run again"))
    drawn = batch["sampling_per_token_logps"]
    found = [row["mean_logps"] for row in measure_responses(trainer, batch, ["mean_logps"])]
    assert found == pytest.approx(average_tokens(drawn, batch["completion_mask"].bool()).tolist())


def test_where_another_process_does_not_know_them_all_run_the_forward_pass(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    trainer = make_trainer(tmp_path, preset="confidence-vote")
    batch, run, score = scored_batch(trainer), [], type(trainer).score_tokens
    monkeypatch.setattr(trainer.accelerator, "gather", lambda own: torch.cat([own, torch.zeros_like(own)]))
    monkeypatch.setattr(type(trainer), "score_tokens", lambda *given: run.append(given) or score(*given))
    measure_responses(trainer, batch, ["mean_logps"])
    assert len(run) == 1


@pytest.mark.parametrize("preset", ["scrl", "dare", "self-certainty", "confidence-vote", "evol", "soft-vote"])
def test_advantages_and_logs_are_of_the_rules_rewards(tmp_path, monkeypatch, preset):
    pretend_answers(monkeypatch)
    trainer = make_trainer(tmp_path, preset=preset)
    batch = scored_batch(trainer)
    rewards = trainer._election.rewards
    assert rewards.std() > 0
    groups = rewards.view(-1, NUM_GENERATIONS)
    expected = (groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)
    torch.testing.assert_close(batch["advantages"], expected.flatten(), rtol=1e-4, atol=1e-5)
    logged = trainer._metrics["train"]
    assert logged["reward"] == pytest.approx([rewards.mean().item()])
    assert logged["rewards/majority_vote/std"] == pytest.approx([rewards.std().item()])
    assert [*trainer._logs["rewards"]["majority_vote"]] == pytest.approx(rewards.tolist())
    without_spread = (groups.std(1) < 1e-8).float().mean().item()
    assert logged["frac_reward_zero_std"] == pytest.approx([without_spread])
    assert logged["vote/reward"] == pytest.approx([rewards.mean().item()], abs=1e-6)
    assert len(logged["vote/majority_ratio"]) == 1


def test_a_problem_that_was_left_out_is_logged_as_one_without_spread():
    ballots = [hold_vote("p", "aab"), hold_vote("q", "xyy")]
    rewards, group_ids = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, 1.0]), torch.tensor([0, 0, 0, 1, 1, 1])
    metrics = defaultdict(lambda: [0.0])
    trainer = SimpleNamespace(
        _election=Election([], ballots, rewards, group_ids, slice(6)),
        reward_func_names=["vote"],
        _metrics={"train": metrics},
        _logs={"rewards": {"vote": deque([0.0] * 6)}},
    )
    VotingTrainer._correct_logged_rewards(trainer)
    assert metrics["frac_reward_zero_std"] == [0.5]


def test_flip_guard_leaves_problems_out_and_remembers(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    trainer = make_trainer(tmp_path, preset="flip-guard", max_steps=6)
    chosen = []
    monkeypatch.setattr(
        "spine_rl.training.ballots.choose_skipped",
        lambda history, ballots, draw: chosen.append((dict(history), draw)) or frozenset({ballots[0].problem_id}),
    )
    batch = scored_batch(trainer)
    assert batch["advantages"].view(-1, NUM_GENERATIONS)[0].tolist() == [0.0] * NUM_GENERATIONS
    assert trainer._metrics["train"]["vote/skipped"] == [1 / 4]
    assert chosen[0][1] == "3/0"
    assert trainer.state.stateful_callbacks["label_history"].keys() == chosen[0][0].keys()
    trainer.forget_after(-1)
    assert trainer.state.stateful_callbacks["label_history"] == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "dare", "num_votes": 8}, "num_votes=8: contradicts label_rule='dare'"),
        ({"preset": "scrl", "leave_one_out": True}, "leave_one_out=True: contradicts label_rule='scrl'"),
        ({"label_rule": "soft_vote"}, "label_rule='soft_vote': must be one of majority, soft-vote"),
        ({"problem_rule": "flip"}, "problem_rule='flip': must be one of all, flip-guard"),
    ],
)
def test_what_a_rule_cannot_take_is_refused(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        SpineConfig(**options(tmp_path, **changes))


def test_a_soft_cap_on_logits_is_refused(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    model, tokenizer = build_qwen2()
    model.config.get_text_config().final_logit_softcapping = 30.0
    trainer = make_trainer(tmp_path, (model, tokenizer), preset="self-certainty", prompt_sharing="off")
    with pytest.raises(ConfigError, match=r"label_rule='self-certainty' cannot read .* soft cap \(30\)"):
        scored_batch(trainer)


def test_a_rule_of_shares_draws_every_vote(tmp_path, monkeypatch):
    """The majority is decided at 5 of 8 votes for one answer; a share is not."""
    monkeypatch.setattr("spine_rl.training.trainer.SpineTrainer._key", lambda *_: "same")
    voters = {}
    for preset in ("ttrl", "soft-vote"):
        trainer = make_trainer(tmp_path, preset=preset, num_votes=16, vote_wave_size=4)
        scored_batch(trainer)
        voters[preset] = {ballot.num_voters for ballot in trainer._election.ballots}
    assert max(voters["ttrl"]) < 16
    assert voters["soft-vote"] == {16}


def test_the_docs_own_rule_trains(tmp_path, monkeypatch):
    """The very snippet of docs/methods.md; of its configuration the size is replaced."""
    pretend_answers(monkeypatch)
    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    (snippet,) = [code for code in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S) if "LABEL_RULES[" in code]
    assert len([line for line in snippet.splitlines() if line and "import" not in line]) <= 10
    monkeypatch.chdir(tmp_path)
    try:
        names = {}
        exec(snippet, names)
        config = names["config"]
        trainer = make_trainer(tmp_path, preset=config.preset, label_rule=config.label_rule)
        trainer.train()
    finally:
        LABEL_RULES.pop("brevity", None)
    lengths = [response.length for response in trainer._election.responses]
    for ballot, start in zip(trainer._election.ballots, range(0, len(lengths), NUM_GENERATIONS), strict=True):
        own = lengths[start : start + NUM_GENERATIONS]
        agrees = [key is not None and key == ballot.pseudo_label for key in ballot.keys]
        expected = [min(own) / length * agree for length, agree in zip(own, agrees, strict=True)]
        assert list(ballot.rewards) == pytest.approx(expected)
