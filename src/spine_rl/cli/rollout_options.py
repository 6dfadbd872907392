"""What `spine preflight` and `spine inspect` share: problems, a model, and a round of responses."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spine_rl.answers import check_answer_type
from spine_rl.cli.prompting import ask
from spine_rl.diagnose.rollouts import Rollouts, draw_rollouts
from spine_rl.engine.models import load_model_and_tokenizer, move_to_accelerator
from spine_rl.engine.samplers import Decoding, TransformersSampler
from spine_rl.problems import PromptStyle, load_problems

DEFAULT_MAX_NEW_TOKENS = 512  # as of a run


@dataclass(frozen=True)
class RolloutOptions:
    """What is sampled.

    Attributes:
        model: Folder or hub id.
        data: Problems.
        num_generations: G.
        decoding: Of the responses.
        style: Around a problem's text.
        answer_type: How answers are read where a problem does not say.
        columns: Arguments of `load_problems`.
        dtype: Of the weights.
    """

    model: str
    data: str
    num_generations: int
    decoding: Decoding
    style: PromptStyle
    answer_type: str
    columns: Mapping[str, Any]
    dtype: str


def make_options(
    given: Mapping[str, Any],
    model: str,
    data: str,
    *,
    num_generations: int,
    answer_type: str,
    dtype: str,
    columns: Mapping[str, Any],
    **decoding: Any,
) -> RolloutOptions:
    """From a command's options: what was not `given` of the question is as in the run that made the model."""
    question = ask(given, model, max_new_tokens=DEFAULT_MAX_NEW_TOKENS)
    return RolloutOptions(
        model,
        data,
        num_generations,
        Decoding(question.max_new_tokens, top_p=1.0, **decoding),
        question.style,
        answer_type,
        {**columns, "max_image_pixels": question.max_image_pixels},
        dtype,
    )


def draw(options: RolloutOptions) -> tuple[TransformersSampler, Rollouts]:
    """Loads problems and model, and samples; the model's engine comes back with the responses."""
    check_answer_type(options.answer_type)
    problems = load_problems(options.data, **options.columns).problems
    model, processing_class = load_model_and_tokenizer(options.model, dtype=options.dtype)
    generation_dtype = "auto" if options.dtype == "auto" else "model"
    engine = TransformersSampler(move_to_accelerator(model), processing_class, generation_dtype)
    rollouts = draw_rollouts(
        engine,
        problems,
        options.style,
        options.decoding,
        options.num_generations,
        answer_type=options.answer_type,
    )
    return engine, rollouts
