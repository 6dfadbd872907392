"""Where a model branches: how many forks a round of responses has, at which tokens they stand, and examples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Any

from spine_rl.diagnose.fork_rule import ForkRule
from spine_rl.diagnose.rollouts import Rollouts
from spine_rl.engine.token_text import split_text

NUM_PARTS = 10  # of a response, by position
NUM_EXAMPLES = 6
_CONTEXT = 60  # characters on either side of an example's token
KINDS = ("number", "word", "sign", "space")


@dataclass(frozen=True)
class ForkExample:
    """A fork in its response.

    Attributes:
        problem: Index of its problem.
        before: The response's text before the token, the last characters of it.
        text: The token.
        after: What follows it, the first characters.
        entropy: In nats.
        alternatives: Text and probability of the likeliest tokens at its place, the likeliest first.
    """

    problem: int
    before: str
    text: str
    after: str
    entropy: float
    alternatives: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class KindOfToken:
    """Tokens of a kind: their share of all tokens, of all forks, and of all entropy."""

    name: str
    tokens: float
    forks: float
    entropy: float


@dataclass(frozen=True)
class ForkSummary:
    """What a round of responses says of its forks.

    Attributes:
        num_tokens: Of all responses.
        num_forks: Among them.
        fork_entropy: Mean of the forks, in nats.
        other_entropy: Mean of the other tokens, in nats; None where all are forks.
        entropy_share: Share of all entropy that stands at forks.
        positions: Share of forks among the tokens of each tenth of a response, from its start to its end.
        kinds: By what a token is, the kind with most forks first.
        examples: The forks of highest entropy, each token text once.
    """

    num_tokens: int
    num_forks: int
    fork_entropy: float
    other_entropy: float | None
    entropy_share: float
    positions: Sequence[float]
    kinds: Sequence[KindOfToken]
    examples: Sequence[ForkExample]


@dataclass(frozen=True)
class _Token:
    problem: int
    sample: int
    position: int
    part: int
    text: str
    entropy: float
    fork: bool

    @property
    def kind(self) -> str:
        if any(map(str.isdigit, self.text)):
            return "number"
        return "word" if any(map(str.isalpha, self.text)) else "sign" if self.text.strip() else "space"


def summarize_forks(rollouts: Rollouts, tokenizer: Any, rule: ForkRule) -> ForkSummary | None:
    """Counts the forks that a rule finds; None where no response has a token."""
    tokens = [*_list_tokens(rollouts, tokenizer, rule)]
    if not tokens:
        return None
    forks, others = [token for token in tokens if token.fork], [token for token in tokens if not token.fork]
    parts = [[token.fork for token in tokens if token.part == part] for part in range(NUM_PARTS)]
    kinds = [_describe_kind(kind, tokens, forks) for kind in KINDS]
    return ForkSummary(
        num_tokens=len(tokens),
        num_forks=len(forks),
        fork_entropy=fmean(token.entropy for token in forks) if forks else 0.0,
        other_entropy=fmean(token.entropy for token in others) if others else None,
        entropy_share=_share_entropy(forks, tokens),
        positions=[fmean(part) if part else 0.0 for part in parts],
        kinds=sorted((kind for kind in kinds if kind.tokens), key=lambda kind: -kind.forks),
        examples=[_show_example(rollouts, tokenizer, token) for token in _choose_examples(forks)],
    )


def _list_tokens(rollouts: Rollouts, tokenizer: Any, rule: ForkRule) -> Iterator[_Token]:
    for problem, (responses, group) in enumerate(zip(rollouts.responses, rollouts.scores, strict=True)):
        for sample, (response, scores) in enumerate(zip(responses, group, strict=True)):
            texts, length = split_text(tokenizer, response.token_ids), len(response.token_ids)
            columns = zip(texts, scores.entropies.tolist(), rule.select(scores).tolist(), strict=True)
            for position, (text, entropy, fork) in enumerate(columns):
                part = position * NUM_PARTS // length
                yield _Token(problem, sample, position, part, text, entropy, fork)


def _describe_kind(kind: str, tokens: Sequence[_Token], forks: Sequence[_Token]) -> KindOfToken:
    of_kind, forks_of_kind = ([token for token in group if token.kind == kind] for group in (tokens, forks))
    return KindOfToken(
        kind, len(of_kind) / len(tokens), len(forks_of_kind) / max(1, len(forks)), _share_entropy(of_kind, tokens)
    )


def _share_entropy(part: Sequence[_Token], tokens: Sequence[_Token]) -> float:
    total = sum(token.entropy for token in tokens)
    return sum(token.entropy for token in part) / total if total else 0.0


def _choose_examples(forks: Sequence[_Token]) -> Sequence[_Token]:
    by_entropy = sorted(forks, key=lambda token: -token.entropy)
    first_of_text = {token.text: token for token in reversed(by_entropy)}
    return [*islice((token for token in by_entropy if first_of_text[token.text] is token), NUM_EXAMPLES)]


def _show_example(rollouts: Rollouts, tokenizer: Any, token: _Token) -> ForkExample:
    scores = rollouts.scores[token.problem][token.sample]
    texts = split_text(tokenizer, rollouts.responses[token.problem][token.sample].token_ids)
    top = zip(scores.top_ids[token.position].tolist(), scores.top_probabilities[token.position].tolist(), strict=True)
    return ForkExample(
        token.problem,
        _cut("".join(texts[: token.position])[::-1])[::-1],
        token.text,
        _cut("".join(texts[token.position + 1 :])),
        token.entropy,
        [(tokenizer.decode([token_id]), probability) for token_id, probability in top],
    )


def _cut(text: str) -> str:
    return text if len(text) <= _CONTEXT else f"{text[:_CONTEXT]}…"
