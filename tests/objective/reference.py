"""The specification in plain loops and float64: imports nothing of the package, and no tensor library."""

import math
import random
from fractions import Fraction


def softmax(logits):
    top = max(logits)
    weights = [math.exp(x - top) for x in logits]
    return [w / math.fsum(weights) for w in weights]


def logp(logits, target):
    return math.log(softmax(logits)[target])


def entropy(logits):
    return -math.fsum(p * math.log(p) for p in softmax(logits) if p > 0)


def kl(logits, ref_logits):
    return math.fsum(p * (math.log(p) - math.log(q)) for p, q in zip(softmax(logits), softmax(ref_logits), strict=True))


def advantages(rewards, groups, std="sample", epsilon=1e-4):
    result = []
    for reward, group in zip(rewards, groups, strict=True):
        members = [r for r, g in zip(rewards, groups, strict=True) if g == group]
        mean = math.fsum(members) / len(members)
        degrees = len(members) - (std == "sample")
        deviation = math.sqrt(math.fsum((r - mean) ** 2 for r in members) / max(degrees, 1))
        result.append((reward - mean) / (deviation + epsilon))
    return result


def forks_all(entropies):
    return set(range(len(entropies)))


def forks_top_fraction(entropies, fraction):
    count = math.ceil(Fraction(str(fraction)) * len(entropies))
    return set(sorted(range(len(entropies)), key=lambda t: (-entropies[t], t))[:count])


def forks_low_entropy(entropies, fraction):
    count = math.ceil(Fraction(str(fraction)) * len(entropies))
    return set(sorted(range(len(entropies)), key=lambda t: (entropies[t], t))[:count])


def forks_random_fraction(ids, fraction):
    rng = random.Random(" ".join(str(token) for token in ids))
    draws = [rng.random() for _ in ids]
    count = math.ceil(Fraction(str(fraction)) * len(ids))
    return set(sorted(range(len(ids)), key=lambda t: -draws[t])[:count])


def forks_otsu(entropies, num_bins=100):
    if not entropies:
        return set()
    low, high = min(entropies), max(entropies)
    if high == low:
        return set(range(len(entropies)))
    bins = [min(int((h - low) / (high - low) * num_bins), num_bins - 1) for h in entropies]
    best, cut = -1, None
    for k in range(num_bins - 1):
        below, above = [b for b in bins if b <= k], [b for b in bins if b > k]
        if below and above:
            gap = Fraction(sum(below), len(below)) - Fraction(sum(above), len(above))
            variance = len(below) * len(above) * gap**2
            if variance > best:
                best, cut = variance, k
    return {t for t, b in enumerate(bins) if b > cut}


def quantile(values, q):
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    lower, upper = math.floor(position), math.ceil(position)
    return ordered[lower] + (ordered[upper] - ordered[lower]) * (position - lower)


def band_quantile(values, low, high):
    return quantile(values, low), quantile(values, high)


def band_median_mad(values):
    centre = quantile(values, 0.5)
    scale = max(1.4826 * quantile([abs(v - centre) for v in values], 0.5), 1e-6)
    return max(0.0, centre - scale), centre


def loss(responses, objective):
    """Loss of a step: `responses` are dicts of ids, logps, old_logps, ref_logps, entropies (lists) and advantage."""
    tokens = sum(len(r["logps"]) for r in responses)
    policy, band, anchor, num_forks = [], [], [], 0
    for r in responses:
        if not r["logps"]:
            continue
        h = r["entropies"]
        forks = {
            "all": lambda h=h: forks_all(h),
            "top_fraction": lambda h=h: forks_top_fraction(h, objective["fork_fraction"]),
            "otsu": lambda h=h: forks_otsu(h),
            "low_entropy": lambda h=h: forks_low_entropy(h, objective["fork_fraction"]),
            "random_fraction": lambda r=r: forks_random_fraction(r["ids"], objective["fork_fraction"]),
        }[objective["fork_selector"]]()
        num_forks += len(forks)
        values = [h[t] for t in sorted(forks)]
        low, high = {
            "none": lambda values=values: (0.0, math.inf),
            "zero": lambda values=values: (0.0, 0.0),
            "quantile": lambda values=values: band_quantile(values, 0.1, 0.5),
            "median_mad": lambda values=values: band_median_mad(values),
        }[objective["band"]]()
        for t in forks:
            ratio = math.exp(r["logps"][t] - r["old_logps"][t])
            clipped = min(max(ratio, 1 - objective["clip_low"]), 1 + objective["clip_high"])
            policy.append(-min(ratio * r["advantage"], clipped * r["advantage"]))
            band.append(objective["band_low_coef"] * max(0.0, low - h[t]))
            band.append(objective["band_high_coef"] * max(0.0, h[t] - high))
            delta = r["ref_logps"][t] - r["logps"][t]
            anchor.append(ratio * (math.exp(delta) - delta - 1))
    return (
        math.fsum(policy) / max(tokens, 1)
        + math.fsum(band) / max(tokens, 1)
        + objective["kl_coef"] * math.fsum(anchor) / max(num_forks, 1)
    )
