"""Generation is faster and still the model's: 16-bit copies, the check against the plain path, what leaves it alone."""

import warnings

import pytest
import torch
from peft import LoraConfig, get_peft_model

from models import build_architecture
from spine_rl.engine import generation
from spine_rl.engine.generation import Generator, add_shared_generation
from spine_rl.engine.progress import listening
from spine_rl.engine.weights_copy import copy_weights, find_copy_obstacle
from spine_rl.errors import ModelError

PROMPTS = torch.tensor([[11, 12, 13, 14], [0, 0, 21, 22], [11, 12, 13, 14]])
MASK = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1]])
ROWS = {"input_ids": PROMPTS, "attention_mask": MASK, "pad_token_id": 0}
SAMPLING = {"do_sample": True, "top_k": 0, "max_new_tokens": 10, "eos_token_id": None, **ROWS}


def sample(generator, seed=0, **options):
    torch.manual_seed(seed)
    return generator(**{**SAMPLING, **options})


def score(model, tokens, temperature=1.0):
    """Log-probabilities of the responses in the plain forward."""
    width = PROMPTS.size(1)
    mask = torch.cat([MASK, torch.ones_like(tokens[:, width:])], 1)
    with torch.no_grad():
        logits = model(tokens, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0)).logits
    logps = (logits[:, width - 1 : -1] / temperature).log_softmax(-1)
    return logps.gather(-1, tokens[:, width:, None]).squeeze(-1)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_log_probabilities_are_the_plain_forwards(temperature):
    model, _ = build_architecture("qwen3")
    generator = Generator(model, "model")
    tokens = sample(generator, temperature=temperature)
    torch.testing.assert_close(generator.logps, score(model, tokens, temperature), rtol=1e-4, atol=1e-4)
    assert generator.entropies is None


def test_the_same_seed_gives_the_same_whichever_rows_have_left():
    model, _ = build_architecture("qwen2")
    generator = Generator(model, "model")
    free = sample(generator, seed=3)
    assert torch.equal(sample(generator, seed=3), free)
    assert not torch.equal(sample(generator, seed=4), free)
    end = int(free[0, 6])
    cut = sample(generator, seed=3, eos_token_id=[end])
    assert generator.logps.shape == (3, cut.size(1) - 4)
    for row, whole, logps in zip(cut[:, 4:].tolist(), free[:, 4:].tolist(), generator.logps.tolist(), strict=True):
        length = whole.index(end) + 1 if end in whole else len(whole)
        assert row[:length] == whole[:length]
        assert not any(row[length:])
        assert not any(logps[length:])
        assert all(logps[:length])


@pytest.mark.parametrize("architecture", ["qwen3", "gemma3", "llava"])
def test_a_copy_has_the_models_weights_in_16_bits_and_its_buffers(architecture):
    model, _ = build_architecture(architecture)
    copied = copy_weights(model, torch.bfloat16)
    for (name, weight), (found_name, found) in zip(model.named_parameters(), copied.named_parameters(), strict=True):
        assert name == found_name
        assert torch.equal(found, weight.bfloat16())
        assert weight.dtype == torch.float32
        assert weight.requires_grad
        assert not found.requires_grad
    buffers, copies = dict(model.named_buffers()), dict(copied.named_buffers())
    assert buffers.keys() == copies.keys()
    assert all(copies[name] is buffer for name, buffer in buffers.items())
    exact = copy_weights(model, torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(exact(PROMPTS).logits, model.eval()(PROMPTS).logits)


def test_a_copy_merges_lora_as_it_is_now():
    model, _ = build_architecture("qwen3")
    peft = get_peft_model(model, LoraConfig(target_modules="all-linear", r=4, lora_dropout=0.5))
    with torch.no_grad():
        for name, weight in peft.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.5)
    base = peft.get_base_model()
    assert find_copy_obstacle(base) is None
    copied = copy_weights(base, torch.float32)
    assert not any("lora" in name for name, _ in copied.named_parameters())
    with torch.no_grad():
        torch.testing.assert_close(copied(PROMPTS).logits, peft.eval()(PROMPTS).logits, rtol=1e-4, atol=1e-5)
        with peft.disable_adapter():
            plain = copy_weights(base, torch.float32)
            torch.testing.assert_close(plain(PROMPTS).logits, peft(PROMPTS).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [{"use_dora": True}, {"lora_bias": True}])
def test_adapters_that_are_more_than_a_product_are_not_copied(options):
    model, _ = build_architecture("qwen2")  # its q_proj has a bias
    base = get_peft_model(model, LoraConfig(target_modules=["q_proj"], r=4, **options)).get_base_model()
    assert "LoRA" in (find_copy_obstacle(base) or "")
    with pytest.warns(UserWarning, match="no 16-bit copy: its adapter"):
        assert sample(Generator(base, "bfloat16")).shape == (3, 14)


