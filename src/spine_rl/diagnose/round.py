"""What preflight and inspect share: problems, a model, and a round of responses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spine_rl.diagnose.fork_rule import ForkRule
from spine_rl.diagnose.rollouts import Rollouts, draw_rollouts
from spine_rl.engine.samplers import Decoding, TransformersSampler, load_sampler
from spine_rl.problems import Problem, PromptStyle, load_problems


@dataclass(frozen=True)
class RolloutOptions:
    """What is sampled.

    Attributes:
        model: Folder or hub id.
        data: Problems.
        forks: Which tokens are forks.
        num_generations: Responses per problem.
        decoding: How they are drawn.
        style: What is put around a problem's text.
        answer_type: How answers are read where a problem does not say.
        columns: Arguments of `load_problems`.
        dtype: The weights' type.
    """

    model: str
    data: str
    forks: ForkRule
    num_generations: int
    decoding: Decoding
    style: PromptStyle
    answer_type: str
    columns: Mapping[str, Any]
    dtype: str


def draw(
    options: RolloutOptions, problems: Sequence[Problem] | None = None, load_options: Mapping[str, Any] = {}
) -> tuple[TransformersSampler, Rollouts]:
    """Loads the model and samples; the model's engine comes back with the responses.

    Args:
        options: What is sampled.
        problems: To which; by default all that the options name.
        load_options: How the model is loaded, as `load_model_and_tokenizer` takes it; the type is the options'.
    """
    if problems is None:
        problems = load_problems(options.data, **options.columns).problems
    engine = load_sampler("transformers", options.model, options.dtype, load_options)
    assert isinstance(engine, TransformersSampler)
    rollouts = draw_rollouts(
        engine,
        problems,
        options.style,
        options.decoding,
        options.num_generations,
        answer_type=options.answer_type,
    )
    return engine, rollouts
