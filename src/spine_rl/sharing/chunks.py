"""No padding paid for: rows of similar length are run together."""

from collections.abc import Sequence

CALL_COSTS = {"cpu": 128}  # what one more forward call costs, in tokens that might be padding instead
DEFAULT_CALL_COST = 2048  # of accelerators, which want large calls


def plan_chunks(lengths: Sequence[int], call_cost: int, max_rows: int | None = None) -> list[list[int]]:
    """Cuts rows, sorted by length, into the chunks that cost least: padded tokens, and `call_cost` a chunk.

    Exact, by dynamic programming over the places where the length changes; results do not depend on the cuts, as rows
    of a batch do not see each other.

    Args:
        lengths: Of the rows, in tokens; rows of length 0 are left out.
        call_cost: Of a chunk, in tokens.
        max_rows: Of a chunk.

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
        size = max_rows or len(chunk)
        chunks[:0] = [chunk[i : i + size] for i in range(0, len(chunk), size)]
        end = previous[end]
    return chunks
