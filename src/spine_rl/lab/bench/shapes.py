"""Random models of the real architectures, and random batches as TRL hands them to the loss."""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration, Qwen3Config, Qwen3ForCausalLM

from spine_rl.engine.models import get_device

IMAGE_TOKEN = 5
_FIRST_TOKEN = 6  # of random text: special tokens come before it


@dataclass(frozen=True)
class ModelShape:
    """A Qwen3-architecture model with tied embeddings; with `image_tokens`, the language part of a LLaVA one.

    Attributes:
        hidden: Width, a multiple of `head`.
        layers: Depth.
        vocabulary: Tokens.
        head: Width of an attention head.
        kv_heads: Key-value heads; default half of the heads.
        intermediate: Width of the feed-forward layers; default three times `hidden`.
        image_tokens: Patches of an image, a square number; 0 for text alone.
    """

    hidden: int = 256
    layers: int = 6
    vocabulary: int = 8192
    head: int = 64
    kv_heads: int | None = None
    intermediate: int | None = None
    image_tokens: int = 0

    @property
    def num_kv_heads(self) -> int:
        return self.kv_heads or max(1, self.hidden // self.head // 2)

    @property
    def feed_forward(self) -> int:
        return self.intermediate or 3 * self.hidden


DEFAULT_SIZE = "7m"
SIZES = {
    DEFAULT_SIZE: ModelShape(),
    "qwen2.5-0.5b": ModelShape(hidden=896, layers=24, vocabulary=151936, kv_heads=2, intermediate=4864),
    "qwen2.5-1.5b": ModelShape(hidden=1536, layers=28, vocabulary=151936, head=128, kv_heads=2, intermediate=8960),
}


@dataclass(frozen=True)
class BatchShape:
    """`prompts` groups of `group_size` responses; lengths in tokens.

    Attributes:
        prompts: Groups.
        group_size: G.
        prompt_length: Of every prompt, image patches included.
        response_length: Of the longest response.
        equal_lengths: All responses are as long; else lengths are uniform between half of it and all of it.
    """

    prompts: int = 2
    group_size: int = 8
    prompt_length: int = 400
    response_length: int = 100
    equal_lengths: bool = True


def build_model(shape: ModelShape, seed: int = 0) -> Any:
    """On the accelerator, where there is one; the same arguments give the same weights."""
    torch.manual_seed(seed)
    with get_device():
        return _build(shape)


def _build(shape: ModelShape) -> Any:
    text = Qwen3Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.hidden // shape.head,
        num_key_value_heads=shape.num_kv_heads,
        head_dim=shape.head,
        tie_word_embeddings=True,
        max_position_embeddings=8192,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=2,
    )
    if not shape.image_tokens:
        return Qwen3ForCausalLM(text)
    side = round(shape.image_tokens**0.5)
    vision = CLIPVisionConfig(
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.hidden // shape.head,
        image_size=14 * side,
        patch_size=14,
        projection_dim=shape.hidden,
    )
    return LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=vision,
            text_config=text,
            image_token_index=IMAGE_TOKEN,
            vision_feature_layer=-1,
            image_seq_length=shape.image_tokens,
        )
    )


def build_batch(model: ModelShape, shape: BatchShape, seed: int = 0) -> dict[str, Any]:
    """A micro-batch: tokens, masks, advantages (none is 0) and images, on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    rows, width = shape.prompts * shape.group_size, shape.response_length
    prompts = torch.randint(_FIRST_TOKEN, model.vocabulary, (shape.prompts, shape.prompt_length), generator=generator)
    lengths = torch.full((rows,), width)
    if not shape.equal_lengths:
        lengths = torch.randint(width // 2, width + 1, (rows,), generator=generator)
    mask = (torch.arange(width) < lengths.unsqueeze(1)).long()
    batch: dict[str, Any] = {
        "completion_ids": torch.randint(_FIRST_TOKEN, model.vocabulary, (rows, width), generator=generator) * mask,
        "completion_mask": mask,
        "advantages": torch.randn(rows, generator=generator),
        "num_items_in_batch": mask.sum(),
    }
    if model.image_tokens:
        prompts[:, 1 : 1 + model.image_tokens] = IMAGE_TOKEN
        side = 14 * round(model.image_tokens**0.5)
        pixels = torch.randn(shape.prompts, 3, side, side, generator=generator)
        batch |= {"pixel_values": pixels.repeat_interleave(shape.group_size, 0), "num_images": [1] * rows}
    prompts = prompts.repeat_interleave(shape.group_size, 0)
    return batch | {"prompt_ids": prompts, "prompt_mask": torch.ones_like(prompts)}
