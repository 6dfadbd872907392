"""Tokens come as often as they should: every way to cut a distribution down, against exact probabilities."""

import pytest
import torch
from scipy.stats import chisquare
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    SuppressTokensLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from spine_rl.engine import draw as draw_module
from spine_rl.engine.draw import Draw, draw_by_inverse_cdf

ROWS = 20_000
WAYS = {
    "plain": [],
    "temperature": [TemperatureLogitsWarper(0.6)],
    "suppressed": [SuppressTokensLogitsProcessor([0, 3, 1999]), TemperatureLogitsWarper(1.5)],
    "top-k": [TemperatureLogitsWarper(0.8), TopKLogitsWarper(20)],
    "top-p": [TemperatureLogitsWarper(0.8), TopPLogitsWarper(0.7)],
    "top-p of many": [TopPLogitsWarper(0.99)],  # wider than the candidates that are looked at first
    "min-p": [MinPLogitsWarper(0.05)],
    "all": [
        SuppressTokensLogitsProcessor([7]),
        TemperatureLogitsWarper(1.2),
        TopKLogitsWarper(50),
        TopPLogitsWarper(0.9),
    ],
}


def make_logits(dtype=torch.float32):
    torch.manual_seed(0)
    return (torch.randn(1, 2000) * 2.5).to(dtype)


def run(processors, logits, *, sample=True, rows=ROWS, tokens=None, **options):
    torch.manual_seed(1)
    draw = Draw(LogitsProcessorList(processors), sample, torch.zeros(rows, dtype=torch.long), **options)
    tokens = torch.zeros(rows, 1, dtype=torch.long) if tokens is None else tokens
    return draw(tokens, logits.expand(rows, -1), torch.rand(rows, dtype=torch.float64))


def compare_frequencies(drawn, expected):
    """The p-value of chi-square; tokens seen less than ten times are counted together."""
    counts = torch.bincount(drawn, minlength=len(expected)).double()
    assert not counts[expected == 0].any()
    rare = expected * len(drawn) < 10
    found, wanted = counts[~rare].tolist(), (expected[~rare] * len(drawn)).tolist()
    if expected[rare].sum() * len(drawn) >= 1:
        found.append(counts[rare].sum().item())
        wanted.append(expected[rare].sum().item() * len(drawn))
    scale = sum(found) / sum(wanted)
    assert abs(scale - 1) < 1e-3
    return chisquare(found, [value * scale for value in wanted]).pvalue


@pytest.mark.parametrize(
    ("way", "dtype"), [*((way, torch.float32) for way in WAYS), ("plain", torch.bfloat16), ("top-p", torch.bfloat16)]
)
def test_frequencies_are_the_probabilities_of_transformers_processors(way, dtype):
    logits = make_logits(dtype)
    scores = LogitsProcessorList(WAYS[way])(torch.zeros(1, 1, dtype=torch.long), logits.double())
    drawn, _ = run(WAYS[way], logits)
    assert compare_frequencies(drawn, scores.softmax(-1)[0]) > 1e-3


def test_log_probabilities_and_entropies_are_those_at_the_temperature_before_anything_is_cut_off():
    logits = make_logits()
    for way in ("plain", "temperature", "top-k", "top-p", "min-p", "suppressed"):
        drawn, measures = run(WAYS[way], logits, rows=50, with_entropies=True)
        temperature = next((p.temperature for p in WAYS[way] if isinstance(p, TemperatureLogitsWarper)), 1.0)
        kept = logits.double()
        if way == "suppressed":
            kept = kept.index_fill(1, torch.tensor([0, 3, 1999]), -torch.inf)
        expected = (kept / temperature).log_softmax(-1)[0]
        entropy = torch.special.entr(expected.exp()).sum().expand(50)
        torch.testing.assert_close(measures.double(), torch.stack([expected[drawn], entropy], 1), rtol=1e-5, atol=1e-5)
        again, alone = run(WAYS[way], logits, rows=50)
        assert torch.equal(again, drawn)
        assert torch.equal(alone, measures[:, :1])


