"""The trainer on TRL: parity with TRL's own loss, invariances, and that gold answers cannot reach it."""

import inspect
import json
import math
import warnings

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from models import build_qwen2, build_qwen3
from spine_rl import SpineConfig, SpineTrainer
from spine_rl.errors import ConfigError, DataError
from spine_rl.objective import TokenBatch, compute_logps_and_entropies, compute_loss, select_forks
from spine_rl.training.collapse_guard import CollapseGuard
from spine_rl.training.phases import measure_peak_memory
from spine_rl.training.progress import format_status
from spine_rl.training.shared_scoring import SharedScoring, find_obstacle, unwrap_model
from spine_rl.voting import is_decided

NUM_PROBLEMS, NUM_GENERATIONS = 4, 4
BATCH = NUM_PROBLEMS * NUM_GENERATIONS


def dataset(num_problems=NUM_PROBLEMS, **columns):
    rows = [
        {"prompt": [{"role": "user", "content": f"{i}+{i * 7}" * (i + 1)}], "problem_id": f"p{i}"}
        for i in range(num_problems)
    ]
    return Dataset.from_list(
        [row | {name: values[i] for name, values in columns.items()} for i, row in enumerate(rows)]
    )


def options(folder, **changes):
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": BATCH,
        "num_generations": NUM_GENERATIONS,
        "max_completion_length": 12,
        "max_steps": 1,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "constant",
        "gradient_checkpointing": False,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "seed": 3,
        "logging_steps": 1,
    } | changes


def make_trainer(folder, model=None, data=None, gold=None, **changes):
    model, tokenizer = build_qwen2() if model is None else model
    return SpineTrainer(
        model,
        args=SpineConfig(**options(folder, **changes)),
        train_dataset=data or dataset(),
        processing_class=tokenizer,
        gold_answers=gold,
    )


def pretend_answers(monkeypatch):
    """A random model's text has no answers: take its second character as one, so that the vote has work to do."""
    monkeypatch.setattr(SpineTrainer, "_key", lambda self, completion, *_: completion[-1]["content"][1:2] or None)


def scored_batch(trainer):
    """One generation batch, sampled and scored by the trainer."""
    rows = [row for row in trainer.train_dataset for _ in range(NUM_GENERATIONS)]
    trainer.model.train()
    torch.manual_seed(11)
    batch = trainer._generate_and_score_completions(rows)
    trainer.current_gradient_accumulation_steps = trainer.args.steps_per_generation
    return batch


def gradients(model):
    return {name: p.grad.detach().clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_close(found, expected, tolerance=1e-5):
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        difference = (found[name] - gradient).norm()
        assert difference <= tolerance * gradient.norm() + 1e-9, name


# ---- parity with TRL (its loss_type "dapo": token mean over the generation batch)


@pytest.mark.parametrize("beta", [0.0, 0.05])
@pytest.mark.parametrize("build", [build_qwen2, build_qwen3])
def test_ttrl_equals_trl(tmp_path, monkeypatch, build, beta):
    pretend_answers(monkeypatch)
    model, tokenizer = build()
    model.save_pretrained(tmp_path / "model")
    model = type(model).from_pretrained(tmp_path / "model")  # the reference model is read again from there
    ours = make_trainer(tmp_path / "ours", (model, tokenizer), preset="ttrl", beta=beta)
    batch = scored_batch(ours)
    assert batch["advantages"].abs().sum() > 0
    if beta:  # make policy and reference differ
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.01 * torch.randn_like(parameter))

    theirs = GRPOTrainer(
        model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=GRPOConfig(**options(tmp_path / "theirs", beta=beta)),
        train_dataset=dataset(),
        processing_class=tokenizer,
    )
    theirs.model.train()
    theirs.current_gradient_accumulation_steps = 1
    results = []
    for trainer in (ours, theirs):
        model.zero_grad()
        loss = trainer.compute_loss(model, batch)
        loss.backward()
        results.append((loss.item(), gradients(model)))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5, abs=1e-7)
    assert_close(results[0][1], results[1][1])


