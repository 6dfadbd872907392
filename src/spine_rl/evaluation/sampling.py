"""From problems to responses: prompts rendered and checked, rows ordered longest first, several samples a prompt."""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from spine_rl.errors import DataError
from spine_rl.evaluation.engines import Decoding, Engine, GenerateEngine, SampledResponse
from spine_rl.problems import Problem, PromptStyle, build_prompt, check_prompt_lengths, encode_prompts

Row = tuple[int, int]  # problem's index, sample's index


def prepare_prompts(
    engine: Engine, problems: Sequence[Problem], style: PromptStyle, max_new_tokens: int
) -> list[list[int]]:
    """Token ids of each problem's prompt.

    Raises:
        ConfigError: A prompt leaves no room for a response.
        DataError: A problem has images, which would be left out.
    """
    for problem in problems:
        if problem.images:
            raise DataError(f"problem {problem.id!r} has images; evaluation reads text only so far, remove the problem")
    chat = engine.tokenizer.chat_template is not None
    prompts = encode_prompts(engine.tokenizer, [build_prompt(problem, style, chat=chat) for problem in problems])
    check_prompt_lengths(problems, [*map(len, prompts)], context=engine.context, max_new_tokens=max_new_tokens)
    return prompts


def order_rows(prompts: Sequence[list[int]], num_samples: int) -> list[Row]:
    """Rows in the order in which they are drawn: the longest prompts first, a prompt's samples side by side."""
    problems = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    return [(index, sample) for index in problems for sample in range(num_samples)]


def draw_responses(
    engine: Engine, prompts: Sequence[list[int]], decoding: Decoding, num_samples: int = 1
) -> list[list[SampledResponse]]:
    """Draws `num_samples` responses to each prompt, from one random state; in the prompts' order."""
    rows = order_rows(prompts, num_samples)
    drawn = engine.generate([prompts[index] for index, _ in rows], decoding)
    responses: list[list[SampledResponse]] = [[] for _ in prompts]
    for (index, _), response in zip(rows, drawn, strict=True):
        responses[index].append(response)
    return responses


def sample_responses(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompt_ids: Sequence[list[int]],
    decoding: Decoding,
    num_samples: int = 1,
) -> list[list[SampledResponse]]:
    """`draw_responses` of a transformers model with `generate`.

    The model's mode and torch's random state are left as they were.
    """
    return draw_responses(GenerateEngine(model, tokenizer), prompt_ids, decoding, num_samples)
