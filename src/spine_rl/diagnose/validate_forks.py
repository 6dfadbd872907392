"""Do forking tokens decide answers? Resample a token, go on to the end, and see whether the final answer changes.

Everything after a token is drawn anew as well, which changes answers by itself. So each token is also kept and what
follows drawn anew: `resampled` minus `kept` is what the token itself decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
import torch
from scipy import stats

from spine_rl.diagnose.rollouts import Rollouts, read_key
from spine_rl.engine.sampler import derive_seed
from spine_rl.engine.samplers import Decoding, SampledResponse, TransformersSampler
from spine_rl.errors import DataError
from spine_rl.evaluation.statistics import bootstrap_means

Estimate = tuple[float, float, float]  # mean and the ends of its 95 % interval
NUM_BINS = 10
DECIDING = 0.5


@dataclass(frozen=True)
class TokenTrial:
    """One token's trials.

    Attributes:
        entropy: In nats.
        top_fraction: Whether it is among its response's 20 % of highest entropy.
        otsu: Whether Otsu's threshold of its response selects it.
        resampled: Share of continuations from before it with another answer than the response's.
        kept: Share of continuations from after it with another answer.
    """

    entropy: float
    top_fraction: bool
    otsu: bool
    resampled: float
    kept: float


@dataclass(frozen=True)
class EntropyBin:
    """Tokens of similar entropy: their number, mean entropy, and shares with intervals over tokens."""

    num_tokens: int
    entropy: float
    resampled: Estimate
    kept: Estimate


@dataclass(frozen=True)
class SelectorScore:
    """A selector as a detector of answer-deciding tokens; None where there is nothing to divide by."""

    name: str
    num_selected: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class ForkValidation:
    """The outcome.

    Attributes:
        trials: A token each; equally many from each tenth of all tokens by entropy, so shares need no weights.
        bins: By entropy.
        correlation: Spearman's, of entropy and `resampled`, and its p; None where either is constant.
        own_correlation: Of entropy and `resampled` − `kept`.
        num_deciding: Tokens whose `resampled` is at least `DECIDING`.
        selectors: The top 20 % and Otsu's set.
    """

    trials: Sequence[TokenTrial]
    bins: Sequence[EntropyBin]
    correlation: tuple[float, float] | None
    own_correlation: tuple[float, float] | None
    num_deciding: int
    selectors: Sequence[SelectorScore]


def validate_forks(
    engine: TransformersSampler,
    rollouts: Rollouts,
    decoding: Decoding,
    *,
    num_tokens: int = 200,
    num_repeats: int = 8,
    answer_type: str = "auto",
) -> ForkValidation:
    """Tries tokens of responses that have an answer.

    Args:
        engine: The model that drew them.
        rollouts: The responses.
        decoding: That they were drawn with.
        num_tokens: Tokens tried, over the whole range of entropy.
        num_repeats: k: continuations from before each token, and as many from after it.
        answer_type: As in the rollouts.

    Raises:
        DataError: No response has an answer that could change.
    """
    tokens = _choose_tokens(rollouts, num_tokens, decoding.seed)
    if not tokens:
        raise DataError(
            "no response has a readable answer, so no token can be tried; spine preflight says what to change"
        )
    prefixes, owners = [], []
    for problem, sample, position in tokens:
        ids = rollouts.responses[problem][sample].token_ids
        for stop in (position, position + 1):
            prefixes.append(ids[:stop])
            owners.append(problem)
    prompts = [rollouts.prompts[problem] + prefix for problem, prefix in zip(owners, prefixes, strict=True)]
    limits = [decoding.max_new_tokens - len(prefix) for prefix in prefixes]
    drawn = _continue(engine, prompts, limits, decoding, num_repeats)
    changed: dict[int, float] = {}
    for row, continuations in drawn.items():
        problem, sample, _ = tokens[row // 2]
        whole = [_join(engine, prefixes[row], continuation, decoding.max_new_tokens) for continuation in continuations]
        keys = [read_key(rollouts.problems[problem], response, answer_type) for response in whole]
        changed[row] = fmean(key != rollouts.ballots[problem].keys[sample] for key in keys)
    trials = []
    for index, (problem, sample, position) in enumerate(tokens):
        scores = rollouts.scores[problem][sample]
        top, otsu = (bool(scores.select(name)[position]) for name in ("top_fraction", "otsu"))
        trials.append(
            TokenTrial(scores.entropies[position].item(), top, otsu, changed[2 * index], changed[2 * index + 1])
        )
    return summarize_trials(trials, decoding.seed)


def summarize_trials(trials: Sequence[TokenTrial], seed: int = 0) -> ForkValidation:
    """Curve, correlations, and the selectors as detectors of answer-deciding tokens."""
    ordered = sorted(trials, key=lambda trial: trial.entropy)
    groups = [group.tolist() for group in np.array_split(np.arange(len(ordered)), min(NUM_BINS, len(ordered)))]
    bins = [_summarize_bin([ordered[index] for index in group], seed) for group in groups]
    entropies = [trial.entropy for trial in trials]
    deciding = [trial.resampled >= DECIDING for trial in trials]
    return ForkValidation(
        trials=trials,
        bins=bins,
        correlation=_correlate(entropies, [trial.resampled for trial in trials]),
        own_correlation=_correlate(entropies, [trial.resampled - trial.kept for trial in trials]),
        num_deciding=sum(deciding),
        selectors=[
            _score("top 20 %", [trial.top_fraction for trial in trials], deciding),
            _score("Otsu", [trial.otsu for trial in trials], deciding),
        ],
    )


def _choose_tokens(rollouts: Rollouts, num_tokens: int, seed: int) -> list[tuple[int, int, int]]:
    """(problem, sample, position), equally many from each tenth of the tokens by entropy; end tokens left out."""
    tokens = [
        (entropy, problem, sample, position)
        for problem, group in enumerate(rollouts.scores)
        for sample, scores in enumerate(group)
        if rollouts.ballots[problem].keys[sample] is not None
        for position, entropy in enumerate(scores.entropies.tolist()[:-1])
    ]
    tokens.sort()
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for part in np.array_split(np.arange(len(tokens)), NUM_BINS):
        count = min(len(part), -(-num_tokens // NUM_BINS))
        picked = torch.randperm(len(part), generator=generator)[:count].tolist()
        chosen += [tokens[part[index]][1:] for index in sorted(picked)]
    return chosen


def _continue(
    engine: TransformersSampler, prompts: Sequence[Any], limits: Sequence[int], decoding: Decoding, num_repeats: int
) -> dict[int, list[SampledResponse]]:
    """Row → continuations, each with room for its limit at least: what the context cannot hold at once is split."""
    groups: list[list[int]] = []
    for row in sorted(range(len(prompts)), key=lambda row: -len(prompts[row])):
        together = [*(groups[-1] if groups else []), row]
        needed = len(prompts[together[0]]) + max(limits[each] for each in together)  # the first is the longest
        if groups and (engine.context is None or needed <= engine.context):
            groups[-1].append(row)
        else:
            groups.append([row])
    drawn = {}
    for number, group in enumerate(groups):
        room = decoding.max_new_tokens if engine.context is None else engine.context - len(prompts[group[0]])
        limited = replace(
            decoding,
            max_new_tokens=max(1, min(decoding.max_new_tokens, room)),
            seed=derive_seed(decoding.seed, number),
        )
        responses = engine.generate([prompts[row] for row in group for _ in range(num_repeats)], limited)
        for order, row in enumerate(group):
            drawn[row] = responses[order * num_repeats : (order + 1) * num_repeats]
    return drawn


def _join(
    engine: TransformersSampler, prefix: list[int], continuation: SampledResponse, max_new_tokens: int
) -> SampledResponse:
    """The whole response, under the length limit that it would have had in one piece."""
    ids = prefix + continuation.token_ids
    text = engine.tokenizer.decode(ids, skip_special_tokens=True)
    assert isinstance(text, str)
    return SampledResponse(text, ids, continuation.truncated or len(ids) > max_new_tokens)


def _summarize_bin(trials: Sequence[TokenTrial], seed: int) -> EntropyBin:
    columns = {"resampled": [trial.resampled for trial in trials], "kept": [trial.kept for trial in trials]}
    intervals = bootstrap_means(columns, seed)

    def estimate(name: str) -> Estimate:
        mean = fmean(columns[name])
        low, high = intervals[name] or (mean, mean)
        return mean, low, high

    return EntropyBin(len(trials), fmean(trial.entropy for trial in trials), estimate("resampled"), estimate("kept"))


def _correlate(x: Sequence[float], y: Sequence[float]) -> tuple[float, float] | None:
    if len(set(x)) < 2 or len(set(y)) < 2:
        return None
    result: Any = stats.spearmanr(x, y)
    return float(result.statistic), float(result.pvalue)


def _score(name: str, selected: Sequence[bool], deciding: Sequence[bool]) -> SelectorScore:
    both = sum(a and b for a, b in zip(selected, deciding, strict=True))
    precision = both / sum(selected) if any(selected) else None
    return SelectorScore(name, sum(selected), precision, both / sum(deciding) if any(deciding) else None)
