"""Fields of `spine train`, from a YAML file and the command line, checked by their dataclasses' own types."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml
from transformers import HfArgumentParser
from trl import GRPOConfig, ModelConfig

from spine_rl.errors import ConfigError, suggest_nearest
from spine_rl.training import SpineConfig

ALIASES = {"model": "model_name_or_path"}


@dataclass
class RunArguments:
    """What is adapted on, and where the run goes; the model's fields are `trl.ModelConfig`'s."""

    data: str | None = field(
        default=None, metadata={"help": "Problems: a .jsonl, .json, .csv or .parquet file, or a hub data set."}
    )
    split: str | None = field(default=None, metadata={"help": "Split of a hub data set (default: train)."})
    prompt_column: str | None = field(default=None, metadata={"help": "Column of the prompt, text or chat messages."})
    id_column: str | None = field(default=None, metadata={"help": "Column of the problem's id."})
    gold_column: str | None = field(
        default=None, metadata={"help": "Column of gold answers, for diagnosis only: logs the pseudo-labels' accuracy."}
    )
    limit: int | None = field(default=None, metadata={"help": "Only the first so many problems."})
    max_image_pixels: int | None = field(
        default=None, metadata={"help": "Larger images are scaled down to so many pixels, keeping their aspect."}
    )
    allow_image_urls: bool = field(default=False, metadata={"help": "Download images that the data names by URL."})
    system_prompt: str | None = field(default=None, metadata={"help": "Put before every problem."})
    prompt_suffix: str = field(default="", metadata={"help": "Put after every problem."})
    overwrite: bool = field(default=False, metadata={"help": "Replace an earlier run in output_dir."})
    resume: bool = field(default=False, metadata={"help": "Go on from output_dir's last checkpoint."})


FIELD_GROUPS: tuple[Any, ...] = (RunArguments, SpineConfig, ModelConfig)


@dataclass(frozen=True)
class Arguments:
    """The three groups of fields, and the ones that were given, as text, to repeat the run."""

    run: RunArguments
    training: SpineConfig
    model: ModelConfig
    given: dict[str, Any]


class _Parser(HfArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def parse_arguments(tokens: list[str]) -> Arguments:
    """Parses `[--config run.yaml] [--field value ...]`; the command line wins over the file.

    Raises:
        ConfigError: An unknown field (with the nearest name), a value of the wrong type, or an unreadable file.
    """
    tokens = [_normalize(token) for token in tokens]
    config_path, tokens = _take_config(tokens)
    from_file = {} if config_path is None else _read_yaml(config_path)
    file_tokens = [token for name, value in from_file.items() for token in _to_tokens(name, value)]

    known = known_fields()
    for name in from_file:
        if name not in known:
            raise ConfigError(f"{config_path}: unknown field {name!r}; {suggest_nearest(name, known)}")
    parser = _Parser(FIELD_GROUPS, allow_abbrev=False, add_help=False)
    _, unknown = parser.parse_known_args(file_tokens + tokens)
    if unknown:
        name = unknown[0].lstrip("-").partition("=")[0]
        raise ConfigError(f"unknown field {name!r}; {suggest_nearest(name, known)}")
    try:
        run, training, model = parser.parse_args_into_dataclasses(file_tokens + tokens, look_for_args_file=False)
    except ConfigError:
        raise
    except ValueError as error:  # checks of TrainingArguments and GRPOConfig
        raise ConfigError(" ".join(str(error).split())) from None
    return Arguments(run, training, model, _given(file_tokens + tokens))


def known_fields() -> set[str]:
    """Names that a run's file or command line may use."""
    return {field.name for group in FIELD_GROUPS for field in dataclasses.fields(group)} | set(ALIASES)


def describe_fields() -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Groups of (name, default, help), for `spine train --help`."""
    inherited = {field.name for field in dataclasses.fields(GRPOConfig)}
    own = [field for field in dataclasses.fields(SpineConfig) if field.name not in inherited]
    usual = ("output_dir", "max_steps", "num_train_epochs", "learning_rate", "lr_scheduler_type", "num_generations")
    usual += ("per_device_train_batch_size", "gradient_accumulation_steps", "max_completion_length", "temperature")
    usual += ("beta", "epsilon", "num_iterations", "save_steps", "report_to", "seed", "use_vllm")
    by_name = {field.name: field for field in dataclasses.fields(SpineConfig)}
    lora = (
        "model_name_or_path",
        "dtype",
        "attn_implementation",
        "use_peft",
        "lora_r",
        "lora_alpha",
        "lora_target_modules",
    )
    model = [field for field in dataclasses.fields(ModelConfig) if field.name in lora]
    return [
        ("problems and run", [_describe(field) for field in dataclasses.fields(RunArguments)]),
        ("model (--model is short for --model_name_or_path)", [_describe(field) for field in model]),
        ("SPINE", [_describe(field) for field in own]),
        ("training, of trl.GRPOConfig", [_describe(by_name[name]) for name in usual]),
    ]


def _describe(entry: dataclasses.Field) -> tuple[str, str, str]:
    default = "" if entry.default is dataclasses.MISSING else str(getattr(entry.default, "value", entry.default))
    return entry.name, default, " ".join(str(entry.metadata.get("help", "")).split())


def _normalize(token: str) -> str:
    if not token.startswith("--"):
        return token
    name, equals, value = token[2:].partition("=")
    name = name.replace("-", "_")
    return f"--{ALIASES.get(name, name)}{equals}{value}"


def _take_config(tokens: list[str]) -> tuple[Path | None, list[str]]:
    for index, token in enumerate(tokens):
        if token.startswith("--config="):
            return Path(token.partition("=")[2]), tokens[:index] + tokens[index + 1 :]
        if token == "--config":
            if index + 1 == len(tokens):
                raise ConfigError("--config needs the path of a YAML file")
            return Path(tokens[index + 1]), tokens[:index] + tokens[index + 2 :]
    return None, tokens


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path of --config") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected lines `field: value`, got {type(content).__name__}")
    return {ALIASES.get(str(name), str(name)): value for name, value in content.items()}


def _to_tokens(name: str, value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, dict):
        return [f"--{name}", json.dumps(value)]
    if isinstance(value, list):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}={value}"]


def _given(tokens: list[str]) -> dict[str, Any]:
    """The fields that were given, by name; several values as a list, a bare flag as True."""
    given: dict[str, Any] = {}
    name = ""
    for token in tokens:
        if token.startswith("--"):
            name, equals, value = token[2:].partition("=")
            given[name] = value if equals else []
        elif name:
            given[name] = [*given[name], token] if isinstance(given[name], list) else given[name]
    return {name: _unwrap(value) for name, value in given.items()}


def _unwrap(value: Any) -> Any:
    if isinstance(value, list):
        return True if not value else value[0] if len(value) == 1 else value
    return value
