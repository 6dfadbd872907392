"""Vote-only samples saved by stopping when the outcome cannot change, on simulated groups; the labels are the same.

    python benchmarks/early_stopping.py

A group's answers are drawn from its own distribution: one answer with a given probability, the rest spread over five.
"""

import random
from collections import Counter

from spine_rl.voting import hold_vote, is_decided

NUM_GROUPS, WAVE = 10_000, 8


def simulate(num_votes: int, num_generations: int, share: float) -> float:
    """The share of vote-only samples that are not drawn."""
    rng = random.Random(0)
    drawn = 0
    for group in range(NUM_GROUPS):
        keys = rng.choices("ABCDEF", weights=[share, *[(1 - share) / 5] * 5], k=num_votes)
        asked = num_generations
        while not is_decided(str(group), Counter(keys[:asked]), asked, num_votes - asked):
            asked = min(asked + WAVE, num_votes)
        label = hold_vote(str(group), keys[:asked]).pseudo_label
        assert label == hold_vote(str(group), keys).pseudo_label
        drawn += asked - num_generations
    return 1 - drawn / (NUM_GROUPS * (num_votes - num_generations))


def main() -> None:
    print(f"{NUM_GROUPS:,} groups each, waves of {WAVE}: vote-only samples saved")
    for num_votes, num_generations in ((64, 32), (64, 8), (32, 8)):
        saved = {share: simulate(num_votes, num_generations, share) for share in (0.3, 0.5, 0.7, 0.9)}
        cells = ", ".join(f"{value:.0%} at share {share}" for share, value in saved.items())
        print(f"M = {num_votes}, G = {num_generations}: {cells}")


if __name__ == "__main__":
    main()
