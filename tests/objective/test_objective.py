"""The objective against the float64 reference, and what must hold whatever the batch."""

import dataclasses
import itertools
import math
from fractions import Fraction

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spine_rl.objective import (
    FORK_SELECTORS,
    Objective,
    TokenBatch,
    compute_band_penalty,
    compute_band_thresholds,
    compute_group_advantages,
    compute_logps_and_entropies,
    compute_loss,
    compute_token_kl,
    count_forks,
    select_forks,
    select_rows_with_gradient,
)

SELECTORS = ("all", "top_fraction", "otsu", "low_entropy", "random_fraction")
BANDS = ("none", "quantile", "median_mad", "zero")
NAN = float("nan")

# Entropies on a coarse grid, so that ties are common.
entropy_lists = st.lists(st.integers(0, 30).map(lambda n: n / 10), min_size=0, max_size=40)
batches = st.lists(entropy_lists, min_size=1, max_size=5)


def pad(rows, fill=NAN, width=None, left=0):
    width = max(map(len, rows)) if width is None else width
    return torch.tensor(
        [[fill] * left + list(row) + [fill] * (width - len(row)) for row in rows], dtype=torch.double
    ).reshape(len(rows), left + width)


def pad_ids(rows, width=None, left=0):
    return pad(rows, -1, width, left).long()


def ids_of(rows):
    """Tokens for rows of entropies: other ones in every row, some of them twice."""
    return [[7 * row + column % 11 for column in range(len(values))] for row, values in enumerate(rows)]


def mask_of(rows, width=None, left=0):
    width = max(map(len, rows)) if width is None else width
    return torch.tensor([[False] * left + [True] * len(row) + [False] * (width - len(row)) for row in rows]).reshape(
        len(rows), left + width
    )


def random_step(seed, lengths=(5, 0, 1, 12, 7, 9), kl=True):
    """A step's responses as the reference takes them."""
    generator = torch.Generator().manual_seed(seed)

    def draw(n, scale=1.0):
        return (torch.rand(n, generator=generator, dtype=torch.double) * scale).tolist()

    return [
        {
            "ids": [int(x) for x in draw(n, 1000)],
            "logps": [-x for x in draw(n, 3)],
            "old_logps": [-x for x in draw(n, 3)],
            "ref_logps": [-x for x in draw(n, 3)],
            "entropies": draw(n, 2),
            "advantage": draw(1)[0] * 4 - 2,
        }
        for n in lengths
    ]


def to_batch(responses, width=None, left=0, fill=NAN):
    def rows(name):
        return pad([r[name] for r in responses], fill, width, left)

    return TokenBatch(
        logps=rows("logps").requires_grad_(),
        entropies=rows("entropies").requires_grad_(),
        completion_mask=mask_of([r["logps"] for r in responses], width, left),
        advantages=torch.tensor([r["advantage"] for r in responses], dtype=torch.double),
        old_logps=rows("old_logps"),
        ref_logps=rows("ref_logps"),
        token_ids=pad_ids([r["ids"] for r in responses], width, left),
    )


def total_forks(responses, objective):
    batch = to_batch(responses)
    return select_forks(
        batch.entropies,
        batch.completion_mask,
        objective.fork_selector,
        fraction=objective.fork_fraction,
        token_ids=batch.token_ids,
    ).sum()


def step_gradients(parts, objective, num_tokens, num_forks, **padding):
    """Loss of a step cut into parts, and per response the gradients of its log-probabilities and entropies."""
    loss, gradients = 0.0, []
    for part in parts:
        batch = to_batch(part, **padding)
        output = compute_loss(batch, objective, num_response_tokens=num_tokens, num_forks=num_forks)
        output.loss.backward()
        loss += output.loss.item()
        for row, response in enumerate(part):
            kept = batch.completion_mask[row]
            assert int(kept.sum()) == len(response["logps"])
            gradients.append(torch.cat([batch.logps.grad[row][kept], batch.entropies.grad[row][kept]]))
    return loss, gradients


# ---- statistics


