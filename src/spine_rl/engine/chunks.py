"""No padding paid for: rows of similar length are run together."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

_CPU_COST = 128  # of a call, in tokens
# On an H100 one of two calls, forward and backward through 24 layers of 15 million parameters, took 0.16 s of launching
# kernels, as long as the kernels took for 14,000 tokens (docs/results/gpu). Both grow with the number of layers.
_ACCELERATOR_COST = 14_000 * 15_000_000  # of a call, in tokens times a layer's parameters


def estimate_call_cost(config: Any, device_type: str) -> int:
    """What one more forward and backward call costs, in tokens that might be padding instead.

    Args:
        config: Of a text model; it states `hidden_size`, and most state `intermediate_size`.
        device_type: "cpu", or an accelerator's, which wants large calls, and larger ones of a smaller model.
    """
    if device_type == "cpu":
        return _CPU_COST
    hidden = config.hidden_size
    parameters = 4 * hidden**2 + 3 * hidden * (getattr(config, "intermediate_size", None) or 4 * hidden)
    return _ACCELERATOR_COST // parameters


def plan_chunks(
    lengths: Sequence[int], call_cost: int, max_tokens: int | None = None, row_cost: int = 0
) -> list[list[int]]:
    """Cuts rows, sorted by length, into the chunks that cost least: padded tokens, and `call_cost` a chunk.

    Exact, by dynamic programming over the places where the length changes; results do not depend on the cuts, as rows
    of a batch do not see each other.

    Args:
        lengths: Of the rows, in tokens; rows of length 0 are left out.
        call_cost: Of a chunk, in tokens.
        max_tokens: Of a chunk, padding and `row_cost` included, where it has more than one row.
        row_cost: Of a row, whatever its length, in tokens of memory.

    Returns:
        Row numbers, a list a chunk, the longest first.
    """
    rows = sorted((row for row, length in enumerate(lengths) if length > 0), key=lambda row: -lengths[row])
    changes = [i for i in range(1, len(rows)) if lengths[rows[i]] != lengths[rows[i - 1]]]
    cuts = [0, *changes, len(rows)] if rows else [0]
    least, previous = [0.0], [0]  # of the rows before each cut: what they cost, and where their last chunk begins
    for end in range(1, len(cuts)):
        costs = [
            least[start] + (cuts[end] - cuts[start]) * lengths[rows[cuts[start]]] + call_cost for start in range(end)
        ]
        best = min(range(end), key=costs.__getitem__)
        least.append(costs[best])
        previous.append(best)

    chunks: list[list[int]] = []
    end = len(cuts) - 1
    while end > 0:
        chunk = rows[cuts[previous[end]] : cuts[end]]
        size = len(chunk) if max_tokens is None else max(1, max_tokens // (lengths[chunk[0]] + row_cost))
        chunks[:0] = [chunk[i : i + size] for i in range(0, len(chunk), size)]
        end = previous[end]
    return chunks


def cut_consecutive(
    lengths: Sequence[int], prompts: Sequence[int], groups: Sequence[int], max_tokens: int
) -> list[range]:
    """Cuts rows, in their order, into ranges that have at most so many tokens, or a single row each.

    Args:
        lengths: Of the rows' responses, in tokens.
        prompts: Of their prompts.
        groups: Consecutive rows of the same one have their prompt's tokens together.
        max_tokens: Of a range.
    """
    starts, tokens, group = [0], 0, None
    for row, (length, prompt) in enumerate(zip(lengths, prompts, strict=True)):
        size = length + (prompt if groups[row] != group else 0)
        if tokens + size > max_tokens and row > starts[-1]:
            starts.append(row)
            tokens, size = 0, length + prompt
        tokens, group = tokens + size, groups[row]
    return [range(start, end) for start, end in pairwise([*starts, len(lengths)])]
