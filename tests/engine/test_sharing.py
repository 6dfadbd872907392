"""Shared work is exact: the gradients of the plain path on every architecture, and samples as from separate rows."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trl.trainer.utils import add_fused_lm_head

from models import ARCHITECTURES, QWEN, build_architecture
from spine_rl.engine.chunks import estimate_call_cost, plan_chunks
from spine_rl.engine.forward import add_shared_forward, score_in_pieces
from spine_rl.engine.generation import add_shared_generation
from spine_rl.engine.groups import group_rows
from spine_rl.engine.images import cut_by_row
from spine_rl.engine.lm_head import score_tokens
from spine_rl.engine.shared_batch import SharedBatch
from spine_rl.objective import Objective, TokenBatch, compute_loss, select_rows_with_gradient
from spine_rl.training.micro_batches import arrange_rows

P, T = 24, 14
GROUP_SIZES = (4, 1, 3)


def make_batch(config, image_token=None, seed=0):
    """Groups of different sizes, prompts padded on the left and responses on the right; an image in each prompt.

    The last of the parts is the prompts' further inputs: those of images, a tensor a prompt, and types of tokens.
    """
    generator = torch.Generator().manual_seed(seed)
    prompts = torch.randint(10, 250, (len(GROUP_SIZES), P), generator=generator)
    prompt_mask = torch.ones_like(prompts)
    for row, length in enumerate((P, 17, 20)):
        prompt_mask[row, : P - length] = 0
    images, types = {}, {}
    if image_token is not None:
        for row, length in enumerate((P, 17, 20)):
            prompts[row, P - length + 1 : P - length + 1 + 4] = image_token
        images, types = make_images(config.model_type, (prompts == image_token).long(), generator)
    sizes = torch.tensor(GROUP_SIZES)
    completions = torch.randint(10, 250, (int(sizes.sum()), T), generator=generator)
    lengths = torch.tensor([T, 3, 9, 1, 6, T, 5, 5])
    completion_mask = (torch.arange(T) < lengths.unsqueeze(1)).long()
    group = torch.arange(len(GROUP_SIZES)).repeat_interleave(sizes)
    return prompts * prompt_mask, prompt_mask, completions * completion_mask, completion_mask, group, (images, types)


def make_images(model_type, is_image, generator):
    """As the model's processor gives them, of a picture of 4 tokens in each prompt."""
    shape = {"qwen2_5_vl": (16, 3 * 2 * 14 * 14), "idefics3": (1, 1, 3, 28, 28)}.get(model_type, (1, 3, 28, 28))
    images = {"pixel_values": [torch.randn(shape, generator=generator) for _ in GROUP_SIZES]}
    if model_type == "qwen2_5_vl":
        images["image_grid_thw"] = [torch.tensor([[1, 4, 4]])] * len(GROUP_SIZES)
    names = {"qwen2_5_vl": "mm_token_type_ids", "gemma3": "token_type_ids"}
    return images, {names[model_type]: is_image} if model_type in names else {}


def repeat_inputs(further, group, width=0):
    """The prompts' further inputs for rows of a prompt and `width` tokens of text."""
    images, types = further
    inputs = {name: torch.cat([values[index] for index in group]) for name, values in images.items()}
    return inputs | {name: torch.nn.functional.pad(values[group], (0, width)) for name, values in types.items()}


def loss_of(logps, entropies, mask, advantages, objective):
    batch = TokenBatch(logps=logps, entropies=entropies, completion_mask=mask, advantages=advantages)
    return compute_loss(batch, objective, num_response_tokens=float(mask.sum()), num_forks=1.0)


def plain_scores(model, prompts, prompt_mask, completions, completion_mask, group, further):
    ids = torch.cat([prompts[group], completions], 1)
    mask = torch.cat([prompt_mask[group], completion_mask], 1)
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, : prompts.size(1)] = -100
    width = completions.size(1)
    inputs = repeat_inputs(further, group, width)
    output = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True, **inputs)
    return output.log_probs[:, -width:], output.entropy[:, -width:]


def shared_scores(
    model, prompts, prompt_mask, completions, completion_mask, group, further, with_gradient=None, **options
):
    images, types = further
    batch = SharedBatch(
        prompt_ids=prompts,
        prompt_mask=prompt_mask,
        completion_ids=completions,
        completion_mask=completion_mask,
        group_index=group,
        with_gradient=torch.ones_like(group, dtype=torch.bool) if with_gradient is None else with_gradient,
        prompt_inputs=images,
        token_types=types,
        **options,
    )
    output = model(shared_batch=batch)
    return output["log_probs"], output["entropy"]


