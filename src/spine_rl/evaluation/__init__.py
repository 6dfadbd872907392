"""Evaluation of a model on labelled problems: the only place, with diagnosis, where gold answers are read."""

from spine_rl.evaluation.evaluate import Evaluation, evaluate
from spine_rl.evaluation.sampling import Decoding, SampledResponse, sample_responses

__all__ = ["Decoding", "Evaluation", "SampledResponse", "evaluate", "sample_responses"]
