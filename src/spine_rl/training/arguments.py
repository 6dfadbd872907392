"""What a run is given: its problems, its configuration and its model."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from peft import PeftConfig
from trl import GRPOConfig, ModelConfig, get_peft_config, get_quantization_config

from spine_rl.errors import ConfigError
from spine_rl.options import read_mapping
from spine_rl.problems import PromptStyle
from spine_rl.training.config import SpineConfig, as_mapping
from spine_rl.training.trl_fields import read_fields, refusals_in_one_line
from spine_rl.training.unused_options import leave_out_unneeded, refuse_unused, refuse_without_push


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
    """The three groups of fields, and the options that were given, to repeat the run.

    Raises:
        ConfigError: A field would have no effect in a command's run.
    """

    run: RunArguments
    training: SpineConfig
    model: ModelConfig
    given: dict[str, Any]

    def __post_init__(self) -> None:
        turned_off = {name for name, value in self.given.items() if not value}
        refuse_unused(self.model, ModelConfig, turned_off)
        training = self.training
        if training.resume_from_checkpoint is not None:
            raise ConfigError(
                f"resume_from_checkpoint={training.resume_from_checkpoint!r}: a run goes on from its own last whole "
                "checkpoint; give resume instead"
            )
        refuse_without_push(training)

    @property
    def style(self) -> PromptStyle:
        """What is put around a problem's text."""
        return PromptStyle(
            self.run.system_prompt, self.run.prompt_suffix, as_mapping(self.training.chat_template_kwargs)
        )

    @property
    def load_options(self) -> dict[str, Any]:
        """As `load_model_and_tokenizer` takes them."""
        return list_load_options(self.training, self.model)


def read_load_options(given: Mapping[str, Any], where: Mapping[str, str]) -> dict[str, Any]:
    """How a run loads its model, for a command that trains nothing, from what is given of `LOADING`.

    Args:
        given: As `read_fields` takes it.
        where: As `read_fields` takes it.

    Raises:
        ConfigError: The run would refuse a value.
    """
    of_model = leave_out_unneeded(read_fields(ModelConfig, given, where))
    training = SimpleNamespace(trust_remote_code=False, model_init_kwargs=None)
    vars(training).update(read_fields(GRPOConfig, given, where))
    if isinstance(training.model_init_kwargs, str):
        training.model_init_kwargs = read_mapping("model_init_kwargs", training.model_init_kwargs)
    with refusals_in_one_line(TypeError):
        model = ModelConfig(**of_model)
        refuse_unused(model, ModelConfig)
        return list_load_options(training, model)


def list_load_options(training: SpineConfig | SimpleNamespace, model: ModelConfig) -> dict[str, Any]:
    """How a run loads its model, as `load_model_and_tokenizer` takes it."""
    options: dict[str, Any] = {
        "dtype": model.dtype,
        "attn_implementation": model.attn_implementation,
        "revision": model.model_revision,
        "trust_remote_code": training.trust_remote_code,
    }
    quantization = get_quantization_config(model)
    if quantization is not None:
        options["quantization_config"] = quantization
    return options | as_mapping(training.model_init_kwargs)


def build_peft_config(model: ModelConfig, revision: str) -> PeftConfig | None:
    """TRL's, but the name of one layer is a name: as a text alone it would be a pattern of whole paths. And an adapter
    names its base's revision, with which it is loaded again."""
    config: Any = get_peft_config(model)
    if config is not None and revision != "main":
        config.revision = revision
    if config is not None and isinstance(config.target_modules, str) and config.target_modules.isidentifier():
        config.target_modules = {config.target_modules}
    return config
