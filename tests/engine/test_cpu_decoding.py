"""What decoding on a CPU takes of torch and transformers beside their documented ways."""

import pytest
import torch
from torch import nn
from transformers import DynamicLayer

from models import build_qwen2
from spine_rl.engine.decode import close_gaps
from spine_rl.engine.grouped_attention import grouped_attention
from spine_rl.engine.growing_cache import GrowingLayer
from spine_rl.engine.prepacked import prepack_linears


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 48, 64])
def test_reordered_weights_multiply_as_plain_ones(bias, rows):
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("oneDNN has no 16-bit products for this processor")
    layer = nn.Linear(96, 50, bias=bias).bfloat16()
    values = torch.randn(rows, 2, 96).bfloat16()[:, -1:]  # a slice
    with torch.no_grad():
        expected = layer(values)
        prepack_linears(layer)
        assert "forward" in layer.__dict__
        torch.testing.assert_close(layer(values), expected, rtol=2**-7, atol=2**-7)  # bfloat16's rounding


def test_layers_in_32_bits_are_left_as_they_are():
    layer = nn.Linear(8, 8)
    prepack_linears(layer)
    assert "forward" not in layer.__dict__


def test_grouped_attention_is_that_of_transformers_and_ends():
    model, _ = build_qwen2()
    config = model.config
    assert config.num_attention_heads > config.num_key_value_heads
    prompt, token = torch.arange(10, 14).repeat(3, 1), torch.tensor([[20], [21], [22]])
    results = []
    with torch.no_grad():
        for grouped in (False, True):
            cache = model(prompt, use_cache=True).past_key_values
            if not grouped:
                results.append(model(token, past_key_values=cache).logits)
                continue
            with grouped_attention(model):
                assert config._attn_implementation == "spine_grouped"
                results.append(model(token, past_key_values=cache).logits)
    assert config._attn_implementation == "sdpa"
    torch.testing.assert_close(results[1], results[0], rtol=1e-5, atol=1e-5)


def test_a_growing_cache_holds_what_transformers_cache_holds():
    torch.manual_seed(0)
    growing, plain = GrowingLayer(), DynamicLayer()
    prompts = torch.randn(2, 3, 2, 5, 4)  # keys and values of three prompts, two heads, five tokens, width 4
    selections = {0: [0, 0, 1, 2, 2, 2], 3: [0, 4, 2, 3], 100: [0, 3, 2], 150: [2, 1], 151: [1]}
    for layer in (growing, plain):
        layer.update(*prompts)
    rows = 3
    for length in range(160):
        if length in selections:
            rows = len(selections[length])
            for layer in (growing, plain):
                layer.batch_select_indices(torch.tensor(selections[length]))
        token = torch.randn(2, rows, 2, 1, 4)
        for expected, found in zip(plain.update(*token), growing.update(*token), strict=True):
            assert torch.equal(found, expected), length
    assert growing.get_seq_length() == 165


@pytest.mark.parametrize("running", ["1111", "0000", "1010", "0011", "1100", "0111"])
def test_the_last_rows_take_the_places_of_those_that_have_ended(running):
    rows = torch.tensor([mark == "1" for mark in running])
    order = close_gaps(rows)
    assert sorted(order.tolist()) == rows.nonzero().squeeze(1).tolist()
    assert all(order[row] == row for row in range(len(order)) if rows[row])
