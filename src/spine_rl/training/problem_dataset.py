"""From problems to the data set that training sees: rendered prompts, images, ids and how answers are read."""

from collections.abc import Sequence

from datasets import Dataset, List
from datasets import Image as ImageColumn
from transformers import PreTrainedTokenizerBase, ProcessorMixin

from spine_rl.errors import ConfigError
from spine_rl.problems import (
    Problem,
    PromptStyle,
    build_text_prompts,
    check_prompt_lengths,
    encode_prompts,
    order_images,
)
from spine_rl.problems.images import encode_image
from spine_rl.problems.problem import Messages
from spine_rl.problems.visual_prompts import prepare_visual_prompts


def build_dataset(
    problems: Sequence[Problem],
    processing_class: PreTrainedTokenizerBase | ProcessorMixin,
    style: PromptStyle = PromptStyle(),
    *,
    context: int | None,
    max_new_tokens: int,
) -> Dataset:
    """A row a problem: `prompt` in TRL's form, `problem_id`, `answer_type`, `options`; `images` where there are any.

    Args:
        problems: The problems.
        processing_class: The model's tokenizer, or its processor.
        style: What is put around a problem's text.
        context: The model's, in tokens; None if it states none.
        max_new_tokens: Longest response.

    Raises:
        ConfigError: A prompt leaves no room for a response, or a problem has images and the model reads text only.
        DataError: A picture is broken, or a prompt does not fit the model's templates.
    """
    prompts, lengths = _render_prompts(problems, processing_class, style)
    check_prompt_lengths(problems, lengths, context=context, max_new_tokens=max_new_tokens)
    rows = [
        {
            "prompt": prompt,
            "problem_id": problem.id,
            "answer_type": problem.answer_type,
            "options": list(problem.options) or None,
        }
        for prompt, problem in zip(prompts, problems, strict=True)
    ]
    if not any(problem.images for problem in problems):
        return Dataset.from_list(rows)
    images = [[encode_image(image) for image in order_images(problem)] for problem in problems]
    dataset = Dataset.from_list([row | {"images": cells} for row, cells in zip(rows, images, strict=True)])
    return dataset.cast_column("images", List(ImageColumn(mode="RGB")))  # files are opened when they are needed


def _render_prompts(
    problems: Sequence[Problem], processing_class: PreTrainedTokenizerBase | ProcessorMixin, style: PromptStyle
) -> tuple[list[str | Messages], list[int]]:
    """In TRL's form, and their lengths in tokens."""
    if isinstance(processing_class, ProcessorMixin):
        visual = prepare_visual_prompts(processing_class, problems, style)
        return [prompt.messages for prompt in visual], [*map(len, visual)]
    with_images = next((problem for problem in problems if problem.images), None)
    if with_images is not None:
        raise ConfigError(
            f"problem {with_images.id!r} has images, but the model takes text only; give an image-text model"
        )
    chat = processing_class.chat_template is not None
    prompts = build_text_prompts(problems, style, chat=chat)
    return prompts, [*map(len, encode_prompts(processing_class, prompts, style.chat_template_kwargs))]
