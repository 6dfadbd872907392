"""From logits to drawn tokens: one draw per row by the inverse distribution function.

`torch.multinomial` draws as many random numbers as there are words. Here a row takes one: its weights are summed by
blocks, the block is found in which that share of the sum is reached, and the token within it. Sums over blocks, and
within one, are of few numbers and in float64, so that rare tokens come as often as they should.
"""

from typing import Any, cast

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    SuppressTokensLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from spine_rl.objective import widest_float

_BLOCK = 1024  # words summed together
_SCORES_AT_ONCE = {"cpu": 2**20}  # what a processor's cache holds; elsewhere, what memory allows
_NO_WEIGHT = -200.0  # its exponential is 0 in float32, and 0 times it is 0
_TOKENLESS = (TopKLogitsWarper, TopPLogitsWarper, MinPLogitsWarper)  # they look at scores alone
_CANDIDATES = 1024  # words among which a nucleus is looked for, before all are sorted


class Draw:
    """Next tokens of rows, with their log-probabilities and, where asked for, the entropies that they were drawn at.

    Plain sampling (temperature and suppressed tokens) reads the logits once, a few rows at a time; whatever else is
    asked for goes through transformers' processors.

    Attributes:
        reads_tokens: Whether what is drawn depends on earlier tokens otherwise than through the logits.
        num_measures: S, what is measured of each token: 1, its log-probability, or 2, with the entropy.

    Args:
        processors: As prepared by `generate`.
        sample: Whether tokens are drawn; else the likeliest are taken.
        group_index: (B,) the prompt of each row: processors were prepared for the prompts.
        with_entropies: Whether entropies are measured; it takes one more reading of the logits.
    """

    def __init__(
        self, processors: LogitsProcessorList, sample: bool, group_index: Tensor, *, with_entropies: bool = False
    ):
        self._sample, self._temperature = sample, 1.0
        self.num_measures = 2 if with_entropies else 1
        suppressed: list[int] = []
        others = []
        for processor in processors:
            if isinstance(processor, TemperatureLogitsWarper):
                self._temperature = float(processor.temperature)
            elif isinstance(processor, SuppressTokensLogitsProcessor):
                suppressed += torch.as_tensor(processor.suppress_tokens).tolist()
            else:
                others.append(processor)
        self._suppressed = torch.tensor(suppressed, device=group_index.device) if suppressed else None
        self.reads_tokens = not all(isinstance(processor, _TOKENLESS) for processor in others)
        self._processors = None
        if others:
            on_cpu = group_index.device.type == "cpu"
            self._processors = LogitsProcessorList([_find_nucleus_fast(p) if on_cpu else p for p in processors])
        self.select_rows(group_index)

    def select_rows(self, rows: Tensor) -> None:
        """Goes on with these rows alone."""
        for processor in self._processors or []:
            padding: Any = getattr(processor, "prompt_ignore_length", None)  # of a repetition penalty, by row
            if isinstance(padding, Tensor):
                processor.prompt_ignore_length = padding[rows]  # pyright: ignore[reportAttributeAccessIssue]

    def __call__(self, tokens: Tensor, logits: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Draws a token a row.

        Args:
            tokens: (B, L) so far, the prompt included.
            logits: (B, V), in any precision.
            uniforms: (B,) in [0, 1).

        Returns:
            The tokens, (B,), and what is measured of them, (B, S) float32: their log-probabilities at the sampling
            temperature, and the entropy in nats. Suppressed tokens are left out of both, what top-k and the like cut
            off is not.
        """
        scores = None if self._processors is None else self._processors(cast(Any, tokens), logits.float())
        size = max(1, _SCORES_AT_ONCE.get(logits.device.type, 2**27) // logits.size(1))
        parts = []
        for start in range(0, len(logits), size):
            rows = slice(start, start + size)
            parts.append(self._draw(logits[rows], uniforms[rows], None if scores is None else scores[rows]))
        drawn, measures = zip(*parts, strict=True)
        return torch.cat(drawn), torch.cat(measures)

    def _draw(self, logits: Tensor, uniforms: Tensor, scores: Tensor | None) -> tuple[Tensor, Tensor]:
        logits = logits.float()
        if self._suppressed is not None:
            logits = logits.index_fill(1, self._suppressed, -torch.inf)
        top = logits.amax(-1, keepdim=True)
        shifted = (logits - top).mul_(1 / self._temperature)
        weights = shifted.clamp_(min=_NO_WEIGHT).exp() if self.num_measures == 2 else shifted.exp_()
        total = weights.sum(-1)
        if not self._sample:
            drawn = (logits if scores is None else scores).argmax(-1)
        else:
            drawn = draw_by_inverse_cdf(weights if scores is None else scores.softmax(-1), uniforms)
        logps = (logits.gather(1, drawn.unsqueeze(1)) - top).squeeze(1) / self._temperature - total.log()
        measures = [logps]
        if self.num_measures == 2:
            measures.append(total.log() - torch.linalg.vecdot(weights, shifted) / total)
        return drawn, torch.stack(measures, -1)


def draw_by_inverse_cdf(weights: Tensor, uniforms: Tensor) -> Tensor:
    """One column a row, each as often as its share of the row's sum; never one of weight 0, unless all are.

    Args:
        weights: (B, V) ≥ 0, in float32.
        uniforms: (B,) in [0, 1).
    """
    size = min(_BLOCK, weights.size(1))
    whole = weights.size(1) // size * size
    sums = weights[:, :whole].unflatten(1, (whole // size, size)).sum(-1)
    sums = torch.cat([sums, weights[:, whole:].sum(-1, keepdim=True)], 1).to(widest_float(weights.device))
    ends = sums.cumsum(-1)
    targets = uniforms.to(ends.dtype).unsqueeze(1) * ends[:, -1:]
    block = _find_first_beyond(sums, ends, targets)
    columns = block * size + torch.arange(size, device=block.device)
    inside = columns < weights.size(1)
    inner = torch.where(inside, weights.gather(1, columns.clamp(max=weights.size(1) - 1)), 0.0).to(ends.dtype)
    rest = targets - (ends - sums).gather(1, block)
    return (block * size + _find_first_beyond(inner, inner.cumsum(-1), rest)).squeeze(1)


def _find_first_beyond(weights: Tensor, ends: Tensor, targets: Tensor) -> Tensor:
    """(B, 1): the first column with weight whose running sum is over the target; if rounding leaves none, the last."""
    columns = torch.arange(weights.size(1), device=weights.device)
    first = torch.where((weights > 0) & (ends > targets), columns, weights.size(1)).amin(-1, keepdim=True)
    last = torch.where(weights > 0, columns, 0).amax(-1, keepdim=True)
    return torch.minimum(first, last)


class _Nucleus(LogitsProcessor):
    """transformers' top-p, without sorting the vocabulary where the nucleus is within its likeliest words."""

    def __init__(self, exact: TopPLogitsWarper):
        self._exact = exact

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        values, columns = scores.topk(min(_CANDIDATES, scores.size(1)), dim=-1)
        shares = (values - scores.logsumexp(-1, keepdim=True)).exp()
        ends = shares.cumsum(-1)
        kept = values.masked_fill(ends - shares >= self._exact.top_p, -torch.inf)
        kept[:, 0] = values[:, 0]
        result = torch.full_like(scores, -torch.inf).scatter_(1, columns, kept)
        wide = (ends[:, -1] < self._exact.top_p).nonzero().squeeze(1)
        if len(wide) > 0:
            result[wide] = self._exact(cast(Any, input_ids[wide]), scores[wide])
        return result


def _find_nucleus_fast(processor: LogitsProcessor) -> LogitsProcessor:
    if isinstance(processor, TopPLogitsWarper) and processor.min_tokens_to_keep == 1:
        return _Nucleus(processor)
    return processor