def test_statistics_match_reference():
    logits = torch.randn(4, 7, 11, dtype=torch.double, generator=torch.Generator().manual_seed(0)) * 3
    ref_logits = torch.randn(4, 7, 11, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    targets = torch.randint(11, (4, 7), generator=torch.Generator().manual_seed(2))
    logps, entropies = compute_logps_and_entropies(logits, targets, temperature=0.7)
    kls = compute_token_kl(logits, ref_logits, temperature=0.7)
    for b, t in itertools.product(range(4), range(7)):
        row, ref_row = (logits[b, t] / 0.7).tolist(), (ref_logits[b, t] / 0.7).tolist()
        assert logps[b, t].item() == pytest.approx(reference.logp(row, targets[b, t].item()), abs=1e-9)
        assert entropies[b, t].item() == pytest.approx(reference.entropy(row), abs=1e-9)
        assert kls[b, t].item() == pytest.approx(reference.kl(row, ref_row), abs=1e-9)


def test_statistics_gradients():
    logits = torch.randn(3, 5, dtype=torch.double, requires_grad=True)
    targets = torch.tensor([0, 3, 4])
    ref_logits = torch.randn(3, 5, dtype=torch.double)
    assert torch.autograd.gradcheck(lambda x: compute_logps_and_entropies(x, targets, 1.3), (logits,))
    assert torch.autograd.gradcheck(lambda x: compute_token_kl(x, ref_logits, 1.3), (logits,))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_statistics_are_float32_or_better(dtype):
    logits = torch.tensor([[4.0, 2.0, -1.0, 0.5]], dtype=dtype)
    logps, entropies = compute_logps_and_entropies(logits, torch.tensor([1]))
    assert logps.dtype == entropies.dtype == torch.float32
    assert entropies.item() == pytest.approx(reference.entropy(logits[0].tolist()), rel=1e-6)


def test_impossible_tokens_give_finite_statistics_and_gradients():
    logits = torch.tensor([[1.0, -math.inf, 2.0]], requires_grad=True)
    logps, entropies = compute_logps_and_entropies(logits, torch.tensor([2]))
    (logps.sum() + entropies.sum()).backward()
    assert entropies.item() == pytest.approx(reference.entropy([1.0, 2.0]), rel=1e-6)
    assert torch.isfinite(logits.grad).all()


# ---- advantages


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=24),
    st.sampled_from(["sample", "population"]),
)
def test_advantages_match_reference(pairs, std):
    rewards, groups = [float(r) for r, _ in pairs], [g for _, g in pairs]
    found = compute_group_advantages(torch.tensor(rewards, dtype=torch.double), torch.tensor(groups), std=std)
    assert found.tolist() == pytest.approx(reference.advantages(rewards, groups, std), abs=1e-9)


@pytest.mark.parametrize(
    "rewards",
    [[0.0] * 8, [1.0] * 8, [1.0], [1 / 3] * 8, [0.7] * 5],
    ids=["abstaining", "unanimous", "single", "equal shares", "equal scores"],
)
def test_group_without_difference_has_no_advantage(rewards):
    advantages = compute_group_advantages(torch.tensor(rewards), torch.zeros(len(rewards), dtype=torch.long))
    assert advantages.tolist() == [0.0] * len(rewards)


# ---- forks


@given(batches, st.sampled_from([0.05, 0.07, 0.2, 0.5, 1.0]))
def test_forks_match_reference(rows, fraction):
    entropies, mask = pad(rows), mask_of(rows)
    expected = {
        "all": reference.forks_all,
        "top_fraction": lambda row: reference.forks_top_fraction(row, fraction),
        "otsu": reference.forks_otsu,
        "low_entropy": lambda row: reference.forks_low_entropy(row, fraction),
    }
    ids = ids_of(rows)
    for selector in SELECTORS:
        found = select_forks(entropies, mask, selector, fraction=fraction, token_ids=pad_ids(ids))
        for row, values, tokens in zip(found, rows, ids, strict=True):
            chosen = set(row.nonzero().flatten().tolist())
            if selector == "random_fraction":
                assert chosen == reference.forks_random_fraction(tokens, fraction)
            else:
                assert chosen == expected[selector](values), selector


