"""How sure a mean over problems is: bootstrap intervals, and paired comparisons on the same problems.

The problems are the sample; the model's responses to them are taken as they are. Intervals are percentile bootstraps:
on few problems they are somewhat narrow, and where every problem has the same value they have no width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

Interval = tuple[float, float] | None
CONFIDENCE = 0.95
RESAMPLES = 9_999


def bootstrap_means(columns: Mapping[str, Sequence[float]], seed: int) -> dict[str, Interval]:
    """95 % interval of each column's mean over problems; None where there is but one problem.

    Args:
        columns: Name → a value a problem; all columns of the same problems, which are resampled together.
        seed: Of resampling.
    """
    values = np.array(list(columns.values()), dtype=float)
    if values.size == 0 or values.shape[1] < 2:
        return dict.fromkeys(columns)
    result = stats.bootstrap(
        (values,),
        np.mean,
        axis=1,
        n_resamples=RESAMPLES,
        batch=max(1, 2**24 // values.size),  # resamples at once: 128 MiB
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    bounds = zip(result.confidence_interval.low.tolist(), result.confidence_interval.high.tolist(), strict=True)
    return dict(zip(columns, bounds, strict=True))


def compare_paired(model: Sequence[float], baseline: Sequence[float], seed: int) -> dict[str, Any]:
    """The mean difference of two models on the same problems.

    Returns:
        `difference` (model − baseline), its bootstrap `interval`, and `p`: two-sided, of the sign-flip test, whose null
        hypothesis is that each problem's difference is as likely to be of either sign. It counts all signs where
        they are few (up to 13 problems), else draws 9,999; None for one problem.
    """
    differences = np.subtract(model, baseline)
    return {
        "difference": float(differences.mean()),
        "interval": bootstrap_means({"difference": differences.tolist()}, seed)["difference"],
        "p": _test_signs(differences, seed) if len(differences) > 1 else None,
    }


def _test_signs(differences: np.ndarray, seed: int) -> float:
    test = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, 2**24 // differences.size),
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)