@pytest.mark.parametrize("objective", [Objective(), Objective(fork_selector="all", band="none")], ids=["spine", "ttrl"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_equal_the_plain_forwards(architecture, objective):
    model, image_token = build_architecture(architecture)
    batch = make_batch(model.config, image_token)
    completion_mask = batch[3]
    advantages = torch.tensor([1.0, -1.0, 0.0, 0.0, 0.7, 0.0, 0.0, 0.0])  # the last group has none
    needed = select_rows_with_gradient(advantages, objective)
    assert needed.all() == (objective.band != "none")
    add_fused_lm_head(model, temperature=0.7, outputs=("log_probs", "entropy"))
    add_shared_forward(model, temperature=0.7)
    results = []
    for scores in (plain_scores(model, *batch), shared_scores(model, *batch, with_gradient=needed)):
        model.zero_grad()
        output = loss_of(*scores, completion_mask, advantages, objective)
        output.loss.backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        results.append((output, *(score.detach() for score in scores), gradients))
    plain, shared = results
    torch.testing.assert_close(shared[0].loss, plain[0].loss, rtol=1e-5, atol=1e-6)
    assert torch.equal(shared[0].fork_mask, plain[0].fork_mask)
    for found, expected in zip(shared[1:3], plain[1:3], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert shared[3].keys() == plain[3].keys()
    scale = max(gradient.norm() for gradient in plain[3].values())
    assert scale > 0
    for name, expected in plain[3].items():  # a gradient that is zero in truth is rounding, of this size
        assert (shared[3][name] - expected).norm() <= 1e-5 * expected.norm() + 1e-7 * scale, name


def test_a_row_without_tokens_leaves_the_graph_whole():
    model, _ = build_architecture("qwen2")
    prompts, prompt_mask, completions, _, group, further = make_batch(model.config)
    add_shared_forward(model, temperature=1.0)
    nothing = torch.zeros_like(completions)
    logps, entropies = shared_scores(model, prompts, prompt_mask, completions, nothing, group, further)
    assert not logps.any()
    (logps.sum() + entropies.sum()).backward()
    assert all(not p.grad.any() for p in model.parameters())


def test_logits_are_in_float32_under_autocast_where_asked_for():
    model, _ = build_architecture("qwen2")
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(20, 32, generator=generator).bfloat16()
    targets = torch.randint(256, (20,), generator=generator)
    with torch.no_grad():
        logps = (hidden.float() @ model.lm_head.weight.T * 20).log_softmax(-1)  # temperature 0.05: large logits
    expected = logps.gather(1, targets.unsqueeze(1)).squeeze(1), -(logps.exp() * logps).sum(-1)
    with torch.autocast("cpu", torch.bfloat16):
        exact = score_tokens(model, hidden, targets, temperature=0.05, in_float32=True)
        rounded = score_tokens(model, hidden, targets, temperature=0.05)
    for found, wanted in zip(exact, expected, strict=True):
        torch.testing.assert_close(found.detach(), wanted, rtol=1e-4, atol=1e-4)
    assert (rounded[0] - expected[0]).abs().max() > 1e-3


@pytest.mark.parametrize("max_tokens", [1, 30, None])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_pieces_add_up_to_the_whole_batchs_gradients(architecture, max_tokens):
    """Forward and backward a piece at a time, on prompts that are run once, twice over: gradients accumulate."""
    model, image_token = build_architecture(architecture)
    batch = make_batch(model.config, image_token)
    mask, group = batch[3], batch[4]
    advantages = torch.tensor([1.0, -1.0, 0.0, 0.0, 0.7, 0.0, 0.0, 0.0])
    objective = Objective(band="none")
    needed = select_rows_with_gradient(advantages, objective)
    add_shared_forward(model, temperature=0.7)
    loss_of(*shared_scores(model, *batch, with_gradient=needed), mask, advantages, objective).loss.backward()
    expected = {n: 2 * p.grad for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    shared = SharedBatch(*batch[:5], needed, *batch[5], max_tokens=max_tokens)
    for _ in range(2):
        seen = []
        for piece in score_in_pieces(model, shared, temperature=0.7):
            seen += piece.rows.tolist()
            values = TokenBatch(piece.logps, piece.entropies, mask[piece.rows], advantages[piece.rows])
            loss = compute_loss(values, objective, num_response_tokens=float(mask.sum()), num_forks=1.0).loss
            assert loss.requires_grad == bool(needed[piece.rows].all())
            if loss.requires_grad:
                loss.backward()
        assert sorted(seen) == list(range(len(group)))
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    scale = max(gradient.norm() for gradient in expected.values())
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() <= 1e-5 * gradient.norm() + 1e-7 * scale, name
    assert not any(gradient.is_sparse for gradient in found.values())


@pytest.mark.parametrize("longest", [14, 1, 0])
def test_sharded_models_make_the_same_two_calls_whatever_a_process_holds(longest):
    model, _ = build_architecture("qwen2")
    prompts, prompt_mask, completions, mask, group, further = make_batch(model.config)
    mask = mask * (torch.arange(T) < longest)
    add_shared_forward(model, temperature=1.0)
    widths = []
    model.base_model.register_forward_pre_hook(
        lambda _, args, kwargs: widths.append(kwargs["input_ids"].size(1)), with_kwargs=True
    )
    some = torch.tensor([True, False] * 4)
    rows = (model, prompts, prompt_mask, completions, mask, group, further)
    found = shared_scores(*rows, with_gradient=some, one_call=True)
    assert len(widths) == 2
    torch.testing.assert_close(found, shared_scores(*rows), rtol=1e-5, atol=1e-5)
    short = [*rows[:3], completions[:, :1], mask[:, :1], group, further]
    assert shared_scores(*short, one_call=True)[0].shape == (8, 1)
    sum(map(torch.sum, found)).backward()


def test_rows_are_grouped_by_prompt_padding_and_image():
    prompts = torch.tensor([[0, 7], [1, 7], [0, 7], [0, 7]])
    mask = torch.tensor([[0, 1], [1, 1], [0, 1], [1, 1]])
    groups = group_rows(prompts, mask)
    assert groups.first.tolist() == [0, 1, 3]
    assert groups.index.tolist() == [0, 1, 0, 2]
    images = [torch.zeros(1), torch.zeros(1), torch.ones(1), torch.zeros(1)]
    assert group_rows(prompts, mask, [images]).index.tolist() == [0, 1, 2, 3]


@given(
    st.lists(st.integers(0, 30), max_size=9),
    st.integers(0, 40),
    st.one_of(st.none(), st.integers(1, 90)),
    st.integers(0, 5),
)
def test_chunks_hold_every_row_once_and_cost_least(lengths, call_cost, max_tokens, row_cost):
    chunks = plan_chunks(lengths, call_cost, max_tokens, row_cost)
    assert sorted(row for chunk in chunks for row in chunk) == [i for i, length in enumerate(lengths) if length > 0]
    if max_tokens is not None:
        sizes = [(len(chunk), len(chunk) * (max(lengths[row] for row in chunk) + row_cost)) for chunk in chunks]
        assert all(rows == 1 or tokens <= max_tokens for rows, tokens in sizes)
        return
    ordered = sorted((length for length in lengths if length > 0), reverse=True)

    def least(rest):
        if not rest:
            return 0
        return min(rest[0] * size + call_cost + least(rest[size:]) for size in range(1, len(rest) + 1))

    assert sum(max(lengths[row] for row in chunk) * len(chunk) + call_cost for chunk in chunks) == least(ordered)


def test_a_call_costs_more_tokens_of_a_smaller_model_on_an_accelerator():
    small, large = (SimpleNamespace(hidden_size=d, intermediate_size=ff) for d, ff in ((896, 4864), (4096, 12288)))
    assert estimate_call_cost(small, "cuda") > 10 * estimate_call_cost(large, "cuda") > 5_000
    assert estimate_call_cost(SimpleNamespace(hidden_size=896), "cuda") > 0  # not every configuration states the other
    assert estimate_call_cost(small, "cpu") == estimate_call_cost(large, "cpu") > 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_greedy_generation_equals_transformers_own(architecture):
    model, image_token = build_architecture(architecture)
    prompts, mask, _, _, group, further = make_batch(model.config, image_token)
    arguments = {"input_ids": prompts[group], "attention_mask": mask[group], **repeat_inputs(further, group)}
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    free = model.generate(**arguments, eos_token_id=None, **options)[:, P:]
    ends = [int(free[0, 5]), int(free[4, 2])]  # tokens that some rows come upon early and others late or never
    expected = model.generate(**arguments, eos_token_id=ends, **options)
    add_shared_generation(model)
    rows = []
    model.register_forward_pre_hook(lambda _, __, inputs: rows.append(len(inputs["input_ids"])), with_kwargs=True)
    assert torch.equal(model.generate(**arguments, eos_token_id=ends, **options), expected)
    assert rows[0] == len(GROUP_SIZES)  # a prompt once, whatever its samples


def test_images_are_cut_by_the_tokens_that_stand_for_them():
    model, image = build_architecture("llava")
    ids = torch.full((4, 10), 9)
    ids[0, :2], ids[1, 1:5], ids[3, 4:6] = image, image, image
    pixels = torch.arange(4.0).view(4, 1, 1, 1)
    inputs = {"pixel_values": pixels, "attention_mask": torch.ones_like(ids)}
    cut = cut_by_row(model, ids, inputs)
    assert [len(rows) for rows in cut["pixel_values"]] == [1, 2, 0, 1]
    assert torch.equal(torch.cat(cut["pixel_values"]), pixels)
    assert [len(rows) for rows in cut["attention_mask"]] == [1] * 4
    assert cut_by_row(model, ids, inputs | {"pixel_values": pixels[:3]}) is None  # 8 tokens of 3 images
    ids[0, :3] = image
    ids[1, 1] = 9
    assert cut_by_row(model, ids, inputs) is None  # 3, 3 and 2 tokens of 4 images
    assert cut_by_row(model, ids, inputs | {"other": pixels[:3]}) is None
    qwen, image = build_architecture(QWEN)
    ids = torch.full((3, 12), 9)
    ids[0, :2], ids[2, 1:11] = image, image
    grid = torch.tensor([[1, 2, 4], [1, 4, 8], [1, 2, 4]])
    inputs = {"pixel_values": torch.randn(48, 5), "image_grid_thw": grid}
    cut = cut_by_row(qwen, ids, inputs)
    assert [len(rows) for rows in cut["image_grid_thw"]] == [1, 0, 2]
    assert [len(rows) for rows in cut["pixel_values"]] == [8, 0, 40]


def test_samples_are_independent_and_distributed_as_the_model_says():
    model, _ = build_architecture("qwen2")
    prompt = torch.full((1, 3), 11)
    with torch.no_grad():
        logits = model(prompt).logits[0, -1] / 0.5
    expected = logits.softmax(-1)
    add_shared_generation(model)
    torch.manual_seed(0)
    rows = 20_000
    sampled = model.generate(
        prompt.expand(rows, -1),
        max_new_tokens=2,
        do_sample=True,
        top_k=0,
        temperature=0.5,
        pad_token_id=0,
        eos_token_id=None,
    )
    first = torch.bincount(sampled[:, 3], minlength=len(expected)) / rows
    noise = (expected * (1 - expected) / rows).sqrt()
    assert ((first - expected).abs() <= 5 * noise + 1e-4).all()
    assert len(sampled[:, 3:].unique(dim=0)) > rows / 10


def test_what_the_loop_does_not_serve_goes_the_models_own_way():
    model, _ = build_architecture("qwen2")
    prompts = torch.randint(10, 250, (2, 5))
    options = {"max_new_tokens": 4, "num_beams": 2, "do_sample": False, "pad_token_id": 0, "eos_token_id": 2}
    expected = model.generate(prompts, **options)
    add_shared_generation(model)
    assert torch.equal(model.generate(prompts, **options), expected)


@pytest.mark.parametrize("num_windows", [1, 2, 4])
def test_rows_are_arranged_whole_and_by_length(num_windows):
    torch.manual_seed(0)
    group_ids = [row // 4 for row in range(32)]
    lengths = torch.randint(1, 50, (32,)).tolist()
    order = arrange_rows(group_ids, lengths, num_windows=num_windows)
    assert sorted(order) == list(range(32))
    size = 32 // num_windows
    for start in range(0, 32, size):
        window = order[start : start + size]
        groups = [group_ids[row] for row in window[::4]]
        assert [group_ids[row] for row in window] == [group for group in groups for _ in range(4)]
        longest = [max(lengths[4 * group : 4 * group + 4]) for group in groups]
        assert longest == sorted(longest)


def test_which_problems_share_a_step_is_random():
    group_ids = [row // 2 for row in range(16)]
    torch.manual_seed(0)
    orders = [arrange_rows(group_ids, [1] * 16, num_windows=2) for _ in range(9)]
    assert len({frozenset(group_ids[row] for row in order[:8]) for order in orders}) > 1
