"""Training generates as asked: 16-bit copies whose gap is logged and corrected, or TRL's own way."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig
from test_trainer import build_qwen2, dataset, make_trainer, options, pretend_answers, scored_batch
from trl import GRPOTrainer

from spine_rl import SpineConfig, SpineTrainer
from spine_rl.engine.transformers_sampler import TransformersSampler, sampling_options
from spine_rl.objective import Objective, TokenBatch, compute_loss
from spine_rl.training.step_statistics import StepStatistics, measure_sampler_gap


def run(trainer):
    trainer.train()
    return [row for row in trainer.state.log_history if "loss" in row]


def test_a_16_bit_copys_gap_is_logged_every_step_and_corrected(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    trainer = make_trainer(tmp_path, generation_dtype="bfloat16", max_steps=2)
    ratios, importance_ratio = [], SpineTrainer._importance_ratio
    monkeypatch.setattr(
        SpineTrainer, "_importance_ratio", lambda *given: ratios.append(importance_ratio(*given)) or ratios[-1]
    )
    rows = run(trainer)
    assert trainer.generator.copies
    assert len(rows) == 2
    assert all(0 < row["sampling/logp_gap"] < 0.05 for row in rows)
    assert all(weight.dtype == torch.float32 for weight in trainer.model.parameters())
    assert len(ratios) >= 2
    for ratio in ratios:
        assert 0 < (ratio - 1).abs().max() < 0.5


def test_the_correction_is_truncated_and_can_be_turned_off(tmp_path):
    trainer = make_trainer(tmp_path, generation_dtype="bfloat16")
    gap = torch.tensor([[0.0, 0.1, -0.1, 50.0]])
    expected = torch.tensor([[1.0, math.exp(0.1), math.exp(-0.1), 3.0]])
    torch.testing.assert_close(trainer._importance_ratio(gap, {}), expected)
    given = torch.ones(1, 1)
    assert trainer._importance_ratio(gap, {"importance_sampling_ratio": given}) is given
    assert trainer._importance_ratio(None, {}) is None
    trainer.args.vllm_importance_sampling_correction = False
    assert trainer._importance_ratio(gap, {}) is None


@pytest.mark.parametrize(
    ("mode", "low", "expected"),
    [
        ("token_truncate", None, [[1.0, 2.0, 0.25, 3.0], [2.0, 2.0, 1.0, 1.0]]),
        ("token_truncate", 0.5, [[1.0, 2.0, 0.5, 3.0], [2.0, 2.0, 1.0, 1.0]]),
        ("token_mask", 0.5, [[1.0, 2.0, 0.0, 0.0], [2.0, 2.0, 1.0, 1.0]]),
        ("sequence_truncate", None, [[2.0], [3.0]]),
        ("sequence_mask", None, [[2.0], [0.0]]),
    ],
)
def test_16_bit_weights_are_corrected_for_in_every_mode(tmp_path, mode, low, expected):
    fields = {"vllm_importance_sampling_mode": mode, "vllm_importance_sampling_clip_min": low}
    trainer = make_trainer(tmp_path, generation_dtype="bfloat16", **fields)
    gap = torch.tensor([[1.0, 2.0, 0.25, 4.0], [2.0, 2.0, 1.0, 1.0]]).log()
    torch.testing.assert_close(trainer._importance_ratio(gap, {}), torch.tensor(expected))


def test_the_models_own_weights_leave_no_gap_and_nothing_to_correct(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    trainer = make_trainer(tmp_path, generation_dtype="model", max_steps=1)
    assert run(trainer)[0]["sampling/logp_gap"] < 1e-5
    assert trainer._importance_ratio(torch.ones(1, 1), {}) is None


def test_the_gap_is_between_the_same_weights_and_of_response_tokens_alone():
    drawn, mask = torch.tensor([[-1.0, -2.0, 0.0]]), torch.tensor([[1, 1, 0]])
    inputs = {"sampling_per_token_logps": drawn, "completion_mask": mask}
    now = torch.tensor([[-1.5, -2.0, -9.0]])
    expected = pytest.approx([-0.5, 0.0, math.nan], nan_ok=True)
    assert measure_sampler_gap(now, inputs).tolist()[0] == expected
    before = torch.tensor([[-1.0, -2.25, -9.0]])
    expected = pytest.approx([0.0, -0.25, math.nan], nan_ok=True)
    assert measure_sampler_gap(now, inputs | {"old_per_token_logps": before}).tolist()[0] == expected
    assert measure_sampler_gap(now, {}) is None


def test_a_token_whose_log_probability_the_sampler_did_not_give_is_not_measured():
    mask, now = torch.tensor([[1, 1, 0]]), torch.tensor([[-1.5, -2.0, -9.0]])
    drawn = torch.tensor([[-1.0, torch.nan, 0.0]])
    batch = TokenBatch(now, torch.ones(1, 3), mask, advantages=torch.ones(1))
    output = compute_loss(batch, Objective(), num_response_tokens=2.0, num_forks=1.0)
    statistics = StepStatistics()
    gap = measure_sampler_gap(now, {"sampling_per_token_logps": drawn, "completion_mask": mask})
    statistics.add(batch, output, gap)
    alone = SimpleNamespace(reduce=lambda sums, reduction: sums, num_processes=1)
    assert statistics.pop(alone, kl=False)["sampling/logp_gap"] == 0.5


def test_log_probabilities_go_with_their_tokens_through_shuffling_and_cutting(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    trainer = make_trainer(tmp_path, generation_dtype="model")
    batch = scored_batch(trainer)
    logps, *_ = trainer.score_tokens(trainer.model, batch)
    mask = batch["completion_mask"].bool()
    torch.testing.assert_close(batch["sampling_per_token_logps"][mask], logps[mask], rtol=1e-4, atol=1e-5)


def test_lora_is_merged_and_its_dropout_is_off(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    model, tokenizer = build_qwen2()
    trainer = SpineTrainer(
        model,
        SpineConfig(**options(tmp_path, generation_dtype="bfloat16", max_steps=2)),
        dataset(),
        tokenizer,
        peft_config=LoraConfig(target_modules="all-linear", r=4, lora_dropout=0.5, init_lora_weights=False),
    )
    trainer.train()
    assert trainer.generator.copies  # not given up at the check against the plain forward
    assert trainer.generator.logps is not None


def test_prompt_sharing_off_leaves_generation_to_trl(tmp_path, monkeypatch):
    pretend_answers(monkeypatch)
    trainer = make_trainer(tmp_path, prompt_sharing="off", max_steps=1)
    assert trainer.generator is None
    assert "generate" not in vars(trainer.model)
    assert "sampling/logp_gap" not in run(trainer)[0]


@pytest.mark.parametrize("sharing", ["auto", "off"])
def test_end_tokens_that_are_given_end_cut_and_count_responses(tmp_path, monkeypatch, sharing):
    pretend_answers(monkeypatch)
    given = [*range(20, 50)]
    trainer = make_trainer(tmp_path, generation_kwargs={"eos_token_id": given}, prompt_sharing=sharing)
    batch = scored_batch(trainer)
    ends = {*given, trainer.processing_class.eos_token_id}
    pairs = zip(batch["completion_ids"], batch["completion_mask"].bool(), strict=True)
    rows = [ids[mask].tolist() for ids, mask in pairs]
    assert not any(ends & {*ids[:-1]} for ids in rows)
    assert len([ids for ids in rows if len(ids) < 12]) > 0
    cut = [ids[-1] not in ends for ids in rows]
    assert [each.truncated for each in trainer._responses] == cut
    assert trainer._metrics["train"]["completions/clipped_ratio"] == [sum(cut) / len(rows)]


def test_a_run_is_drawn_alike_outside_of_it(tmp_path):
    sampled = {"temperature": 0.7, "top_p": 0.9, "top_k": 5, "min_p": 0.01, "repetition_penalty": 1.2}
    ends = {"generation_kwargs": {"eos_token_id": [20, 21]}}
    args = SpineConfig(output_dir=str(tmp_path), max_completion_length=30, use_cpu=True, **sampled, **ends)
    decoding = args.get_decoding(batch_size=4, seed=1)
    drawn = TransformersSampler(*build_qwen2(), "model")
    responses = drawn.generate([[30, 31]] * 16, decoding)
    assert all(not {20, 21, 2} & {*each.token_ids[:-1]} for each in responses)
    assert sampling_options(decoding, [2, 20, 21], 0) == {
        **sampled, "do_sample": True, "max_new_tokens": 30, "eos_token_id": [2, 20, 21], "pad_token_id": 0,
    }  # fmt: skip
    greedy = sampling_options(replace(decoding, temperature=0), [2], 0)
    assert (greedy["do_sample"], greedy["top_k"], greedy["min_p"]) == (False, None, None)


def test_the_seam_is_there():
    assert hasattr(GRPOTrainer, "_generate_single_turn")
    with pytest.raises(Exception, match="generation_dtype"):
        SpineConfig(output_dir="x", use_cpu=True, generation_dtype="int4")
