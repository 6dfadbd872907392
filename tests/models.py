"""Small, randomly initialised models of the real architectures, with a tokenizer built on the spot."""

import torch
from transformers import (
    CLIPVisionConfig,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

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


SMALL = {
    "vocab_size": 256,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
IMAGE_TOKEN = 5
ARCHITECTURES = ("qwen2", "qwen3", "llama", "gemma3", "llava")


def build_architecture(name):
    """A randomly initialised model in float32 and the token that stands for image patches, None of a text model."""
    torch.manual_seed(0)
    if name == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(**SMALL))
    elif name == "qwen3":
        model = Qwen3ForCausalLM(Qwen3Config(**SMALL, head_dim=16, tie_word_embeddings=True))
    elif name == "llama":
        model = LlamaForCausalLM(LlamaConfig(**SMALL))
    elif name == "gemma3":  # two layers of three with a window shorter than the prompt
        options = {"head_dim": 16, "sliding_window": 8, "final_logit_softcapping": 20.0}
        types = ["sliding_attention", "sliding_attention", "full_attention"]
        model = Gemma3ForCausalLM(Gemma3TextConfig(**SMALL, **options, layer_types=types))
    else:
        vision = CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=28,
            patch_size=14,
            projection_dim=32,
        )
        text = Qwen3Config(**SMALL, head_dim=16)
        model = LlavaForConditionalGeneration(
            LlavaConfig(
                vision_config=vision,
                text_config=text,
                image_token_id=IMAGE_TOKEN,
                image_token_index=IMAGE_TOKEN,
                vision_feature_layer=-1,
                image_seq_length=4,
            )
        )
    return model, IMAGE_TOKEN if name == "llava" else None
