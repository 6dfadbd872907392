"""Entropies of a step's tokens, all of them and the updated ones, and which tokens those are: kept as counts."""

from collections import defaultdict
from typing import Any

import torch

from spine_rl.objective import ObjectiveOutput, TokenBatch

BIN_WIDTH, NUM_BINS = 0.05, 61  # nats; the last bin holds all from 3 nats on
NUM_TEXTS = 40  # tokens that are kept by name, the most frequent ones


class TokenHistograms:
    """Counts the tokens of a run's first and last step; what a trainer's `token_recorder` is asked to record.

    Args:
        tokenizer: Gives the tokens' texts.
        last_step: Of the run, counted from 1.
    """

    def __init__(self, tokenizer: Any, *, last_step: int):
        self._tokenizer, self._last_step = tokenizer, last_step
        self._counts: dict[str, torch.Tensor] = {}  # (2, NUM_BINS): all tokens, forks
        self._tokens: dict[str, dict[int, list[float]]] = {}  # id → [tokens, forks, sum of entropies]

    def record(self, step: int, inputs: dict[str, Any], batch: TokenBatch, output: ObjectiveOutput) -> None:
        """Adds a micro-batch of the first or the last step."""
        if step not in (1, self._last_step):
            return
        mask = batch.completion_mask.bool()
        entropies, forks = batch.entropies.detach()[mask].float().cpu(), output.fork_mask[mask].cpu()
        bins = (entropies / BIN_WIDTH).long().clamp(0, NUM_BINS - 1)
        counts = torch.stack([torch.bincount(chosen, minlength=NUM_BINS) for chosen in (bins, bins[forks])])
        tokens = inputs["completion_ids"][mask].cpu()
        for name in self._name(step):
            self._counts[name] = self._counts.get(name, 0) + counts
            by_id = self._tokens.setdefault(name, defaultdict(lambda: [0, 0, 0.0]))
            for token, is_fork, entropy in zip(tokens.tolist(), forks.tolist(), entropies.tolist(), strict=True):
                entry = by_id[token]
                entry[0], entry[1], entry[2] = entry[0] + 1, entry[1] + is_fork, entry[2] + entropy

    def _name(self, step: int) -> list[str]:
        return (["start"] if step == 1 else []) + (["end"] if step == self._last_step else [])

    def summarize(self) -> dict[str, Any]:
        """`start` and `end`: `all` and `forks` (counts a bin), `texts` (text, tokens, forks, mean entropy)."""
        return {
            name: {
                "bin_width": BIN_WIDTH,
                "all": counts[0].tolist(),
                "forks": counts[1].tolist(),
                "texts": self._list_texts(self._tokens[name]),
            }
            for name, counts in self._counts.items()
        }

    def _list_texts(self, tokens: dict[int, list[float]]) -> list[list[Any]]:
        most = sorted(tokens.items(), key=lambda item: (-item[1][0], item[0]))[:NUM_TEXTS]
        return [
            [self._tokenizer.decode([token]), int(count), int(forks), round(entropy / count, 3)]
            for token, (count, forks, entropy) in most
        ]
