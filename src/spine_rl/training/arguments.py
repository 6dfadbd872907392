"""What a run is given: its problems, its configuration and its model."""

from dataclasses import dataclass
from typing import Any

from trl import ModelConfig

from spine_rl.training.config import SpineConfig


@dataclass
class RunArguments:
    """What is adapted on, how it is asked, and what becomes of an earlier run in the folder."""

    data: str
    split: str | None
    prompt_column: str | None
    id_column: str | None
    gold_column: str | None
    limit: int | None
    max_image_pixels: int | None
    allow_image_urls: bool
    system_prompt: str | None
    prompt_suffix: str
    overwrite: bool
    resume: bool


@dataclass(frozen=True)
class Arguments:
    """The three groups of fields, and the options that were given, to repeat the run."""

    run: RunArguments
    training: SpineConfig
    model: ModelConfig
    given: dict[str, Any]