def test_greedy_takes_the_likeliest_that_is_allowed():
    logits = make_logits()
    best, second = logits[0].topk(2).indices.tolist()
    assert set(run([], logits, sample=False, rows=3)[0].tolist()) == {best}
    assert set(run([SuppressTokensLogitsProcessor([best])], logits, sample=False, rows=3)[0].tolist()) == {second}


@pytest.mark.parametrize("size", [1, 5, 1023, 1024, 1025, 4096, 5000])
def test_the_ends_of_the_unit_interval_draw_tokens_that_have_weight(size):
    weights = torch.zeros(4, size)
    for row, column in enumerate((0, size // 2, size - 1, size - 1)):
        weights[row, column] = 1e-30 if row == 3 else 1.0
    for uniform in (0.0, 0.5, 1 - 2**-53):
        drawn = draw_by_inverse_cdf(weights, torch.full((4,), uniform, dtype=torch.float64))
        assert drawn.tolist() == [0, size // 2, size - 1, size - 1]


def test_rounding_never_draws_a_token_without_weight():
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(2000, 3000, generator=generator) ** 30 * (torch.rand(2000, 3000, generator=generator) < 0.01)
    weights[:, 0] += 1e-20
    for uniform in (0.0, 1e-12, 0.25, 1 - 1e-12, 1 - 2**-53):
        drawn = draw_by_inverse_cdf(weights, torch.full((2000,), uniform, dtype=torch.float64))
        assert (weights.gather(1, drawn.unsqueeze(1)) > 0).all()


def test_rare_tokens_come_as_often_as_they_should():
    weights = torch.full((1, 150_000), 1e-9)
    weights[0, 70_000] = 1.0  # the others together: 1.5e-4
    rare = weights.sum().item() - 1
    uniforms = torch.rand(200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sums = weights.double().cumsum(-1)
    exact = torch.searchsorted(sums[0], uniforms * sums[0, -1], right=True)
    few = uniforms[(exact != 70_000)]
    assert abs(len(few) / len(uniforms) - rare / (1 + rare)) < 5e-5
    found = draw_by_inverse_cdf(weights.expand(len(few), -1), few)
    assert (found - exact[exact != 70_000]).abs().max() <= 2  # of 150,000: sums in float32 within a block
    assert len(found.unique()) > 0.9 * len(found)


def test_a_penalty_sees_the_tokens_of_its_row_and_goes_with_it():
    """A repetition penalty is prepared for the prompts, with how far each is padded."""
    padding = torch.tensor([2, 0])
    penalty = RepetitionPenaltyLogitsProcessor(100.0, prompt_ignore_length=padding)
    draw = Draw(LogitsProcessorList([penalty]), False, torch.tensor([0, 0, 1]))
    tokens = torch.tensor([[3, 3, 1], [3, 3, 2], [3, 2, 1]])
    logits = torch.tensor([[1.0, 5.0, 4.0, 3.0]]).repeat(3, 1)
    uniforms = torch.zeros(3, dtype=torch.float64)
    assert draw(tokens, logits, uniforms)[0].tolist() == [2, 1, 0]
    draw.select_rows(torch.tensor([2]))
    assert draw(tokens[2:], logits[2:], uniforms[2:])[0].tolist() == [0]


def test_rows_are_drawn_alike_however_many_at_once(monkeypatch):
    logits = torch.randn(37, 3000, generator=torch.Generator().manual_seed(3))
    draw = Draw(LogitsProcessorList([]), True, torch.zeros(37, dtype=torch.long))
    tokens, uniforms = torch.zeros(37, 1, dtype=torch.long), torch.rand(37, dtype=torch.float64)
    together = draw(tokens, logits, uniforms)
    monkeypatch.setitem(draw_module._SCORES_AT_ONCE, "cpu", 1)
    for found, expected in zip(draw(tokens, logits, uniforms), together, strict=True):
        assert torch.equal(found, expected)