@given(batches, st.sampled_from([0.07, 0.2, 0.33]))
def test_fork_counts_follow_from_lengths(rows, fraction):
    mask = mask_of(rows)
    for selector in ("all", "top_fraction", "low_entropy", "random_fraction"):
        counted = count_forks(mask.sum(1), selector, fraction=fraction)
        found = select_forks(pad(rows), mask, selector, fraction=fraction, token_ids=pad_ids(ids_of(rows)))
        assert counted.tolist() == found.sum(1).tolist()
    assert count_forks(mask.sum(1), "otsu") is None


@given(batches, st.integers(0, 5), st.integers(0, 5))
def test_forks_ignore_padding(rows, left, right):
    width = max(map(len, rows))
    for selector in SELECTORS:
        ids = ids_of(rows)
        plain = select_forks(pad(rows), mask_of(rows), selector, token_ids=pad_ids(ids))
        padded = select_forks(
            pad(rows, 1e9, width + right, left),
            mask_of(rows, width + right, left),
            selector,
            token_ids=pad_ids(ids, width + right, left),
        )
        assert torch.equal(padded[:, left : left + width], plain)
        assert padded.sum() == plain.sum()


@pytest.mark.parametrize(
    ("selector", "entropies", "expected"),
    [
        ("top_fraction", [], []),
        ("otsu", [], []),
        ("all", [], []),
        ("top_fraction", [0.3], [0]),
        ("otsu", [0.3], [0]),
        ("top_fraction", [0.5] * 10, [0, 1]),  # equal entropies: the earlier ones
        ("otsu", [0.5] * 4, [0, 1, 2, 3]),  # no threshold parts them: all
        ("otsu", [0.0, 0.0, 0.0, 1.0, 0.9], [3, 4]),
        ("top_fraction", [0.1] * 15, [0, 1, 2]),  # 0.2 · 15 is 3, whatever floating point says
        ("low_entropy", [0.5, 0.1, 0.9, 0.1, 0.0], [4]),
        ("low_entropy", [0.5] * 10, [0, 1]),
    ],
)
def test_fork_edge_cases(selector, entropies, expected):
    found = select_forks(pad([entropies], width=20), mask_of([entropies], width=20), selector)
    assert found.nonzero()[:, 1].tolist() == expected


def test_random_forks_are_as_many_random_and_tell_no_entropy():
    """20 responses of 50 tokens: 10 forks each, spread over the positions, whatever the entropies."""
    ids = [[(13 * row + column) % 97 for column in range(50)] for row in range(20)]
    rows = [[column / 50 for column in range(50)] for _ in ids]
    mask = mask_of(rows)
    found = select_forks(pad(rows), mask, "random_fraction", token_ids=pad_ids(ids))
    other = select_forks(-pad(rows), mask, "random_fraction", token_ids=pad_ids(ids))
    assert torch.equal(found, other)
    assert found.sum(1).tolist() == [10] * 20
    assert len({tuple(row.tolist()) for row in found}) == 20
    assert abs(found[:, 25:].sum().item() - 100) <= 30  # half of 200, ± 4 standard deviations
    with pytest.raises(ValueError, match="needs token_ids"):
        select_forks(pad(rows), mask, "random_fraction")


# ---- band


@given(batches)
def test_band_matches_reference(rows):
    forks = select_forks(pad(rows), mask_of(rows), "top_fraction", fraction=0.5)
    for band in ("quantile", "median_mad"):
        low, high = compute_band_thresholds(pad(rows), forks, band)
        for index, values in enumerate(rows):
            chosen = [values[t] for t in forks[index].nonzero().flatten().tolist()]
            if not chosen:
                expected = (0.0, 0.0)
            elif band == "quantile":
                expected = reference.band_quantile(chosen, 0.1, 0.5)
            else:
                expected = reference.band_median_mad(chosen)
            assert (low[index].item(), high[index].item()) == pytest.approx(expected, abs=1e-9)


