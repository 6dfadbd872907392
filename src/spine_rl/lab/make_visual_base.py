"""Makes the lab's image-text base model: `python -m spine_rl.lab.make_visual_base --out DIR`.

A LLaVA-architecture model, put together as these are: a language model that can write and add, the arithmetic base; a
CLIP tower that is taught to see; then both learn together, first to describe pictures and to count row by row, then
worked questions in both styles, 45 % careful and 55 % hasty, on pictures of which few rows hold shapes.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from spine_rl.engine.models import get_tokenizer
from spine_rl.lab.families.drawing import BACKGROUND, CELL, KINDS
from spine_rl.lab.families.family import draw_from_split
from spine_rl.lab.families.shapes import (
    EASY,
    LESSON,
    SIZE,
    Difficulty,
    ShapeProblem,
    draw_problem,
    list_phrases,
    name_cell,
    write_lesson,
    write_solution,
)
from spine_rl.lab.make_base import Marks, make_base
from spine_rl.lab.tasks import ARITHMETIC, VQA
from spine_rl.lab.teach import Example, Recipe, collate, draw_style, fit, join_example, make_batches
from spine_rl.lab.tokenizer import IMAGE, IMAGE_CHAT_TEMPLATE, build_tokenizer


@dataclass(frozen=True)
class Stage:
    """What is learned at a time.

    Attributes:
        recipe: How long and how fast.
        lesson_share: Of examples that are lessons; the others are worked questions.
        lessons: What they are drawn from.
        questions: What those are drawn from.
    """

    recipe: Recipe
    lesson_share: float
    lessons: Difficulty = LESSON
    questions: Difficulty = EASY


SEEING = Recipe(steps=150, batch_size=128)
TWO_KINDS = replace(LESSON, asks={"together": 0.5, "count": 0.3, "what": 0.2})
MULTI_STEP = replace(
    EASY, asks={"count": 0.3, "together": 0.22, "difference": 0.18, "more": 0.12, "most": 0.13, "what": 0.05}
)
STAGES = (
    Stage(Recipe(steps=1200, batch_size=32, learning_rate=1e-3), lesson_share=1.0),
    Stage(Recipe(steps=2500, batch_size=32, learning_rate=1e-3, seed=1), lesson_share=0.35),
    # The second of two kinds is learned late, and needs examples of its own.
    Stage(Recipe(steps=1500, batch_size=32, learning_rate=7e-4, seed=2), 0.4, TWO_KINDS, MULTI_STEP),
    Stage(
        Recipe(steps=900, batch_size=32, learning_rate=1e-3, seed=3),
        0.9,
        replace(LESSON, asks={"together": 0.8, "count": 0.1, "what": 0.1}),
        MULTI_STEP,
    ),
    Stage(Recipe(steps=1000, batch_size=32, learning_rate=7e-4, seed=4), 0.35, TWO_KINDS, MULTI_STEP),
)
NUM_PATCHES = SIZE * SIZE
SHOWN = (*KINDS, None)  # what a cell may show


def build_processor() -> LlavaProcessor:
    """Words of questions and solutions as tokens; pictures as they are drawn, a patch a cell."""
    side = CELL * SIZE
    tokenizer = build_tokenizer(list_phrases())
    tokenizer.add_tokens([IMAGE], special_tokens=True)
    image_processor = CLIPImageProcessorPil(
        size={"height": side, "width": side},
        do_center_crop=False,
        image_mean=[channel / 255 for channel in BACKGROUND],
        image_std=[0.3] * 3,
    )
    return LlavaProcessor(
        image_processor,
        tokenizer,
        patch_size=CELL,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=IMAGE_CHAT_TEMPLATE,
    )


def build_model(processor: Any) -> LlavaForConditionalGeneration:
    """The arithmetic base with random rows for the new words, on a random tower and projector."""
    language, old_tokenizer = ARITHMETIC.load_base()
    rows: Any = language.resize_token_embeddings(len(processor.tokenizer), mean_resizing=False)
    num_old = len(get_tokenizer(old_tokenizer))
    nn.init.normal_(rows.weight.data[num_old:], std=rows.weight.data[:num_old].std().item())
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=CELL * SIZE,
        patch_size=CELL,
        projection_dim=32,
    )
    language.config._name_or_path = ""  # a path of this machine
    config = LlavaConfig(
        vision_config=vision,
        text_config=language.config,
        image_token_id=processor.image_token_id,  # pyright: ignore[reportCallIssue]
        image_token_index=processor.image_token_id,
        vision_feature_layer=-1,
        image_seq_length=NUM_PATCHES,
        tie_word_embeddings=True,
    )
    model: Any = LlavaForConditionalGeneration(config)
    model.get_decoder().load_state_dict(language.base_model.state_dict())
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    # Next to what a patch shows, where it is would be too faint to be learned soon.
    nn.init.normal_(model.get_encoder(modality="image").embeddings.position_embedding.weight, std=0.5)
    for name, parameter in model.model.multi_modal_projector.named_parameters():
        if name.endswith("weight"):
            nn.init.normal_(parameter, std=0.1)
    return model


def train_visual_base(
    seeing: Recipe = SEEING, stages: Sequence[Stage] = STAGES
) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """Trains the base model on pictures of the `train` split."""
    torch.manual_seed(seeing.seed)
    processor = build_processor()
    model = build_model(processor)
    teach_to_see(model, processor, seeing)
    for stage in stages:
        fit(model, draw_batches(processor, stage), stage.recipe)
    return model, processor


def teach_to_see(model: Any, processor: Any, recipe: Recipe) -> None:
    """Trains tower and projector to say, in the language model's own words, what each patch shows and where it is.

    What stands for a patch becomes the sum of the embeddings of its colour, form, row and column.
    """
    embeddings = model.get_input_embeddings().weight.detach()

    def embed(text: str) -> torch.Tensor:
        return embeddings[processor.tokenizer(text, add_special_tokens=False).input_ids].sum(0)

    shown = torch.stack([embed(name_cell(cell)) for cell in SHOWN])
    rows = torch.stack([embed(f"row {row}: ") for row in range(1, SIZE + 1)])
    columns = torch.stack([embed(str(column)) for column in range(1, SIZE + 1)])
    places = (rows.unsqueeze(1) + columns).flatten(0, 1)
    sight = [parameter for name, parameter in model.named_parameters() if "language_model" not in name]
    optimizer = torch.optim.AdamW(sight, lr=recipe.learning_rate)
    rng = random.Random(recipe.seed)
    for step in range(recipe.steps):
        problems = [draw_training_problem(rng, LESSON) for _ in range(recipe.batch_size)]
        labels = torch.tensor([[SHOWN.index(cell) for row in problem.grid for cell in row] for problem in problems])
        pixels = encode_images(processor, [problem.images[0] for problem in problems])
        features = torch.stack([*model.model.get_image_features(pixels).pooler_output])
        loss = nn.functional.mse_loss(features, shown[labels] + places) / embeddings.var()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == recipe.steps - 1:
            found = torch.cdist((features - places).flatten(0, 1), shown).argmin(1)
            right = (found == labels.flatten()).float().mean().item()
            print(f"seeing, step {step:5d}  loss {loss.item():.4f}  cells told right {right:.3f}", flush=True)


def draw_batches(processor: Any, stage: Stage) -> Iterator[dict[str, torch.Tensor]]:
    """Fresh examples."""
    for examples in make_batches(lambda rng: draw_example(processor, stage, rng), stage.recipe):
        pixels = encode_images(processor, [example.image for example in examples])
        yield collate(examples) | {"pixel_values": pixels}


def draw_example(processor: Any, stage: Stage, rng: random.Random) -> Example:
    """A lesson or a worked easy problem, as the processor would encode it."""
    lesson = rng.random() < stage.lesson_share
    problem = draw_training_problem(rng, stage.lessons if lesson else stage.questions)
    question, solution = (
        write_lesson(problem) if lesson else (problem.question, write_solution(problem, draw_style(rng), rng))
    )
    opened = f"<|user|>{question} {IMAGE * NUM_PATCHES}<|end|><|assistant|>"
    return join_example(processor.tokenizer, opened, solution, problem.images[0])


def draw_training_problem(rng: random.Random, difficulty: Difficulty) -> ShapeProblem:
    """A problem of the `train` split."""
    return draw_from_split(lambda rng: draw_problem(rng, difficulty), "train", rng)


def encode_images(processor: Any, images: list[Any]) -> torch.Tensor:
    """Pixel values of pictures, as the processor gives them but sooner."""
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2) / 255
    scale = processor.image_processor
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (scale.image_mean, scale.image_std))
    return (pixels - mean) / std


def main() -> None:
    steps = [SEEING.steps, *(stage.recipe.steps for stage in STAGES)]
    make_base(__doc__, train_visual_base, {"steps": steps, "seed": STAGES[-1].recipe.seed}, {VQA: Marks()})


if __name__ == "__main__":
    main()
