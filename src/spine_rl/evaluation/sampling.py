"""From problems to responses: prompts rendered and checked, rows ordered longest first, several samples a prompt."""

from collections.abc import Sequence
from typing import Any

from spine_rl.engine.samplers import Decoding, Prompt, SampledResponse, Sampler
from spine_rl.errors import ConfigError
from spine_rl.problems import Problem, PromptStyle, build_text_prompts, check_prompt_lengths, encode_prompts
from spine_rl.problems.visual_prompts import prepare_visual_prompts

Row = tuple[int, int]  # problem's index, sample's index


def prepare_prompts(
    engine: Sampler, problems: Sequence[Problem], style: PromptStyle, max_new_tokens: int
) -> list[Prompt]:
    """Each problem's prompt as the engine takes it.

    Raises:
        ConfigError: A prompt leaves no room for a response, or has images that the engine does not take.
        DataError: An image is broken.
    """
    visual = next((problem for problem in problems if problem.images), None)
    if engine.processor is not None:
        prompts: list[Any] = [*prepare_visual_prompts(engine.processor, problems, style)]
    elif visual is not None:
        raise ConfigError(
            f"problem {visual.id!r} has images; take an image-text model and --engine transformers, the other engines "
            "read text only"
        )
    else:
        chat = engine.tokenizer.chat_template is not None
        texts = build_text_prompts(problems, style, chat=chat)
        prompts = [*encode_prompts(engine.tokenizer, texts, style.chat_template_kwargs)]
    check_prompt_lengths(problems, [*map(len, prompts)], context=engine.context, max_new_tokens=max_new_tokens)
    return prompts


def order_rows(prompts: Sequence[Prompt], num_samples: int) -> list[Row]:
    """Rows in the order in which they are drawn: the longest prompts first, a prompt's samples side by side."""
    problems = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    return [(index, sample) for index in problems for sample in range(num_samples)]


def draw_responses(
    engine: Sampler, prompts: Sequence[Prompt], decoding: Decoding, num_samples: int = 1
) -> list[list[SampledResponse]]:
    """Draws `num_samples` responses to each prompt, from one random state; in the prompts' order."""
    rows = order_rows(prompts, num_samples)
    drawn = engine.generate([prompts[index] for index, _ in rows], decoding)
    responses: list[list[SampledResponse]] = [[] for _ in prompts]
    for (index, _), response in zip(rows, drawn, strict=True):
        responses[index].append(response)
    return responses