def test_band_by_advantage_ends_where_a_group_agrees():
    entropies = torch.tensor([[0.1, 2.0, 0.5, 1.0]] * 3, requires_grad=True)
    batch = TokenBatch(
        logps=-entropies.detach(),
        entropies=entropies,
        completion_mask=torch.ones(3, 4, dtype=torch.bool),
        advantages=torch.tensor([-0.5, 0.0, 2.0]),
    )
    by_advantage = Objective(fork_selector="all", band_weight="advantage")
    output = compute_loss(batch, by_advantage, num_response_tokens=12.0, num_forks=1.0)
    output.loss.backward()
    weighted = entropies.grad.clone()
    entropies.grad = None
    compute_loss(batch, Objective(fork_selector="all"), num_response_tokens=12.0, num_forks=1.0).loss.backward()
    assert entropies.grad.abs().sum() > 0
    torch.testing.assert_close(weighted, entropies.grad * torch.tensor([[0.5], [0.0], [2.0]]))
    assert select_rows_with_gradient(batch.advantages, by_advantage).tolist() == [True, False, True]
    assert select_rows_with_gradient(batch.advantages, Objective()).all()


def test_zero_band_minimises_entropy():
    entropies = torch.tensor([[0.1, 1.0]], dtype=torch.double, requires_grad=True)
    forks = torch.tensor([[True, False]])
    low, high = compute_band_thresholds(entropies, forks, "zero")
    assert (low.item(), high.item()) == (0.0, 0.0)
    compute_band_penalty(entropies, forks, low, high, low_coef=2.0, high_coef=3.0).sum().backward()
    assert entropies.grad.tolist() == [[3.0, 0.0]]


def test_band_pulls_towards_itself_and_thresholds_carry_no_gradient():
    entropies = torch.tensor([[0.1, 1.0, 2.0]], dtype=torch.double, requires_grad=True)
    forks = torch.tensor([[True, True, True]])
    penalty = compute_band_penalty(
        entropies, forks, torch.tensor([0.5]), torch.tensor([1.5]), low_coef=2.0, high_coef=3.0
    )
    assert penalty.tolist() == [pytest.approx([0.8, 0.0, 1.5])]
    penalty.sum().backward()
    assert entropies.grad.tolist() == [[-2.0, 0.0, 3.0]]
    low, high = compute_band_thresholds(entropies, forks, "quantile")
    assert not low.requires_grad
    assert not high.requires_grad


# ---- loss


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("selector", "band"), itertools.product(SELECTORS, BANDS))
def test_loss_matches_reference(selector, band, seed):
    objective = Objective(
        fork_selector=selector,
        band=band,
        band_low_coef=0.7,
        band_high_coef=1.3,
        clip_low=0.1,
        clip_high=0.3,
        kl_coef=0.2,
    )
    responses = random_step(seed)
    tokens = sum(len(r["logps"]) for r in responses)
    output = compute_loss(
        to_batch(responses), objective, num_response_tokens=tokens, num_forks=total_forks(responses, objective)
    )
    assert output.loss.item() == pytest.approx(reference.loss(responses, dataclasses.asdict(objective)), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(SELECTORS),
    st.sampled_from(BANDS),
    st.integers(0, 4),
    st.integers(0, 4),
    st.randoms(use_true_random=False),
)
def test_loss_and_gradients_ignore_cuts_padding_and_order(seed, selector, band, left, right, random):
    objective = Objective(fork_selector=selector, band=band, kl_coef=0.1)
    responses = random_step(seed)
    tokens, forks = sum(len(r["logps"]) for r in responses), total_forks(responses, objective)
    loss, gradients = step_gradients([responses], objective, tokens, forks)

    order = list(range(len(responses)))
    random.shuffle(order)
    cut = random.randint(1, len(order) - 1)
    parts = [[responses[i] for i in order[:cut]], [responses[i] for i in order[cut:]]]
    other_loss, other_gradients = step_gradients(parts, objective, tokens, forks, width=12 + right, left=left)

    assert other_loss == pytest.approx(loss, rel=1e-12)
    for index, gradient in zip(order, other_gradients, strict=True):
        torch.testing.assert_close(gradient, gradients[index], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("selector", "band"), itertools.product(SELECTORS, BANDS))
