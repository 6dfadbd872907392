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
    MistralConfig,
    MistralForCausalLM,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SiglipVisionConfig,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

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


def save_in_hub_cache(cache, name, *revisions):
    """A repository of Qwen2 models as the hub's cache keeps it: each revision has other weights than the one before."""
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    for number, revision in enumerate(revisions):
        commit = f"{number}" * 40
        (repository / "refs" / revision).write_text(commit)
        model, tokenizer = build_qwen2()
        with torch.no_grad():
            model.model.norm.weight.mul_(1 + number)
        model.save_pretrained(repository / "snapshots" / commit)
        tokenizer.save_pretrained(repository / "snapshots" / commit)


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
IMAGE_TEXT_ARCHITECTURES = ("llava", "idefics3", "gemma3-vision")  # their processors need PIL alone
QWEN = "qwen2.5-vl"
ARCHITECTURES = ("qwen2", "qwen3", "llama", "gemma3", *IMAGE_TEXT_ARCHITECTURES, QWEN)
_GEMMA3 = {"head_dim": 16, "sliding_window": 8, "final_logit_softcapping": 20.0}
_GEMMA3 |= {"layer_types": ["sliding_attention", "sliding_attention", "full_attention"]}  # window shorter than a prompt
_VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def build_architecture(name):
    """A randomly initialised model in float32 and the token that stands for image patches, None of a text model."""
    torch.manual_seed(0)
    if name == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**SMALL)), None
    if name == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**SMALL, head_dim=16, tie_word_embeddings=True)), None
    if name == "llama":
        return LlamaForCausalLM(LlamaConfig(**SMALL)), None
    if name == "mistral":  # all layers slide, and no configuration of layers says so
        return MistralForCausalLM(MistralConfig(**SMALL, head_dim=16, sliding_window=8)), None
    if name == "gemma3":
        return Gemma3ForCausalLM(Gemma3TextConfig(**SMALL, **_GEMMA3)), None
    return _IMAGE_TEXT[name](SMALL, IMAGE_TOKEN), IMAGE_TOKEN


def _make_llava(text, image_token):
    return LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(**_VISION, image_size=28, patch_size=14, projection_dim=32),
            text_config=Qwen3Config(**text, head_dim=16),
            image_token_id=image_token,
            image_token_index=image_token,
            vision_feature_layer=-1,
            image_seq_length=4,
        )
    )


def _make_idefics3(text, image_token):
    return Idefics3ForConditionalGeneration(
        Idefics3Config(
            vision_config={**_VISION, "image_size": 28, "patch_size": 7},
            text_config=LlamaConfig(**text),
            image_token_id=image_token,
            scale_factor=2,
            pad_token_id=text["pad_token_id"],
        )
    )


def _make_gemma3(text, image_token, **tokens):
    return Gemma3ForConditionalGeneration(
        Gemma3Config(
            vision_config=SiglipVisionConfig(**_VISION, image_size=28, patch_size=7, vision_use_head=False),
            text_config=Gemma3TextConfig(**text, **_GEMMA3),
            mm_tokens_per_image=4,
            image_token_index=image_token,
            image_token_id=image_token,
            **tokens,
        )
    )


def _make_qwen(text, image_token, **tokens):
    vision = {"depth": 2, "hidden_size": 32, "num_heads": 4, "intermediate_size": 64, "out_hidden_size": 32}
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 1, 1]}
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={**text, "rope_parameters": rope},
            vision_config={**vision, "window_size": 56, "fullatt_block_indexes": [1]},
            image_token_id=image_token,
            **tokens,
        )
    )


_IMAGE_TEXT = {"llava": _make_llava, "idefics3": _make_idefics3, "gemma3-vision": _make_gemma3, QWEN: _make_qwen}


# ---- image-text models that read and write characters, with processors: 4 tokens an image

_VISION_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def save_image_text_model(name, folder):
    """A randomly initialised model of a real architecture, saved with its processor."""
    model, processor = build_image_text_model(name)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def build_image_text_model(name):
    processor, tokens = {
        "llava": _build_llava_processor,
        "idefics3": _build_idefics3_processor,
        "gemma3-vision": _build_gemma3_processor,
        QWEN: _build_qwen_processor,
    }[name]()
    tokenizer = processor.tokenizer
    ends = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    text = {**SMALL, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 4096}
    torch.manual_seed(0)
    image_token = getattr(tokenizer, "image_token_id", processor.image_token_id)  # Gemma3's processor names another
    model = _IMAGE_TEXT[name](text, image_token, **tokens)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return model, processor


def _build_llava_processor():
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
    return processor, {}


def _build_idefics3_processor():
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
    return processor, {}


def _build_gemma3_processor():
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
    return processor, {"boi_token_index": tokenizer.boi_token_id, "eoi_token_index": tokenizer.eoi_token_id}


def _build_qwen_processor():
    """Needs torchvision, for the processor of videos that comes with it."""
    from transformers import Qwen2_5_VLProcessor, Qwen2VLVideoProcessor

    tokenizer = build_tokenizer()
    names = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer.add_tokens(names, special_tokens=True)
    processor = Qwen2_5_VLProcessor(
        Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 56 * 56}),
        tokenizer,
        Qwen2VLVideoProcessor(),
        chat_template=_VISION_TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"),
    )
    start, end, _, video = tokenizer.convert_tokens_to_ids(names)
    return processor, {"vision_start_token_id": start, "vision_end_token_id": end, "video_token_id": video}
