"""How sure a mean is: over problems, by bootstrap intervals and paired comparisons; over seeds, by Student's interval.

Over problems, these are the sample; the model's responses to them are taken as they are. Intervals are percentile
bootstraps: on few problems they are somewhat narrow, and where every problem has the same value they have no width.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
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
        _mean_rounded,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, 2**24 // differences.size),
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def _mean_rounded(values: np.ndarray, axis: int) -> np.ndarray:
    """Rounding errors off: 1/3 + 1/3 - 2/3 is as far from 0 as 0 is."""
    return np.round(np.mean(values, axis=axis), 10)


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with the half-width of Student's 95 % interval, None where there is but one seed.

    A difference is shown with its sign.
    """

    mean: float
    half: float | None
    num_seeds: int
    is_difference: bool = False

    def describe(self, *, digits: int = 3) -> str:
        """`0.512 ± 0.043`."""
        mean = f"{self.mean:{'+' if self.is_difference else ''}.{digits}f}"
        return mean if self.half is None else f"{mean} ± {self.half:.{digits}f}"

    def to_json(self) -> dict[str, Any]:
        half = None if self.half is None else round(self.half, 5)
        return {"mean": round(self.mean, 5), "half_width": half, "seeds": self.num_seeds}


def estimate(values: Iterable[float], *, is_difference: bool = False) -> Estimate:
    """Of values that are independent, one a seed."""
    given = [*values]
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(given) - 1) * stats.sem(given)) if len(given) > 1 else None
    return Estimate(fmean(given), half, len(given), is_difference)  # rounded once, so that a tie shows as it is
