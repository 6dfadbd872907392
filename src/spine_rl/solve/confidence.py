"""How likely an answer of `spine solve` is right, from the shares of responses that gave it: calibrated on the lab.

A share itself is no probability: responses of an adapted model agree more than they are right. A logistic function of
both shares, fitted to runs whose gold answers are known, says what such shares were worth there. Its reliability on
other runs is in docs/own-problems.md; on a model and problems that are far from the lab it is a ranking at best.
"""

import math

# Of `list_features`, by `benchmarks/answer_confidence.py fit docs/results/confidence`.
WEIGHTS = (-1.80, 2.88, 2.24, 1.13)


def list_features(share_before: float, share_after: float, agree: bool) -> tuple[float, float, float, float]:
    """What the confidence is a function of: one, the answer's shares in [0, 1], and whether both votes chose it."""
    return 1.0, share_before, share_after, float(agree)


def estimate_confidence(share_before: float, share_after: float, agree: bool) -> float:
    """Probability that the answer is right, in (0, 1).

    Args:
        share_before: What of the unadapted model's responses gave it.
        share_after: What of the adapted model's.
        agree: Both votes chose it.
    """
    features = list_features(share_before, share_after, agree)
    return 1 / (1 + math.exp(-sum(weight * value for weight, value in zip(WEIGHTS, features, strict=True))))
