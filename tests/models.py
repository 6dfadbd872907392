"""Small, randomly initialised models of the real architectures, with a tokenizer built on the spot."""

import torch
from transformers import (
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3Processor,
    Gemma3TextConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SiglipVisionConfig,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

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


# ---- image-text models that read and write characters, with processors that need PIL alone

IMAGE_TEXT_ARCHITECTURES = ("llava", "idefics3", "gemma3")
_VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_VISION_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def save_image_text_model(name, folder):
    """A randomly initialised model of a real architecture, with 4 tokens an image, saved with its processor."""
    model, processor = build_image_text_model(name)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def build_image_text_model(name):
    torch.manual_seed(0)
    model, processor = {"llava": _build_llava, "idefics3": _build_idefics3, "gemma3": _build_gemma3}[name]()
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    return model, processor


def _text_options(tokenizer):
    ends = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    return {**SMALL, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 4096}


def _build_llava():
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_VISION_TEMPLATE.replace("IMAGE", "<image>"),
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**_VISION, image_size=28, patch_size=14, projection_dim=32),
        text_config=Qwen3Config(**_text_options(tokenizer), head_dim=16),
        image_token_id=processor.image_token_id,
        image_token_index=processor.image_token_id,
        vision_feature_layer=-1,
        image_seq_length=4,
    )
    return LlavaForConditionalGeneration(config), processor


def _build_idefics3():
    tokenizer = build_tokenizer()
    extra = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>"]
    extra += [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    tokenizer.add_tokens(extra, special_tokens=True)
    processor = Idefics3Processor(
        Idefics3ImageProcessorPil(size={"longest_edge": 28}, max_image_size={"longest_edge": 28}),
        tokenizer,
        image_seq_len=4,
        chat_template=_VISION_TEMPLATE.replace("IMAGE", "<image>"),
    )
    config = Idefics3Config(
        vision_config={**_VISION, "image_size": 28, "patch_size": 7},
        text_config=LlamaConfig(**_text_options(processor.tokenizer)),
        image_token_id=processor.image_token_id,
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Idefics3ForConditionalGeneration(config), processor


def _build_gemma3():
    tokenizer = build_tokenizer()
    tokens = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    tokenizer.add_tokens([*tokens.values()], special_tokens=True)
    tokenizer = type(tokenizer)(
        tokenizer_object=tokenizer.backend_tokenizer,
        pad_token=tokenizer.pad_token,
        unk_token=tokenizer.unk_token,
        eos_token=tokenizer.eos_token,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        extra_special_tokens=tokens,
    )
    processor = Gemma3Processor(
        Gemma3ImageProcessorPil(size={"height": 28, "width": 28}),
        tokenizer,
        image_seq_length=4,
        chat_template=_VISION_TEMPLATE.replace("IMAGE", "<start_of_image>"),
    )
    config = Gemma3Config(
        vision_config=SiglipVisionConfig(**_VISION, image_size=28, patch_size=7, vision_use_head=False),
        text_config=Gemma3TextConfig(**_text_options(tokenizer), head_dim=16, sliding_window=16),
        mm_tokens_per_image=4,
        image_token_index=tokenizer.image_token_id,
        image_token_id=tokenizer.image_token_id,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
    )
    return Gemma3ForConditionalGeneration(config), processor
