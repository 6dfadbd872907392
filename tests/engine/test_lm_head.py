"""The LM head's statistics on a CPU beside plain logits in float64: values and gradients, in 32 bits and in 16."""

from types import SimpleNamespace

import pytest
import torch

from spine_rl.engine.cpu_head import CpuStatistics, Head
from spine_rl.engine.lm_head import read_logit_scale

N, D, V = 300, 16, 5000  # more tokens and words than a tile holds


def make_inputs(seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden, weight, bias = (torch.randn(*shape, generator=generator) for shape in ((N, D), (V, D), (V,)))
    return hidden.requires_grad_(), weight.requires_grad_(), bias.requires_grad_(), torch.arange(N) * 16 % V


def score_plainly(hidden, weight, bias, targets, factor, cap):
    logits = factor * (hidden.double() @ weight.double().t() + bias.double())
    logps = (logits if cap is None else cap * logits.tanh()).log_softmax(-1)
    return logps.gather(1, targets.unsqueeze(1)).squeeze(1), -(logps.exp() * logps).sum(1)


@pytest.mark.parametrize("cap", [None, 3.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_values_and_gradients_are_those_of_plain_logits(dtype, tolerance, cap):
    slopes = torch.randn(2, N, generator=torch.Generator().manual_seed(1))
    slopes[:, ::3] = 0  # tokens without a gradient
    found = []
    for score in ("ours", "plain"):
        hidden, weight, bias, targets = make_inputs()
        if score == "ours":
            head = Head(weight, bias, 0.5, cap, dtype, adds_in_place=False)
            logps, entropies = CpuStatistics.apply(hidden, weight, bias, targets, head)
        else:
            logps, entropies = score_plainly(hidden, weight, bias, targets, 0.5, cap)
        (slopes[0] * logps + slopes[1] * entropies).sum().backward()
        found.append([logps, entropies, hidden.grad, weight.grad, bias.grad])
    for ours, plain in zip(*found, strict=True):
        assert (ours - plain).norm() <= tolerance * plain.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("adds_in_place", [False, True])
def test_where_no_token_has_a_gradient_nothing_is_added(dtype, adds_in_place):
    hidden, weight, bias, targets = make_inputs()
    head = Head(weight, bias, 1.0, None, dtype, adds_in_place)
    logps, _ = CpuStatistics.apply(hidden, weight, bias, targets, head)
    (0 * logps).sum().backward()
    assert hidden.grad.count_nonzero() == 0
    assert weight.grad.count_nonzero() == 0


def test_what_is_added_in_place_is_what_would_have_been_returned():
    gradients = []
    for adds_in_place in (False, True):
        hidden, weight, bias, targets = make_inputs()
        head = Head(weight, bias, 1.0, None, torch.float32, adds_in_place)
        for _ in range(2):
            CpuStatistics.apply(hidden, weight, bias, targets, head)[1].sum().backward()
        gradients.append(weight.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("stated", "scale"),
    [
        ({}, 1.0),
        ({"logit_scale": 0.5}, 0.5),
        ({"logit_scale": None, "logits_scaling": 4.0}, 0.25),
        ({"logits_scaling": 4.0, "model_type": "hyperclovax"}, 4.0),  # the one family that multiplies by it
        ({"output_multiplier": 3.0}, 3.0),
        ({"lm_head_multiplier": 2.0}, 2.0),
    ],
)
def test_logits_are_scaled_as_a_models_configuration_says(stated, scale):
    assert read_logit_scale(SimpleNamespace(**{"model_type": "llama", **stated})) == scale