def test_advantages_equal_trls(tmp_path, monkeypatch):
    """With the default standard deviation and epsilon, and whole groups in order, TRL's own advantages are the same."""
    pretend_answers(monkeypatch)
    trainer = make_trainer(tmp_path)
    found = {}
    original = GRPOTrainer._generate_and_score_completions
    monkeypatch.setattr(
        GRPOTrainer,
        "_generate_and_score_completions",
        lambda self, inputs: found.setdefault("batch", dict(original(self, inputs))).copy(),
    )
    batch = scored_batch(trainer)
    torch.testing.assert_close(batch["advantages"], found["batch"]["advantages"], rtol=1e-5, atol=1e-6)
    assert batch["advantages"].abs().sum() > 0


def test_loss_equals_the_core_on_plain_logits(tmp_path, monkeypatch):
    """TRL's fused head against softmax over the model's own logits, for each selector and band."""
    pretend_answers(monkeypatch)
    for preset in ("spine", "spine-v2", "band-only"):
        trainer = make_trainer(tmp_path / preset, preset=preset, temperature=0.8)
        batch = scored_batch(trainer)
        loss = trainer.compute_loss(trainer.model, batch).item()
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
        width = batch["completion_ids"].size(1)
        logits = trainer.model(input_ids=ids, attention_mask=mask).logits[:, -width - 1 : -1]
        logps, entropies = compute_logps_and_entropies(logits, batch["completion_ids"], 0.8)
        expected = compute_loss(
            TokenBatch(logps, entropies, batch["completion_mask"], batch["advantages"]),
            trainer.objective,
            num_response_tokens=batch["completion_mask"].sum(),
            num_forks=0,
        )
        assert loss == pytest.approx(expected.loss.item(), rel=1e-5, abs=1e-7)  # its terms cancel


# ---- invariances


@pytest.mark.parametrize("preset", ["ttrl", "spine", "spine-v2", "random-forks", "low-entropy-forks", "entropy-min"])
def test_update_does_not_depend_on_micro_batches(tmp_path, monkeypatch, preset):
    """The gradient that reaches the optimiser, with the batch whole, in 2, 4 and 8 parts; KL anchor included."""
    pretend_answers(monkeypatch)
    model, tokenizer = build_qwen2()
    model.save_pretrained(tmp_path / "model")
    results = []
    for parts in (1, 2, 4, 8):
        fresh = type(model).from_pretrained(tmp_path / "model")
        trainer = make_trainer(
            tmp_path / str(parts),
            (fresh, tokenizer),
            preset=preset,
            beta=0.05,
            per_device_train_batch_size=BATCH // parts,
            gradient_accumulation_steps=parts,
        )
        batch = scored_batch(trainer)
        with torch.no_grad():  # away from the reference, or the KL gradient is zero
            for parameter in trainer.model.parameters():
                parameter.mul_(1.02)
        trainer.model.zero_grad()
        for part in range(parts):
            rows = slice(part * BATCH // parts, (part + 1) * BATCH // parts)
            micro = {name: value[rows] if value.ndim else value for name, value in batch.items()}
            trainer.compute_loss(trainer.model, micro).backward()
        results.append(
            (batch["completion_ids"], gradients(trainer.model), trainer._statistics.pop(trainer.accelerator, kl=True))
        )
    for ids, found, statistics in results[1:]:
        assert torch.equal(ids, results[0][0])
        assert_close(found, results[0][1])
        assert statistics == pytest.approx(results[0][2], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("preset", ["entropy-min", "band-without-vote"])
def test_without_a_vote_only_the_band_moves_the_weights(tmp_path, monkeypatch, preset):
    pretend_answers(monkeypatch)
    trainer = make_trainer(tmp_path, preset=preset)
    batch = scored_batch(trainer)
    assert batch["advantages"].tolist() == [0.0] * BATCH
    trainer.compute_loss(trainer.model, batch).backward()
    assert any(gradient.abs().sum() > 0 for gradient in gradients(trainer.model).values())


def test_random_labels_are_other_labels_than_the_votes(tmp_path, monkeypatch):
    """Same seed, same samples: the vote's advantages, and those of a random answer's."""
    pretend_answers(monkeypatch)
    vote, first, again = (
        scored_batch(make_trainer(tmp_path, preset=preset))["advantages"].tolist()
        for preset in ("spine", "random-labels", "random-labels")
    )
    assert first == again
    assert first != vote


def test_weights_do_not_depend_on_gold_answers(tmp_path, monkeypatch):
    """With an answer column, without it, and with gold answers for diagnosis: bit-identical weights."""
    pretend_answers(monkeypatch)
    weights = []
    for name, data, gold in (
        ("without", dataset(), None),
        ("column", dataset(answer=["1", "2", "3", "4"], solution=["a", "b", "c", "d"]), None),
        ("diagnosis", dataset(), {f"p{i}": "1" for i in range(4)}),
    ):
        model, tokenizer = build_qwen2()
        args = SpineConfig(**options(tmp_path / name, max_steps=2, keep_best="none"))
        trainer = SpineTrainer(model, args, data, tokenizer, gold_answers=gold)
        assert set(trainer.train_dataset.column_names) == {"prompt", "problem_id"}
        trainer.train()
        assert ("vote/label_accuracy" in trainer.state.log_history[0]) == (gold is not None)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    start = torch.cat([p.detach().flatten() for p in build_qwen2()[0].parameters()])
    assert not torch.equal(weights[0], start)
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])


