"""Adaptation on top of TRL: the configuration, the trainer, and what a run shows and keeps."""

from spine_rl.training.config import SpineConfig
from spine_rl.training.trainer import SpineTrainer

__all__ = ["SpineConfig", "SpineTrainer"]