def test_gradient_is_zero_off_the_forks_even_with_nan_there(selector, band):
    objective = Objective(fork_selector=selector, band=band, kl_coef=0.1)
    batch = dataclasses.replace(
        to_batch(random_step(0), fill=NAN), importance_ratio=pad([[1.0] * n for n in (5, 0, 1, 12, 7, 9)])
    )
    output = compute_loss(batch, objective, num_response_tokens=34, num_forks=10)
    output.loss.backward()
    for gradient in (batch.logps.grad, batch.entropies.grad):
        assert (gradient[~output.fork_mask] == 0).all()
        assert torch.isfinite(gradient).all()
    assert (batch.logps.grad[output.fork_mask] != 0).any()


def test_all_forks_without_band_is_plain_grpo():
    batch = to_batch(random_step(1, lengths=(4, 6)))
    ratio = (batch.logps - batch.old_logps).exp()
    advantages = batch.advantages[:, None]
    per_token = torch.min(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
    expected = -per_token[batch.completion_mask].sum() / 10
    found = compute_loss(batch, Objective(fork_selector="all", band="none"), num_response_tokens=10, num_forks=0)
    assert found.loss.item() == pytest.approx(expected.item(), rel=1e-12)


def test_on_policy_ratio_is_exactly_one():
    batch = dataclasses.replace(to_batch(random_step(2, lengths=(3,))), old_logps=None)
    output = compute_loss(batch, Objective(fork_selector="all", band="none"), num_response_tokens=3, num_forks=3)
    output.loss.backward()
    assert output.loss.item() == -batch.advantages.item()
    assert batch.logps.grad.tolist() == [pytest.approx([-batch.advantages.item() / 3] * 3)]


def test_step_without_tokens_has_loss_zero():
    batch = to_batch(random_step(0, lengths=(0, 0)), width=3)
    output = compute_loss(batch, Objective(kl_coef=1.0), num_response_tokens=0, num_forks=torch.tensor(0.0))
    output.loss.backward()
    assert output.loss.item() == 0.0
    assert batch.logps.grad.abs().sum() == 0


def test_importance_ratio_multiplies_the_policy_term():
    plain = to_batch(random_step(3, lengths=(4, 4)))
    objective = Objective(fork_selector="all", band="none")
    doubled = dataclasses.replace(plain, importance_ratio=torch.full((2, 1), 2.0))
    losses = [compute_loss(b, objective, num_response_tokens=8, num_forks=8).loss.item() for b in (plain, doubled)]
    assert losses[1] == pytest.approx(2 * losses[0])


def test_expected_kl_gradient_is_that_of_the_exact_kl():
    """The ratio makes the k3 estimate's gradient unbiased: summed over the vocabulary it is the exact KL's."""
    logits = torch.randn(6, dtype=torch.double, generator=torch.Generator().manual_seed(0), requires_grad=True)
    ref_logits = torch.randn(6, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    (exact,) = torch.autograd.grad(compute_token_kl(logits[None], ref_logits[None]).sum(), logits)
    expected = torch.zeros(6, dtype=torch.double)
    for token in range(6):
        logp, entropy = compute_logps_and_entropies(logits[None], torch.tensor([token]))
        ref_logp, _ = compute_logps_and_entropies(ref_logits[None], torch.tensor([token]))
        batch = TokenBatch(
            logp[None], entropy[None], torch.ones(1, 1), torch.zeros(1, dtype=torch.double), ref_logps=ref_logp[None]
        )
        objective = Objective(fork_selector="all", band="none", kl_coef=1.0)
        loss = compute_loss(batch, objective, num_response_tokens=1, num_forks=1).loss
        expected += logp.exp().item() * torch.autograd.grad(loss, logits)[0]
    torch.testing.assert_close(expected, exact, rtol=1e-9, atol=1e-12)


def test_registries_hold_what_the_tests_cover():
    assert tuple(FORK_SELECTORS) == SELECTORS


@pytest.mark.parametrize("fraction", [0.07, 0.1, 0.2, 0.29, 0.7])
def test_fork_counts_are_exact_for_long_responses(fraction):
    lengths = torch.arange(5000)
    expected = [math.ceil(Fraction(str(fraction)) * length) for length in range(5000)]
    assert count_forks(lengths, "top_fraction", fraction=fraction).tolist() == expected