def test_same_seed_same_weights_other_seed_other_weights(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    weights = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        model, tokenizer = build_qwen2()
        make_trainer(tmp_path / name, (model, tokenizer), seed=seed).train()
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


# ---- the vote in the trainer


def test_extra_votes_enter_the_label_but_not_the_batch(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    num_votes = 3 * NUM_GENERATIONS + 1
    trainer = make_trainer(tmp_path, num_votes=num_votes, vote_wave_size=3)
    batch = scored_batch(trainer)
    assert batch["completion_ids"].size(0) == BATCH
    for ballot in trainer._election.ballots:
        assert NUM_GENERATIONS < ballot.num_voters <= num_votes
        assert len(ballot.rewards) == NUM_GENERATIONS
        remaining = num_votes - ballot.num_voters
        assert is_decided(ballot.problem_id, ballot.votes, ballot.num_voters, remaining)
    assert trainer.num_generations == NUM_GENERATIONS


def test_extra_votes_are_not_among_the_completions_that_are_logged(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    trainer = make_trainer(tmp_path, num_votes=3 * NUM_GENERATIONS, vote_wave_size=3)
    lengths = scored_batch(trainer)["completion_mask"].sum(1).float()
    logged = trainer._metrics["train"]
    assert logged["completions/mean_length"] == [lengths.mean().item()]
    assert logged["completions/max_length"] == [lengths.max().item()]


def test_a_compiled_model_is_known_by_the_one_within():
    model, _ = build_qwen2()
    assert unwrap_model(torch.compile(model)) is model
    assert unwrap_model(torch.nn.DataParallel(torch.compile(model))) is model


def test_a_label_needs_the_share_and_margin_asked_for(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    trainer = make_trainer(tmp_path, vote_min_share=1.0)
    batch = scored_batch(trainer)
    assert all(ballot.pseudo_label is None for ballot in trainer._election.ballots)
    assert batch["advantages"].abs().max() == 0


def test_answers_are_read_as_each_problem_says(tmp_path):
    prompt = [{"role": "user", "content": "?"}]
    rows = [
        {"prompt": prompt, "problem_id": "a", "answer_type": "choice", "options": ["x", "y"]},
        {"prompt": prompt, "problem_id": "b", "answer_type": None, "options": ["7", "8"]},
        {"prompt": prompt, "problem_id": "c", "answer_type": None, "options": None},
        {"prompt": prompt, "problem_id": "d", "answer_type": "text", "options": None},
    ]
    gold = {"a": "y", "b": "A", "c": "0.5", "d": "The Lung"}
    trainer = make_trainer(tmp_path, data=Dataset.from_list(rows), gold=gold)
    assert trainer.gold_keys == {"a": "B", "b": "A", "c": "1/2", "d": "lung"}
    completions = [
        [{"role": "assistant", "content": text}] for text in ("answer is x", "answer is 8", r"\boxed{\frac12}", "lung")
    ]
    columns = {name: [row[name] for row in rows] for name in ("answer_type", "options")}
    ids = [[5, trainer.eos_token_ids[0]]] * 4
    trainer.majority_vote([row["prompt"] for row in rows], completions, ids, ["a", "b", "c", "d"], **columns)
    assert [ballot.pseudo_label for ballot in trainer._election.ballots] == ["A", "B", "1/2", "lung"]


def test_step_without_any_answer_warns_and_goes_on(tmp_path, capsys):
    model, tokenizer = build_qwen2()
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    with pytest.warns(UserWarning, match="no response of step 1 has a readable answer") as caught:
        make_trainer(tmp_path, (model, tokenizer), preset="ttrl", max_steps=3).train()
    assert sum("readable answer" in str(each.message) for each in caught) == 1  # not at every step that has none
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert torch.equal(before, after)  # no vote, no update


def test_every_step_logs_the_label_free_statistics(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    model, tokenizer = build_qwen2()
    model.save_pretrained(tmp_path / "model")
    model = type(model).from_pretrained(tmp_path / "model")
    trainer = make_trainer(tmp_path, (model, tokenizer), beta=0.01, max_steps=2)
    trainer.train()
    rows = [row for row in trainer.state.log_history if "vote/majority_ratio" in row]
    assert [row["step"] for row in rows] == [1, 2]
    expected = {f"vote/{name}" for name in ("majority_ratio", "distinct_answers", "unanimous", "abstained", "reward")}
    expected |= {f"response_length/{name}" for name in ("mean", "p10", "p90", "truncated")}
    expected |= {
        "entropy/all",
        "entropy/forks",
        "loss/policy",
        "loss/band",
        "loss/kl",
        "kl",
        "grad_norm",
        "tokens_generated",
        "tokens_per_second",
    }
    expected |= {f"forks/{name}" for name in ("share", "below_band", "in_band", "above_band")}
    expected |= {f"seconds/{name}" for name in ("generate", "vote", "forward", "backward", "optimise")}
    assert expected <= rows[0].keys()
    row = rows[0]
    assert row["forks/below_band"] + row["forks/in_band"] + row["forks/above_band"] == pytest.approx(1)
    assert row["loss/policy"] + row["loss/band"] + row["loss/kl"] == pytest.approx(row["loss"], rel=1e-3)
    json.dumps(rows)


@pytest.mark.parametrize("logging_steps", [1, 2])
def test_tokens_are_counted_over_the_time_in_which_they_were_drawn(tmp_path, logging_steps):
    """One generation serves two steps."""
    given = {"steps_per_generation": 2, "per_device_train_batch_size": BATCH // 2, "max_steps": 4}
    trainer = make_trainer(tmp_path, **given, logging_steps=logging_steps)
    trainer.train()
    rows = [row for row in trainer.state.log_history if "tokens_per_second" in row]
    assert [row["step"] for row in rows] == [logging_steps, 2 + logging_steps]
    for row in rows:
        expected = row["tokens_generated"] / (row["seconds/generate"] * logging_steps)
        assert row["tokens_per_second"] == pytest.approx(expected)
        assert f"{expected:,.0f} tokens/s" in format_status(row)
        del row["tokens_per_second"]
        assert "tokens/s" not in format_status(row)


def test_otsu_counts_its_forks_before_the_update(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    model, tokenizer = build_qwen2()
    model.save_pretrained(tmp_path / "model")
    model = type(model).from_pretrained(tmp_path / "model")
    trainer = make_trainer(tmp_path, (model, tokenizer), preset="spine-v2", beta=0.01)
    batch = scored_batch(trainer)
    _, entropies, _ = trainer.score_tokens(trainer.model, batch)
    assert batch["num_forks"] == select_forks(entropies, batch["completion_mask"], "otsu").sum()


# ---- configuration


def test_presets_expand_and_explicit_fields_win(tmp_path):
    config = SpineConfig(output_dir=str(tmp_path), preset="spine-v2", use_cpu=True)
    assert (config.fork_selector, config.band, config.label_rule) == ("otsu", "median_mad", "majority")
    config = SpineConfig(output_dir=str(tmp_path), preset="ttrl", band="quantile", use_cpu=True)
    assert (config.fork_selector, config.band) == ("all", "quantile")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"preset": "spin"}, r"preset='spin': unknown; did you mean 'spine'\?"),
        ({"loss_type": "grpo"}, "loss_type='grpo' would have no effect"),
        ({"top_entropy_quantile": 0.2}, "use_nothing|fork_selector and fork_fraction"),
        ({"entropy_coef": 0.01}, "entropy_coef=0.01 would have no effect: hold the entropy with band"),
        ({"scale_rewards": "none"}, "advantage_std"),
        ({"delta": 2.0}, "delta=2.0 would have no effect"),
        ({"importance_sampling_level": "sequence"}, "importance_sampling_level='sequence'"),
        ({"eval_strategy": "steps"}, "evaluate with `spine eval`"),
        ({"use_bias_correction_kl": False}, "use_bias_correction_kl=False"),
        ({"fork_fraction": 0.0}, r"fork_fraction=0.0: must be in \(0, 1\]"),
        ({"band_low_quantile": 0.7}, "band_high_quantile=0.5: must be in"),
        ({"num_generations": 1}, "num_generations=1: must be at least 2"),
        ({"num_votes": 7}, "num_votes=7: must be at least num_generations=8"),
        ({"vote_min_share": 1.5}, r"vote_min_share=1.5: must be in \[0, 1\]"),
        ({"answer_type": "maths"}, "answer_type='maths': must be one of auto, math, number"),
        ({"per_device_train_batch_size": 12}, "must be a multiple of num_generations=8"),
        ({"preset": "oracle"}, "allow_gold_rewards=False: label_rule='gold' trains on labels"),
        ({"preset": "oracle", "allow_gold_rewards": True, "leave_one_out": True}, "contradicts"),
        ({"fork_selector": "top"}, "fork_selector='top': must be one of all, top_fraction, otsu"),
        ({"preset": "random-labels", "num_votes": 16}, "num_votes=16: contradicts label_rule='random'"),
        ({"preset": "ttrl", "label_rule": "none"}, "label_rule='none': nothing is left to learn; give a band"),
        ({"preset": "entropy-min", "band_low_coef": 0, "band_high_coef": 0}, "nothing is left to learn"),
    ],
)
def test_mistakes_in_the_configuration_are_named(tmp_path, fields, message):
    with pytest.raises(ConfigError, match=message):
        SpineConfig(output_dir=str(tmp_path), use_cpu=True, **fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps_per_generation": 3, "gradient_accumulation_steps": 2}, "must be a multiple of gradient_accumulation"),
        ({"use_transformers_continuous_batching": True, "bf16": True}, "into 16 bits"),
    ],
)
def test_what_trl_would_take_and_spine_does_not(tmp_path, fields, message):
    with pytest.raises(ConfigError, match=message):
        SpineConfig(output_dir=str(tmp_path), use_cpu=True, num_generations=4, **fields)


def test_weights_in_16_bits_are_warned_of(tmp_path):
    model, tokenizer = build_qwen2()
    with pytest.warns(UserWarning, match=r"trained in torch\.bfloat16, which rounds small updates away"):
        make_trainer(tmp_path, model=(model.to(torch.bfloat16), tokenizer))


def test_a_model_whose_weights_are_all_fixed_is_refused(tmp_path):
    model, tokenizer = build_qwen2()
    model.requires_grad_(False)
    with pytest.raises(ConfigError, match="all its weights are fixed, and nothing would be trained"):
        make_trainer(tmp_path, model=(model, tokenizer))


def test_the_monitor_is_on_in_python_too(tmp_path):
    trainer = make_trainer(tmp_path, on_collapse="stop", keep_best="label-free")
    assert sum(isinstance(each, CollapseGuard) for each in trainer.callback_handler.callbacks) == 1
    trainer.train()
    assert trainer.guard.kept is not None
    trainer._buffered_inputs = ["responses of weights that are left"]
    trainer.forget_after(0)
    assert trainer._buffered_inputs is None


def test_mistakes_in_the_data_are_named(tmp_path):
    with pytest.raises(DataError, match="has no column 'prompt' but question"):
        make_trainer(tmp_path, data=Dataset.from_dict({"question": ["a"] * 4}))
    with pytest.raises(DataError, match="problem_id 'p0' stands in several rows"):
        make_trainer(tmp_path, data=Dataset.from_list([*dataset(), *dataset()]))
    with pytest.raises(DataError, match="has 2 problems, but a step takes 4"):
        make_trainer(tmp_path, data=dataset(2))


def test_rows_without_id_are_problems(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    trainer = make_trainer(tmp_path, data=dataset().remove_columns("problem_id"))
    scored_batch(trainer)
    assert [ballot.problem_id for ballot in trainer._election.ballots] == ["0", "1", "2", "3"]


# ---- contract with TRL: what the subclass stands on


def test_trl_contract(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    assert list(inspect.signature(GRPOTrainer.compute_loss).parameters) == [
        "self", "model", "inputs", "return_outputs", "num_items_in_batch",
    ]  # fmt: skip
    assert list(inspect.signature(GRPOTrainer._generate_and_score_completions).parameters) == ["self", "inputs"]
    assert list(inspect.signature(GRPOTrainer._generate).parameters) == ["self", "prompts"]
    trainer = make_trainer(tmp_path)
    batch = scored_batch(trainer)
    assert {"prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "advantages"} <= batch.keys()
    assert batch["num_items_in_batch"] == batch["completion_mask"].sum()
    assert "old_per_token_logps" not in batch  # on-policy: the ratio is exactly 1
    logps, entropies, aux_loss = trainer.score_tokens(trainer.model, batch)
    assert logps.shape == entropies.shape == batch["completion_ids"].shape
    assert entropies.requires_grad
    assert aux_loss is None
    assert len(trainer._generate([row["prompt"] for row in trainer.train_dataset])) == 8


def test_callbacks_and_peft(tmp_path, monkeypatch):
    from peft import LoraConfig

    pretend_answers(monkeypatch)
    seen = []

    class Spy(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            seen.append(state.global_step)

    model, tokenizer = build_qwen2()
    base = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer = SpineTrainer(
        model,
        SpineConfig(**options(tmp_path, beta=0.01)),
        dataset(),
        tokenizer,
        callbacks=[Spy()],
        peft_config=LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
    )
    trainer.train()
    assert seen == [1]
    adapted = dict(trainer.model.named_parameters())
    assert any("lora_B" in name and p.abs().sum() > 0 for name, p in adapted.items())
    for name, parameter in base.items():
        kept = next(p for n, p in adapted.items() if n.replace(".base_layer", "").endswith(name))
        assert torch.equal(kept, parameter)


def test_statistics_are_float32_for_a_bfloat16_model(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    model, tokenizer = build_qwen2()
    trainer = make_trainer(tmp_path, (model.to(torch.bfloat16), tokenizer))
    batch = scored_batch(trainer)
    logps, entropies, _ = trainer.score_tokens(trainer.model, batch)
    assert logps.dtype == entropies.dtype == torch.float32
    assert torch.isfinite(trainer.compute_loss(trainer.model, batch))


# ---- the shared forward, and when it is not taken


def plain_scores(trainer, batch):
    rows = [torch.cat([batch[f"prompt_{kind}"], batch[f"completion_{kind}"]], 1) for kind in ("ids", "mask")]
    width = batch["completion_ids"].size(1)
    return GRPOTrainer._get_per_token_logps_and_entropies(trainer, trainer.model, *rows, width, compute_entropy=True)


@pytest.mark.parametrize("case", ["checkpointing", "wrong"])
def test_a_model_that_cannot_share_takes_the_plain_path_and_says_so_once(tmp_path, monkeypatch, case):
    pretend_answers(monkeypatch)
    if case == "wrong":  # a model whose shared forward went wrong in silence
        original = SharedScoring.score
        monkeypatch.setattr(SharedScoring, "score", lambda *a, **k: tuple(x + 0.1 for x in original(*a, **k)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer = make_trainer(tmp_path, gradient_checkpointing=case == "checkpointing")
        batch = scored_batch(trainer)
        for _ in range(2):
            logps, entropies, _ = trainer.score_tokens(trainer.model, batch)
    said = [str(w.message) for w in caught if "once per response" in str(w.message)]
    assert len(said) == 1
    assert ("gradient_checkpointing=True" if case == "checkpointing" else "differ by 0.1") in said[0]
    expected = plain_scores(trainer, batch)
    mask = batch["completion_mask"].bool()
    torch.testing.assert_close(logps[mask], expected[0][mask])
    torch.testing.assert_close(entropies[mask], expected[1][mask])


def test_a_packed_call_that_fails_here_is_given_up_together_with_other_processes(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    trainer = make_trainer(tmp_path)
    batch, gathered, score = scored_batch(trainer), [], SharedScoring.score

    def fail_packed(sharing, model, *rows, **more):
        if sharing.is_packed(model):
            raise RuntimeError("no kernel")
        return score(sharing, model, *rows, **more)

    monkeypatch.setattr(SharedScoring, "score", fail_packed)
    monkeypatch.setattr(trainer.accelerator, "gather", lambda value: gathered.append(value.item()) or value)
    trainer.sharing._take(trainer.model, "packed")
    with pytest.warns(UserWarning, match="are run in two calls: RuntimeError: no kernel"):
        trainer.score_tokens(trainer.model, batch)
    assert trainer.sharing.serves(trainer.model)
    assert gathered[0] == math.inf  # the others wait for this process's word
    assert len(gathered) == 2


def test_a_generation_batch_is_scored_plainly_a_micro_batch_at_a_time(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    size = BATCH // 2
    trainer = make_trainer(
        tmp_path, prompt_sharing="off", per_device_train_batch_size=size, gradient_accumulation_steps=2
    )
    batch, rows = scored_batch(trainer), []
    trainer.model.register_forward_pre_hook(
        lambda _, args, given: rows.append(len(given["input_ids"])), with_kwargs=True
    )
    trainer.score_tokens(trainer.model, batch)
    assert rows == [size, size]


def test_prompts_are_run_once_per_response_when_asked_for(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="prompts are run once")  # it was asked for, so nothing is said
        trainer = make_trainer(tmp_path, prompt_sharing="off")
        assert not trainer.sharing.serves(trainer.model)
        batch = scored_batch(trainer)
        logps, _, _ = trainer.score_tokens(trainer.model, batch)
    torch.testing.assert_close(logps, plain_scores(trainer, batch)[0])


@pytest.mark.parametrize("layers", [{"": "cpu"}, {"model.layers.0": 0, "model.layers.1": 1}])
def test_a_model_on_several_devices_takes_the_plain_path(tmp_path, layers):
    model, _ = build_qwen2()
    model.hf_device_map = layers
    found = find_obstacle(model, SpineConfig(**options(tmp_path)))
    assert found == (None if len(layers) == 1 else "it is split over several devices")


def test_a_head_in_float32_shares_too(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    trainer = make_trainer(tmp_path, bf16=True, cast_lm_head_to_fp32=True)
    batch = scored_batch(trainer)
    logps, *_ = trainer.score_tokens(trainer.model, batch)
    assert trainer.sharing.serves(trainer.model)
    with trainer.accelerator.autocast():
        expected, *_ = plain_scores(trainer, batch)
    mask = batch["completion_mask"].bool()
    torch.testing.assert_close(logps[mask], expected[mask], rtol=0.02, atol=0.02)


def test_what_else_keeps_a_model_from_sharing(tmp_path):
    model, _ = build_qwen2()
    args = SpineConfig(**options(tmp_path))
    assert "activation_checkpointing" in str(find_obstacle(model, args, checkpoints_layers=True))
    assert "router_aux_loss_coef to 0" in str(find_obstacle(model, args, balances_router=True))
    model.gradient_checkpointing_enable()  # as peft's prepare_model_for_kbit_training does, whatever the run's option
    assert "gradient_checkpointing_disable()" in str(find_obstacle(model, args))
    assert find_obstacle(model, args, packed=True) is None


def test_what_rounding_may_differ_by_depends_on_what_computes(tmp_path):
    """float32 weights under autocast compute in 16 bits."""
    trainer = make_trainer(tmp_path)
    sharing, scores = trainer.sharing, torch.zeros(10)
    with torch.autocast("cpu", torch.bfloat16):
        sharing.compare(trainer.model, scores + 0.01, scores)
    assert sharing.serves(trainer.model)
    with pytest.warns(UserWarning, match=r"differ by 0\.01 nats"):
        sharing.compare(trainer.model, scores + 0.01, scores)
    assert not sharing.serves(trainer.model)
    other = make_trainer(tmp_path)
    with pytest.warns(UserWarning, match="differ by inf nats"):
        other.sharing.compare(other.model, scores * torch.nan, scores)


def test_an_adapters_gradients_equal_the_plain_forwards(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    model, tokenizer = build_qwen2()
    trainer = SpineTrainer(
        model,
        args=SpineConfig(**options(tmp_path)),
        train_dataset=dataset(),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False),
    )
    batch = scored_batch(trainer)
    results = []
    for score in (trainer.score_tokens, lambda _, batch: plain_scores(trainer, batch)):
        trainer.model.zero_grad()
        logps, entropies, _ = score(trainer.model, batch)
        mask = batch["completion_mask"].bool()
        (logps[mask].sum() - entropies[mask].square().sum()).backward()
        results.append(gradients(trainer.model))
    assert any("lora" in name for name in results[0])
    assert_close(results[0], results[1])


def test_groups_stay_whole_over_steps_and_micro_batches(tmp_path, monkeypatch):
    """Two optimiser steps of two micro-batches each from one generation batch, twice over: no row is lost."""
    pretend_answers(monkeypatch)
    seen = []
    original = SpineTrainer.compute_loss

    def spy(self, model, inputs, *arguments, **keywords):
        seen.append((inputs["prompt_ids"], inputs["completion_ids"]))
        return original(self, model, inputs, *arguments, **keywords)

    monkeypatch.setattr(SpineTrainer, "compute_loss", spy)
    trainer = make_trainer(
        tmp_path,
        per_device_train_batch_size=NUM_GENERATIONS,
        gradient_accumulation_steps=2,
        steps_per_generation=4,
        num_iterations=2,
        max_steps=4,
    )
    trainer.train()
    assert len(seen) == 8
    for prompts, _ in seen:
        assert len(prompts.unique(dim=0)) == 1
    first = torch.cat([ids for _, ids in seen[:4]])
    assert torch.equal(first, torch.cat([ids for _, ids in seen[4:]]))
    assert len({tuple(prompts[0].tolist()) for prompts, _ in seen[:4]}) == 4


def test_a_model_by_its_name_may_bring_code_of_its_own(tmp_path):
    """Everything that reads its configuration is told that the code may run."""
    model, tokenizer = build_qwen2()
    model.config.auto_map = {"AutoConfig": "odd.OddConfig", "AutoModelForCausalLM": "odd.OddModel"}
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "odd", "architectures": ["OddModel"]}))
    (folder / "odd.py").write_text(
        "from transformers import Qwen2Config, Qwen2ForCausalLM\n\n\n"
        'class OddConfig(Qwen2Config):\n    model_type = "odd"\n\n\n'
        "class OddModel(Qwen2ForCausalLM):\n    config_class = OddConfig\n"
    )
    trainer = make_trainer(tmp_path / "run", (str(folder), tokenizer), trust_remote_code=True)
    assert type(trainer.model).__name__ == "OddModel"


def test_the_peak_of_memory_is_that_of_the_device_trained_on(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # and not used
    assert measure_peak_memory(torch.device("cpu")) > 0.05
