"""Evaluation metrics of one problem's samples. Pure Python; a problem set's value is the mean over problems.

- mean@k: share of correct samples, the expected Pass@1 of sampling; `greedy_pass@1` is that of the greedy response.
- pass@k: the unbiased estimate of at least one correct among k (Chen et al. 2021, arXiv 2107.03374).
- maj@k: whether the vote of the samples is right, with the vote's tie rule; an abstaining vote is wrong.
"""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from math import comb

from spine_rl.voting import Key, elect


def compute_mean_at_k(keys: Sequence[Key], gold: Key) -> float:
    """The share of the samples, at least one, that are right."""
    return sum(is_correct(key, gold) for key in keys) / len(keys)


def compute_pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """1 − C(n−c, k)/C(n, k), for 1 ≤ k ≤ n."""
    if not 1 <= k <= num_samples:
        raise ValueError(f"pass@k needs 1 <= k <= {num_samples} samples, got k = {k}")
    return 1.0 - comb(num_samples - num_correct, k) / comb(num_samples, k)


def list_pass_ks(num_samples: int) -> list[int]:
    """The k of pass@k that are reported: 1, 2, 4, ... and the number of samples itself."""
    return sorted({2**power for power in range(num_samples.bit_length())} | {num_samples})


def compute_maj_at_k(problem_id: str, keys: Sequence[Key], gold: Key) -> float:
    """1 where the answer that most samples give is right, else 0."""
    return float(is_correct(elect(problem_id, Counter(key for key in keys if key is not None)), gold))


def is_correct(key: Key, gold: Key) -> bool:
    """No answer is never correct, not even where there is no gold."""
    return key is not None and key == gold


def warn_of_unreadable_gold(gold: Mapping[str, Key]) -> None:
    """Says which problems (id → gold key) no response can be right on."""
    unreadable = [problem_id for problem_id, key in gold.items() if key is None]
    if unreadable:
        more = f" and of {len(unreadable) - 1} more" if len(unreadable) > 1 else ""
        warnings.warn(
            f"the gold answer of {unreadable[0]!r}{more} cannot be read, so no response is right there; correct it, or "
            "give another --answer-type",
            stacklevel=3,
        )
