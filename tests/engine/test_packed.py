"""The packed call sees what the two calls see; its gradients are held on a GPU (test_gpu.py)."""

import pytest
import torch
from test_sharing import make_batch
from torch.nn.functional import scaled_dot_product_attention

from models import build_architecture
from spine_rl.engine import forward, packed
from spine_rl.engine.forward import add_shared_forward
from spine_rl.engine.packed import BLOCK, find_packing_obstacle, make_block_mask, pack
from spine_rl.engine.shared_batch import SharedBatch

# The last two have a window shorter than a prompt, one of them for some layers and with a soft cap.
TEXT = ("qwen2", "qwen3", "llama", "gemma3", "mistral")


def build_batch(config, mask=None, with_gradient=None, **options):
    prompts, prompt_mask, completions, completion_mask, group, _ = make_batch(config)
    needed = torch.ones_like(group, dtype=torch.bool) if with_gradient is None else with_gradient
    mask = completion_mask if mask is None else completion_mask * mask
    return SharedBatch(prompts, prompt_mask, completions, mask, group, needed, **options)


@pytest.mark.parametrize("architecture", TEXT)
@pytest.mark.filterwarnings("ignore:.*flex_attention called without torch.compile")
def test_a_packed_call_scores_as_the_two_calls(architecture):
    model, _ = build_architecture(architecture)
    add_shared_forward(model, temperature=0.7)
    some = torch.tensor([True, False, True, True, False, True, True, False])
    empty = torch.ones(8, 1, dtype=torch.long)
    empty[[3, 6]] = 0  # responses without a token
    attention = model.config._attn_implementation
    with torch.no_grad():
        for options in ({}, {"with_gradient": some}, {"mask": empty}, {"mask": torch.zeros_like(empty)}):
            two = model(shared_batch=build_batch(model.config, **options))
            one = model(shared_batch=build_batch(model.config, **options, packed=True))
            for name in ("log_probs", "entropy"):
                torch.testing.assert_close(one[name], two[name], rtol=1e-5, atol=1e-5)
    assert model.config._attn_implementation == attention


@pytest.mark.filterwarnings("ignore:.*flex_attention called without torch.compile")
def test_scoring_without_a_gradient_keeps_to_the_tokens_that_memory_allows(monkeypatch):
    """As of a whole generation, of the weights before an update that comes in several steps, or of a reference."""
    model, _ = build_architecture("qwen2")
    add_shared_forward(model, temperature=0.7)
    score, sizes = forward.score_packed, []

    def record(model, batch, rows, *given):
        prompts = batch.group_index[rows].unique()
        sizes.append(int(batch.completion_mask[rows].sum() + batch.prompt_mask[prompts].sum()))
        return score(model, batch, rows, *given)

    monkeypatch.setattr(forward, "score_packed", record)
    with torch.no_grad():
        whole = model(shared_batch=build_batch(model.config, packed=True))
        assert len(sizes) == 1
        cut = model(shared_batch=build_batch(model.config, packed=True, max_tokens=sizes[0] // 2))
    assert len(sizes) > 2
    assert max(sizes[1:]) <= sizes[0] // 2
    for name in ("log_probs", "entropy"):
        torch.testing.assert_close(cut[name], whole[name], rtol=1e-5, atol=1e-5)


def attend_densely(query, key, value, *, block_mask, scale, enable_gqa, score_mod):
    """What FlexAttention computes, with a backward pass on a CPU."""
    tokens = torch.arange(query.size(2))
    sees = block_mask.mask_mod(torch.tensor(0), torch.tensor(0), tokens[:, None], tokens[None])
    return scaled_dot_product_attention(query, key, value, sees, scale=scale, enable_gqa=enable_gqa)


@pytest.mark.parametrize("reentrant", [False, True], ids=["", "reentrant"])
@pytest.mark.parametrize("architecture", ["qwen2", "gemma3"])
def test_layers_that_are_checkpointed_attend_so_in_the_backward_pass_too(monkeypatch, architecture, reentrant):
    monkeypatch.setattr(packed, "flex_attention", attend_densely)
    model, _ = build_architecture(architecture)
    add_shared_forward(model.train(), temperature=0.7)
    gradients = []
    for checkpoints in (False, True):
        if checkpoints:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        output = model(shared_batch=build_batch(model.config, packed=True))
        (output["log_probs"] + output["entropy"]).sum().backward()
        gradients.append({name: weight.grad for name, weight in model.named_parameters()})
        model.zero_grad()
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected)


def make_long_batch():
    """Prompts and responses longer than a block, and shorter ones."""
    generator = torch.Generator().manual_seed(0)
    prompt_lengths, lengths = torch.tensor([300, 20, 150]), torch.tensor([200, 5, 0, 130, 1, 260, 90])
    prompts = torch.randint(10, 250, (3, 300), generator=generator)
    completions = torch.randint(10, 250, (7, 260), generator=generator)
    prompt_mask = (torch.arange(300) >= 300 - prompt_lengths.unsqueeze(1)).long()
    mask = (torch.arange(260) < lengths.unsqueeze(1)).long()
    group = torch.tensor([0, 0, 1, 1, 2, 0, 1])
    return SharedBatch(prompts, prompt_mask, completions, mask, group, torch.ones(7, dtype=torch.bool))


@pytest.mark.parametrize("window", [None, 100])
def test_a_token_sees_its_prompt_and_its_response_up_to_itself(window):
    batch = make_long_batch()
    row, previous = pack(batch, torch.arange(7))
    size = len(row.ids)
    assert size % BLOCK == 0
    assert size - 2 * BLOCK < int(batch.prompt_mask.sum() + batch.completion_mask.sum()) <= size
    mask = make_block_mask(row, window)
    tokens = torch.arange(size)
    sees = mask.mask_mod(torch.tensor(0), torch.tensor(0), tokens[:, None], tokens[None])
    for number, group in enumerate(batch.group_index.tolist()):
        length = int(batch.completion_mask[number].sum())
        text = torch.cat([batch.prompt_ids[group][batch.prompt_mask[group].bool()], batch.completion_ids[number]])
        first = len(text) - batch.completion_ids.size(1)
        for step in range(length):
            before = previous[number, step]
            seen = row.ids[sees[before]]
            expected = text[: first + step]
            assert torch.equal(seen, expected if window is None else expected[-window:])
            assert row.positions[before] == first + step - 1
    assert sees.any(1).all()  # no row is masked whole, in the padding neither

    listed = torch.zeros(size // BLOCK, size // BLOCK, dtype=torch.bool)
    for query, count in enumerate(mask.kv_num_blocks[0, 0].tolist()):
        listed[query, mask.kv_indices[0, 0, query, :count].long()] = True
    needed = sees.view(size // BLOCK, BLOCK, size // BLOCK, BLOCK).any(3).any(1)
    assert not (needed & ~listed).any()  # what a token sees lies in a block that is looked at
    assert listed.sum() < listed.tril().numel() / 2  # and most others are not


def test_what_keeps_a_model_from_being_packed():
    gpu = torch.device("cuda")
    assert find_packing_obstacle(build_architecture("qwen3")[0], gpu) is None
    assert "no backward pass" in find_packing_obstacle(build_architecture("qwen3")[0], torch.device("cpu"))
    assert "heads of 16 features" in find_packing_obstacle(build_architecture("qwen2")[0], gpu)  # its are of 8
    assert "images" in find_packing_obstacle(build_architecture("llava")[0], gpu)
    model, _ = build_architecture("qwen3")
    model.config.attention_dropout = 0.1
    assert "drops out" in find_packing_obstacle(model, gpu)
