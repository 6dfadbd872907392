"""The estimate of memory: by hand on a small shape, and against what training really holds."""

from dataclasses import replace

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from models import build_qwen2
from spine_rl.engine import estimate as module
from spine_rl.engine.estimate import MemoryPlan, estimate_bytes_per_token, estimate_memory, measure_size

PLAN = MemoryPlan(rows_generated=64, rows_updated=16, prompt_tokens=20, response_tokens=100)


@pytest.fixture(scope="module")
def size():
    return measure_size(build_qwen2()[0])


def test_a_full_run_by_hand(size):
    model, _ = build_qwen2()
    numbers = sum(weight.numel() for weight in model.parameters())
    assert (size.weights, size.floats, size.itemsize, size.trained) == (4 * numbers, numbers, 4, numbers)
    estimate = estimate_memory(size, PLAN)
    most, least = estimate.most, estimate.least
    assert (most.weights, most.gradients, most.optimizer) == (4 * numbers, 4 * numbers, 8 * numbers)
    row = (
        2 * 2 * 2 * 8 * 120 * 4 + 16 * size.config.vocab_size
    )  # keys and values, layers, heads, width, tokens, float32
    assert (most.caches, least.caches) == (64 * row, row)
    token = estimate_bytes_per_token(size.config)
    assert (most.activations, least.activations) == (16 * 120 * token, 120 * token)
    assert most.generating == 12 * numbers + 64 * row
    assert most.updating == 16 * numbers + 16 * 120 * token
    assert most.peak == max(most.generating, most.updating)
    assert most.reference == most.generation_copy == most.autocast_copy == 0


@pytest.mark.parametrize(
    ("change", "name", "factor"),
    [
        ({"num_processes": 4}, "gradients", 2),  # and the buckets in which they are exchanged
        ({"num_processes": 4, "sharding": "optimizer"}, "optimizer", 1 / 4),
        ({"num_processes": 4, "sharding": "optimizer"}, "gradients", 2),
        ({"num_processes": 4, "sharding": "gradients"}, "gradients", 1 / 4),
        ({"num_processes": 4, "sharding": "gradients"}, "weights", 1),
        ({"num_processes": 4, "sharding": "weights"}, "weights", 1 / 4),
        ({"optimizer": "adamw_8bit"}, "optimizer", 1 / 4),
        ({"optimizer": "adafactor"}, "optimizer", 0),
        ({"rows_generated": 0}, "caches", 0),
    ],
)
def test_what_an_option_changes(size, change, name, factor):
    before, after = (estimate_memory(size, plan).most for plan in (PLAN, replace(PLAN, **change)))
    assert getattr(after, name) == pytest.approx(factor * getattr(before, name), rel=1e-4)


def test_a_cpu_runs_small_pieces(size, monkeypatch):
    token = estimate_bytes_per_token(size.config)
    for pieces, tokens in ((768, 768), (50, 120)):  # a response is not cut
        monkeypatch.setattr(module, "CPU_BYTES", pieces * token)
        assert estimate_memory(size, PLAN).most.activations == tokens * token
        assert estimate_memory(size, replace(PLAN, device_type="cuda")).most.activations == 16 * 120 * token


def test_copies_and_reference(size):
    plan = replace(PLAN, copies_weights=True, in_16_bits=True, has_reference=True)
    parts = estimate_memory(size, plan).most
    assert parts.generation_copy == parts.autocast_copy == size.weights // 2
    assert parts.reference == size.weights
    logits = 64 * 16 * size.config.vocab_size
    assert parts.caches - logits == (estimate_memory(size, PLAN).most.caches - logits) // 2


def test_best_weights_are_held_where_a_cpu_trains(size):
    before, kept = (estimate_memory(size, replace(PLAN, holds_best=on)).most for on in (False, True))
    assert kept.best_weights == size.weights
    assert kept.standing - before.standing == kept.peak - before.peak == size.weights
    assert estimate_memory(size, replace(PLAN, holds_best=True, device_type="cuda")).most.best_weights == 0


def test_16_bit_weights_have_16_bit_caches(size):
    narrow = measure_size(build_qwen2()[0].bfloat16())
    assert (narrow.itemsize, narrow.weights) == (2, size.weights // 2)
    logits = 64 * 16 * size.config.vocab_size
    caches = [estimate_memory(each, PLAN).most.caches - logits for each in (size, narrow)]
    assert caches[1] == caches[0] // 2


def test_checkpoints_keep_a_layers_input(size):
    token, checkpointed = (
        estimate_memory(size, replace(PLAN, checkpoints_layers=on)).least.activations / 120 for on in (False, True)
    )
    layers, hidden = 2, 32
    assert checkpointed == token / layers + 4 * layers * hidden


def test_whether_it_fits(size):
    least = estimate_memory(size, PLAN).least.peak
    assert estimate_memory(size, replace(PLAN, available=least)).fits
    assert not estimate_memory(size, replace(PLAN, available=least - 1)).fits
    assert estimate_memory(size, PLAN).fits  # nothing is known


def test_the_line_that_says_so():
    with torch.device("meta"):
        model = Qwen2ForCausalLM(Qwen2Config(hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
                                             num_attention_heads=14, num_key_value_heads=2, vocab_size=151936,
                                             tie_word_embeddings=True))  # fmt: skip
    plan = replace(PLAN, available=16 << 30, response_tokens=300)
    line = estimate_memory(measure_size(model), plan).describe()
    assert line.startswith("estimated memory: ")
    assert "weights 1.8, optimizer 3.7, caches" in line  # 494 million weights
    assert line.endswith(", 16.0 GiB available")


def test_what_a_step_holds_is_what_was_said():
    """Weights, gradients and moments, to the byte."""
    model, _ = build_qwen2()
    optimizer = torch.optim.AdamW(model.parameters())
    model(input_ids=torch.ones(2, 5, dtype=torch.long)).logits.sum().backward()
    optimizer.step()
    parts = estimate_memory(measure_size(model), PLAN).most
    assert sum(weight.nbytes for weight in model.parameters()) == parts.weights
    assert sum(weight.grad.nbytes for weight in model.parameters()) == parts.gradients
    states = [value for state in optimizer.state.values() for name, value in state.items() if name != "step"]
    assert sum(state.nbytes for state in states) == parts.optimizer
