"""What a run is given: its problems, its configuration and its model."""

from dataclasses import dataclass
from typing import Any

from peft import PeftConfig
from trl import ModelConfig, get_peft_config

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


def build_peft_config(model: ModelConfig) -> PeftConfig | None:
    """TRL's, but the name of one layer is a name: as a text alone it would be a pattern of whole paths."""
    config: Any = get_peft_config(model)
    if config is not None and isinstance(config.target_modules, str) and config.target_modules.isidentifier():
        config.target_modules = {config.target_modules}
    return config
