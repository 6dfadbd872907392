"""Small, randomly initialised models of the real architectures, with a tokenizer built on the spot."""

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from spine_rl.lab.tokenizer import build_tokenizer


def build_qwen2():
    return _build(Qwen2ForCausalLM, Qwen2Config)


def build_qwen3():
    return _build(Qwen3ForCausalLM, Qwen3Config, head_dim=8)


def save_qwen2(folder):
    model, tokenizer = build_qwen2()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def _build(model_class, config_class, **options):
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    config = config_class(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **options,
    )
    return model_class(config), tokenizer
