"""One round of responses before any training, as a step would draw them: sampled, voted on, scored token by token."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from spine_rl.answers import resolve_answer_type, response_key
from spine_rl.diagnose.token_scores import TokenScores, can_share_prompt, score_responses, score_tokens
from spine_rl.engine.progress import tell
from spine_rl.engine.samplers import Decoding, Prompt, SampledResponse, TransformersSampler
from spine_rl.evaluation.sampling import draw_responses, prepare_prompts
from spine_rl.problems import Problem, PromptStyle
from spine_rl.voting import Ballot, hold_vote


@dataclass(frozen=True)
class Rollouts:
    """Responses of several problems; every list is in the problems' order, a problem's in the order drawn.

    Attributes:
        problems: The problems.
        prompts: As the engine takes them.
        prompt_texts: As the model's template renders them.
        responses: G of each.
        ballots: Their votes; `keys` are aligned with the responses.
        scores: Of each response's tokens.
        generate_seconds: What sampling took.
        forward_seconds: What one forward pass over all responses took.
        shares_prompts: Whether that pass ran a prompt once for its responses, and not with each of them.
    """

    problems: Sequence[Problem]
    prompts: Sequence[Prompt]
    prompt_texts: Sequence[str]
    responses: Sequence[Sequence[SampledResponse]]
    ballots: Sequence[Ballot]
    scores: Sequence[Sequence[TokenScores]]
    generate_seconds: float
    forward_seconds: float
    shares_prompts: bool

    @property
    def all_responses(self) -> list[SampledResponse]:
        return [response for group in self.responses for response in group]

    @property
    def update_share(self) -> float:
        """Of the tokens that the forward pass ran, those of an update, which runs a prompt once for its responses."""
        if self.shares_prompts:
            return 1.0
        prompts, responses = [*map(len, self.prompts)], sum(len(each.token_ids) for each in self.all_responses)
        run = sum(width * len(group) for width, group in zip(prompts, self.responses, strict=True))
        return (sum(prompts) + responses) / (run + responses)

    @property
    def all_scores(self) -> list[TokenScores]:
        return [scores for group in self.scores for scores in group]


def read_key(problem: Problem, response: SampledResponse, answer_type: str) -> str | None:
    """The key that a response votes with."""
    kind = resolve_answer_type(problem.answer_type, bool(problem.options), answer_type)
    return response_key(response.text, kind, problem.options, complete=not response.truncated)


def draw_rollouts(
    engine: TransformersSampler,
    problems: Sequence[Problem],
    style: PromptStyle,
    decoding: Decoding,
    num_generations: int,
    *,
    answer_type: str = "auto",
) -> Rollouts:
    """Draws and scores `num_generations` responses to each problem.

    Raises:
        ConfigError: A prompt leaves no room for a response, or has images that the model does not take.
        DataError: An image is broken.
    """
    prompts = prepare_prompts(engine, problems, style, decoding.max_new_tokens)
    started = time.perf_counter()
    responses = draw_responses(engine, prompts, decoding, num_generations)
    sampled = time.perf_counter()
    scores = _score_responses(engine, prompts, responses, decoding.temperature or 1.0)
    scored, shares = time.perf_counter(), can_share_prompt(engine.model)
    ballots = [
        hold_vote(problem.id, [read_key(problem, response, answer_type) for response in group])
        for problem, group in zip(problems, responses, strict=True)
    ]
    texts = [*map(engine.render, prompts)]
    return Rollouts(problems, prompts, texts, responses, ballots, scores, sampled - started, scored - sampled, shares)


def _score_responses(
    engine: TransformersSampler,
    prompts: Sequence[Prompt],
    responses: Sequence[Sequence[SampledResponse]],
    temperature: float,
) -> list[list[TokenScores]]:
    """In 16 bits where they were drawn so, as an update would run them."""
    done, total = 0, sum(map(len, responses))
    scores: list[list[TokenScores]] = []
    tell("score", done, total, "responses")
    with torch.autocast(engine.model.device.type, torch.bfloat16, enabled=engine.generator.copies):
        for prompt, group in zip(prompts, responses, strict=True):
            scores.append([])
            for each in _score_group(engine, prompt, [response.token_ids for response in group], temperature):
                scores[-1].append(each)
                done += 1
                tell("score", done, total, "responses")
    return scores


def _score_group(
    engine: TransformersSampler, prompt: Prompt, responses: Sequence[list[int]], temperature: float
) -> Iterator[TokenScores]:
    if isinstance(prompt, list) and can_share_prompt(engine.model):
        yield from score_responses(engine.model, prompt, responses, temperature=temperature)
        return
    for ids in responses:
        yield score_tokens(engine.model, engine.encode([prompt + ids]), len(ids), temperature=temperature)
