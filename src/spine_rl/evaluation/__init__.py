"""Evaluation of a model on labelled problems: the only place, with diagnosis, where gold answers are read."""

from spine_rl.evaluation.engines import ENGINES, Decoding, Engine, GenerateEngine, SampledResponse, load_engine
from spine_rl.evaluation.evaluate import Evaluation, evaluate
from spine_rl.evaluation.sampling import sample_responses

__all__ = [
    "ENGINES",
    "Decoding",
    "Engine",
    "Evaluation",
    "GenerateEngine",
    "SampledResponse",
    "evaluate",
    "load_engine",
    "sample_responses",
]
