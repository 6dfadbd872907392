"""SPINE's mathematics as pure functions of tensors: torch only, no trainer.

One file an idea, in the order in which a step uses them: token statistics, advantages, forks, band, loss.
"""

from spine_rl.objective.advantages import compute_group_advantages
from spine_rl.objective.band import BANDS, compute_band_penalty, compute_band_thresholds
from spine_rl.objective.forks import FORK_SELECTORS, count_forks, select_forks
from spine_rl.objective.loss import Objective, ObjectiveOutput, TokenBatch, compute_loss, select_rows_with_gradient
from spine_rl.objective.token_statistics import compute_logps_and_entropies, compute_token_kl, widest_float

__all__ = [
    "BANDS",
    "FORK_SELECTORS",
    "Objective",
    "ObjectiveOutput",
    "TokenBatch",
    "compute_band_penalty",
    "compute_band_thresholds",
    "compute_group_advantages",
    "compute_logps_and_entropies",
    "compute_loss",
    "compute_token_kl",
    "count_forks",
    "select_forks",
    "select_rows_with_gradient",
    "widest_float",
]
