"""Evaluation of a model in memory, without files: greedy Pass@1, and mean@k, pass@k and maj@k of sampled responses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

from spine_rl.engine.samplers import Decoding, SampledResponse, TransformersSampler
from spine_rl.evaluation.grading import make_answer_sheet, score_responses
from spine_rl.evaluation.responses import ResponseRow
from spine_rl.evaluation.sampling import draw_responses, prepare_prompts
from spine_rl.problems import Problem, PromptStyle


@dataclass(frozen=True)
class Evaluation:
    """Metrics, and the responses they come from.

    Attributes:
        metrics: `n_problems`; `greedy_pass@1`; of the samples `mean@k`, `pass@1`, `pass@2`, `pass@4`, ... `pass@k`,
            `maj@k`, `majority_ratio`, `response_length` (mean tokens) and its percentiles `response_length_p10`, `p50`,
            `p90`, `truncated` and `unparseable` (shares) and `entropy` (mean nats a token); of the greedy responses
            `greedy_response_length`, `greedy_truncated`, `greedy_unparseable`. k stands as a number.
        greedy: A response a problem.
        samples: k responses a problem.
    """

    metrics: dict[str, float]
    greedy: list[SampledResponse]
    samples: list[list[SampledResponse]]


def evaluate(
    model: PreTrainedModel,
    processing_class: PreTrainedTokenizerBase | ProcessorMixin,
    problems: Sequence[Problem],
    gold_answers: Mapping[str, str],
    decoding: Decoding,
    *,
    num_samples: int = 8,
    prompt_style: PromptStyle = PromptStyle(),
    answer_type: str = "math",
) -> Evaluation:
    """Evaluates a model on labelled problems; all samples are drawn from one random state.

    Args:
        model: The model.
        processing_class: Its tokenizer; of an image-text model its processor.
        problems: The problems.
        gold_answers: Problem id → gold answer; every problem needs one.
        decoding: Of the samples; the greedy response shares its length limit.
        num_samples: k.
        prompt_style: What is put around a problem's text.
        answer_type: How answers are read where a problem does not say; `auto` goes by options and gold answers.

    Raises:
        DataError: A problem has no gold answer.
        ConfigError: A prompt leaves no room for a response.
    """
    sheet = make_answer_sheet(problems, gold_answers, answer_type)
    engine = TransformersSampler(model, processing_class)
    prompts = prepare_prompts(engine, problems, prompt_style, decoding.max_new_tokens)
    greedy = [row[0] for row in draw_responses(engine, prompts, replace(decoding, temperature=0.0))]
    samples = draw_responses(engine, prompts, decoding, num_samples)
    ids = [problem.id for problem in problems]
    greedy_rows = [to_response_row(problem_id, 0, response) for problem_id, response in zip(ids, greedy, strict=True)]
    sample_rows = [
        [to_response_row(ids[index], number, response) for number, response in enumerate(row)]
        for index, row in enumerate(samples)
    ]
    return Evaluation(score_responses(sheet, greedy_rows, sample_rows).metrics, greedy, samples)


def to_response_row(problem_id: str, sample: int, response: SampledResponse) -> ResponseRow:
    """A response without its tokens, as it is kept and graded."""
    return ResponseRow(problem_id, sample, response.text, len(response.token_ids), response.truncated, response.entropy)
