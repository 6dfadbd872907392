"""Greedy Pass@1, and mean@k, pass@k and maj@k of sampled responses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from spine_rl.answers import gold_key, response_key
from spine_rl.errors import DataError
from spine_rl.evaluation.sampling import Decoding, SampledResponse, sample_responses
from spine_rl.metrics import compute_maj_at_k, compute_mean_at_k, compute_pass_at_k, is_correct
from spine_rl.objective import compute_logps_and_entropies
from spine_rl.problems import Problem, PromptStyle, build_prompt, check_prompt_lengths, encode_prompts
from spine_rl.voting import Key, hold_vote


@dataclass(frozen=True)
class Evaluation:
    """Metrics, and the responses they come from.

    Attributes:
        metrics: `n_problems`, `greedy_pass@1`, `mean@k`, `pass@k`, `maj@k`, `majority_ratio`, `response_length` (mean
            tokens of the samples), `greedy_response_length`, `entropy` (mean nats a sampled token), `truncated` and
            `unparseable` (shares of the samples). k stands as a number.
        greedy: A response a problem.
        samples: k responses a problem.
    """

    metrics: dict[str, float]
    greedy: list[SampledResponse]
    samples: list[list[SampledResponse]]


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    problems: Sequence[Problem],
    gold_answers: Mapping[str, str],
    decoding: Decoding,
    *,
    num_samples: int = 8,
    prompt_style: PromptStyle = PromptStyle(),
    answer_type: str = "math",
    context: int | None = None,
) -> Evaluation:
    """Evaluates a model on labelled problems.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        problems: The problems.
        gold_answers: Problem id → gold answer; every problem needs one.
        decoding: Of the samples; the greedy response shares its length limit.
        num_samples: k.
        prompt_style: What is put around a problem's text.
        answer_type: How answers are read.
        context: The model's, in tokens, if prompts are to be checked against it.

    Raises:
        DataError: A problem has no gold answer.
        ConfigError: A prompt leaves no room for a response.
    """
    gold_keys = [_gold_key(problem, gold_answers, answer_type) for problem in problems]
    chat = tokenizer.chat_template is not None
    prompt_ids = encode_prompts(tokenizer, [build_prompt(problem, prompt_style, chat=chat) for problem in problems])
    check_prompt_lengths(problems, [*map(len, prompt_ids)], context=context, max_new_tokens=decoding.max_new_tokens)
    greedy = [row[0] for row in sample_responses(model, tokenizer, prompt_ids, replace(decoding, temperature=0.0))]
    samples = sample_responses(model, tokenizer, prompt_ids, decoding, num_samples)

    greedy_keys = [response_key(response.text, answer_type) for response in greedy]
    sample_keys = [[response_key(response.text, answer_type) for response in row] for row in samples]
    flat = [response for row in samples for response in row]
    metrics = {
        "n_problems": len(problems),
        "greedy_pass@1": fmean(map(is_correct, greedy_keys, gold_keys)),
        **_sample_metrics([problem.id for problem in problems], sample_keys, gold_keys, num_samples),
        "response_length": fmean(len(response.token_ids) for response in flat),
        "greedy_response_length": fmean(len(response.token_ids) for response in greedy),
        "entropy": compute_mean_entropy(model, prompt_ids, samples, decoding),
        "truncated": fmean(response.truncated for response in flat),
        "unparseable": fmean(key is None for row in sample_keys for key in row),
    }
    return Evaluation(metrics, greedy, samples)


def _gold_key(problem: Problem, gold_answers: Mapping[str, str], answer_type: str) -> Key:
    if problem.id not in gold_answers:
        raise DataError(f"problem {problem.id!r} has no gold answer; evaluation needs one for every problem")
    return gold_key(gold_answers[problem.id], answer_type)


def _sample_metrics(
    problem_ids: Sequence[str], sample_keys: Sequence[Sequence[Key]], gold_keys: Sequence[Key], k: int
) -> dict[str, float]:
    rows = list(zip(problem_ids, sample_keys, gold_keys, strict=True))
    return {
        f"mean@{k}": fmean(compute_mean_at_k(keys, gold) for _, keys, gold in rows),
        f"pass@{k}": fmean(
            compute_pass_at_k(k, sum(is_correct(key, gold) for key in keys), k) for _, keys, gold in rows
        ),
        f"maj@{k}": fmean(compute_maj_at_k(problem_id, keys, gold) for problem_id, keys, gold in rows),
        "majority_ratio": fmean(hold_vote(problem_id, keys).majority_ratio for problem_id, keys, _ in rows),
    }


@torch.no_grad()
def compute_mean_entropy(
    model: PreTrainedModel,
    prompt_ids: Sequence[list[int]],
    samples: Sequence[Sequence[SampledResponse]],
    decoding: Decoding,
) -> float:
    """Mean entropy in nats of the sampled tokens' distributions, at the sampling temperature."""
    rows = [(prompt, response.token_ids) for prompt, row in zip(prompt_ids, samples, strict=True) for response in row]
    rows = sorted((row for row in rows if row[1]), key=lambda row: -len(row[0]) - len(row[1]))
    total, count = 0.0, 0
    was_training = model.training
    model.eval()
    for start in range(0, len(rows), decoding.batch_size):
        batch = rows[start : start + decoding.batch_size]
        width = max(len(prompt) + len(response) for prompt, response in batch)
        ids = torch.tensor(
            [[*prompt, *response] + [0] * (width - len(prompt) - len(response)) for prompt, response in batch]
        )
        attended = torch.tensor([len(prompt) + len(response) for prompt, response in batch]).unsqueeze(1)
        positions = torch.arange(width)
        ids, mask = ids.to(model.device), (positions < attended).long().to(model.device)
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
        _, entropies = compute_logps_and_entropies(logits, ids[:, 1:], decoding.temperature or 1.0)
        starts = torch.tensor([len(prompt) for prompt, _ in batch]).unsqueeze(1)
        is_response = ((positions[1:] >= starts) & (positions[1:] < attended)).to(model.device)
        total += entropies[is_response].double().sum().item()
        count += int(is_response.sum())
    model.train(was_training)
    return total / max(count, 1)
