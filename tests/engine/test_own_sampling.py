"""A model's own generation defaults change nothing, and options that need every row's tokens get them."""

import inspect
import re

import pytest
import torch
from datasets import Dataset
from transformers import GenerationConfig, GenerationMixin, WatermarkingConfig

from models import build_qwen2
from spine_rl import SpineConfig, SpineTrainer
from spine_rl.diagnose.token_scores import score_tokens
from spine_rl.engine.continuous_sampler import ContinuousSampler
from spine_rl.engine.generation import Generator
from spine_rl.engine.own_sampling import sampling_as_asked
from spine_rl.engine.sampler import Decoding
from spine_rl.engine.sampler_entropy import measure_entropies
from spine_rl.engine.transformers_sampler import TransformersSampler

# Of everything that makes a logits processor or warper, a value that would be noticed.
LOUD = {
    "guidance_scale": 3.0,
    "sequence_bias": [[[5], 100.0]],
    "encoder_repetition_penalty": 0.01,
    "repetition_penalty": 100.0,
    "no_repeat_ngram_size": 1,
    "encoder_no_repeat_ngram_size": 1,
    "bad_words_ids": [[5], [6], [7], [8], [9]],
    "min_length": 40,
    "min_new_tokens": 8,
    "forced_bos_token_id": 5,
    "forced_eos_token_id": 5,
    "remove_invalid_values": True,
    "exponential_decay_length_penalty": (1, 100.0),
    "suppress_tokens": [*range(5, 40)],
    "begin_suppress_tokens": [*range(5, 40)],
    "temperature": 1e-3,
    "top_h": 0.01,
    "top_k": 1,
    "top_p": 0.01,
    "min_p": 0.99,
    "typical_p": 0.01,
    "epsilon_cutoff": 0.9,
    "eta_cutoff": 0.9,
    "watermarking_config": WatermarkingConfig(bias=50.0),
    "renormalize_logits": True,
}
PROMPTS = [[5, 6, 7, 8]] * 3 + [[9, 10]]
DECODING = Decoding(8, temperature=1.0, seed=3)


def build_peaked():
    """A model that prefers some tokens, so that penalties show."""
    model, tokenizer = build_qwen2()
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(30)
    return model, tokenizer


def test_every_option_that_processors_read_is_known():
    source = inspect.getsource(GenerationMixin._get_logits_processor)
    read = set(re.findall(r"generation_config\.([a-z]\w+)", source)) - {"do_sample", "num_beams", "use_cache"}
    assert read - {"max_length"} == LOUD.keys()  # max_length is given


@pytest.mark.parametrize("sampler", [TransformersSampler, ContinuousSampler])
def test_no_default_of_a_model_enters(sampler):
    model, tokenizer = build_peaked()
    plain = sampler(model, tokenizer).generate(PROMPTS, DECODING)
    own = model.generation_config
    for name, value in LOUD.items():
        model.generation_config = GenerationConfig.from_dict({**own.to_dict(), name: value})
        loud = model.generation_config
        assert sampler(model, tokenizer).generate(PROMPTS, DECODING) == plain, name
        assert model.generation_config is loud  # it is saved with the model


def test_end_tokens_are_the_models_own():
    model, tokenizer = build_peaked()
    first = TransformersSampler(model, tokenizer).generate([[5, 6]], DECODING)[0]
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, first.token_ids[2]]
    cut = TransformersSampler(model, tokenizer).generate([[5, 6]], DECODING)[0]
    assert cut.token_ids == first.token_ids[: first.token_ids.index(first.token_ids[2]) + 1]
    assert not cut.truncated


def adapt(folder, loud=None, **options):
    """The trained weights of two steps, and the lengths logged."""
    model, tokenizer = build_peaked()
    model.generation_config = GenerationConfig.from_dict({**model.generation_config.to_dict(), **(loud or {})})
    config = SpineConfig(
        output_dir=str(folder), max_steps=2, num_generations=4, per_device_train_batch_size=8, learning_rate=1e-2,
        max_completion_length=8, use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True, **options,
    )  # fmt: skip
    data = Dataset.from_list([{"prompt": f"{n}+1=", "problem_id": str(n)} for n in range(2)])
    trainer = SpineTrainer(model, config, data, tokenizer)
    trainer.train()
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def test_training_is_what_the_options_say(tmp_path):
    loud = {name: LOUD[name] for name in ("repetition_penalty", "no_repeat_ngram_size", "suppress_tokens", "min_p")}
    plain = adapt(tmp_path)
    assert torch.equal(adapt(tmp_path, loud), plain)
    assert not torch.equal(adapt(tmp_path, repetition_penalty=1.5), plain)


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, LOUD[name]) for name in LOUD if name not in ("guidance_scale", "temperature")],
)
def test_shared_generation_gives_what_plain_generation_gives(name, value):
    """Rows of one prompt, some of which end early: greedy decoding with the option, row by row and together."""
    model, _ = build_peaked()
    ids = torch.tensor([[5, 6, 7, 8]] * 3 + [[9, 10, 11, 12]])
    options = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": [*range(40, 60)], "pad_token_id": 0}
    options[name] = value
    with sampling_as_asked(model):
        expected = model.generate(ids, attention_mask=torch.ones_like(ids), **options)
        got = Generator(model)(ids, attention_mask=torch.ones_like(ids), **options)
    assert torch.equal(expected, got)


def test_a_model_in_training_still_is_when_sampling_or_scoring_fails(monkeypatch):
    model, tokenizer = build_qwen2()
    model.train()
    sampler = TransformersSampler(model, tokenizer)

    def fail(*_, **__):
        raise KeyError("interrupted")

    monkeypatch.setattr(type(model), "forward", fail)
    for call in (
        lambda: sampler.generate(PROMPTS, DECODING),
        lambda: measure_entropies(model, PROMPTS, PROMPTS, DECODING, sampler.encode),
        lambda: score_tokens(model, sampler.encode(PROMPTS[:1]), 2),
    ):
        with pytest.raises(KeyError):
            call()
        assert model.training