def test_a_copy_is_of_the_weights_at_the_call_and_the_gap_is_small():
    model, _ = build_architecture("qwen3")
    model.train()
    generator = Generator(model, "bfloat16")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokens = sample(generator)
    assert generator.copies
    assert model.training
    gap = (generator.logps - score(model.eval(), tokens)).abs()
    assert 0 < gap.mean() < 0.02
    with torch.no_grad():
        model.lm_head.weight.mul_(5)
    moved = sample(generator)
    assert not torch.equal(moved, tokens)
    assert (generator.logps - score(model, moved)).abs().mean() < 0.1


def test_auto_copies_where_16_bits_are_faster(monkeypatch):
    model, _ = build_architecture("qwen3")
    for faster in (True, False):
        monkeypatch.setattr(generation, "is_faster_in_16_bits", lambda *_, faster=faster, **__: faster)
        assert Generator(model, "auto").copies is faster
    monkeypatch.setattr(generation, "is_faster_in_16_bits", lambda *_, **__: True)
    assert not Generator(model.bfloat16(), "auto").copies


def test_a_copy_that_disagrees_is_given_up_and_so_is_the_loop_with_a_reason(monkeypatch):
    model, _ = build_architecture("qwen3")
    broken = copy_weights(build_architecture("llama")[0], torch.bfloat16)
    with torch.no_grad():
        broken.lm_head.weight.mul_(100)
    monkeypatch.setattr(generation, "copy_weights", lambda *_: broken)
    generator = Generator(model, "bfloat16")
    with pytest.warns(UserWarning, match=r"no 16-bit copy: its log-probabilities differ by \d.* nats") as said:
        tokens = sample(generator)
    assert len(said) == 1
    assert not generator.copies
    torch.testing.assert_close(generator.logps, score(model, tokens), rtol=1e-4, atol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sample(generator)  # said once

    generator = Generator(model, "model")
    monkeypatch.setattr(generation, "compare_with_plain", lambda *_: 1.0)
    with pytest.warns(UserWarning, match="transformers' own way"):
        plain = sample(generator, do_sample=False)
    assert generator.logps is None
    torch.testing.assert_close(plain, type(model).generate(model, **{**SAMPLING, "do_sample": False}))


def test_the_patched_generate_is_the_generators():
    model, _ = build_architecture("qwen2")
    generator = add_shared_generation(model, "model")
    tokens = model.generate(**SAMPLING)
    assert tokens.shape == (3, 14)
    assert generator.logps.shape == (3, 10)
    assert not tokens.is_inference()
    model.generate(**ROWS, do_sample=False, num_beams=2, max_new_tokens=3)
    assert generator.logps is None


def test_the_check_makes_no_logits_of_the_prompt():
    """Two long prompts' are gigabytes."""
    model, _ = build_architecture("qwen2")
    sizes = []
    model.lm_head.register_forward_hook(lambda _module, _args, logits: sizes.append(logits.size(1)))
    prompts = torch.arange(10, 70).view(2, 30)
    options = {"do_sample": True, "top_k": 0, "max_new_tokens": 4, "eos_token_id": None, "pad_token_id": 0}
    generator = Generator(model, "model")
    generator(prompts, attention_mask=torch.ones_like(prompts), **options)
    assert generator.logps is not None  # the check was passed
    assert max(sizes) == 5


def test_weights_that_are_not_finite_are_an_error_in_one_line():
    model, _ = build_architecture("qwen2")
    with torch.no_grad():
        model.lm_head.weight[3] = torch.nan
    with pytest.raises(ModelError, match="not finite"):
        sample(Generator(model, "model"))


def test_a_listener_hears_of_the_tokens():
    model, _ = build_architecture("qwen2")
    heard = []
    with listening(lambda *told: heard.append(told)):
        sample(Generator(model, "model"))
    assert heard[:2] == [("read prompts", 0, 0, ""), ("read prompts", 1, 1, "")]
    assert heard[2:4] == [("generate", 3, 30, "tokens"), ("generate", 6, 30, "tokens")]
    assert heard[-1][1] >= heard[-1][2] > 0


def test_the_head_reads_rows_of_their_own_while_prompts_are_run(monkeypatch):
    """A slice of the prompts' states makes torch's 16-bit product hundreds of times slower on a CPU."""
    model, _ = build_architecture("qwen3")
    generator, read = Generator(model, "bfloat16"), []
    monkeypatch.setattr(generation, "prepack_linears", lambda copied: None)  # reordered weights read rows of their own
    linear = torch.nn.Linear.forward
    monkeypatch.setattr(
        torch.nn.Linear,
        "forward",
        lambda self, states: read.append((self.out_features, states.is_contiguous())) or linear(self, states),
    )
    sample(generator)
    assert len([rows for width, rows in read if width == 256]) >= 10
    assert all(rows for width, rows in read if width == 256)
    assert not model.lm_head._forward_pre_hooks
