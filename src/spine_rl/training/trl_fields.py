"""The fields that TRL's configurations declare: their names without importing it, their values once it is there."""

import ast
import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from spine_rl.errors import ConfigError, SpineError
from spine_rl.options import read_truth

# Where the classes are declared; importing them takes seconds, reading them does not.
_SOURCES = (
    ("transformers", "training_args.py", "TrainingArguments"),
    ("trl", "trainer/base_config.py", "_BaseConfig"),
    ("trl", "trainer/grpo_config.py", "GRPOConfig"),
    ("trl", "trainer/model_config.py", "ModelConfig"),
)
_FROM_FILES = {"accelerator_config", "deepspeed", "fsdp_config"}  # mappings, or the path of a file with one

# How a model is loaded, which every command does alike that is given a run's file.
LOADING = {
    "model_revision",
    "trust_remote_code",
    "attn_implementation",
    "model_init_kwargs",
    "load_in_8bit",
    "load_in_4bit",
}
LOADING |= {"bnb_4bit_quant_type", "bnb_4bit_quant_storage", "use_bnb_nested_quant"}

# Names that users bring from TRL's scripts, other trainers and earlier versions, and what stands in their place here.
ELSEWHERE = {
    "adam_eps": "give adam_epsilon",
    "batch_size": "give per_device_train_batch_size",
    "dataset": "give data",
    "dataset_config": "give data as NAME:CONFIG",
    "dataset_name": "give data",
    "dataset_path": "give data",
    "dataset_split": "give split",
    "dataset_train_split": "give split",
    "epochs": "give num_train_epochs",
    "eval_dataset": "a run does not evaluate; use `spine eval`",
    "evaluation_strategy": "a run does not evaluate; use `spine eval`",
    "group_by_length": "a step's responses are put in order by length in any case; remove it",
    "kl_coef": "give beta",
    "load_in_4_bit": "give load_in_4bit",
    "logging_dir": "set the environment variable TENSORBOARD_LOGGING_DIR",
    "lora_rank": "give lora_r",
    "lr": "give learning_rate",
    "max_length": "give max_completion_length",
    "max_new_tokens": "give max_completion_length",
    "max_prompt_length": "prompts are never cut, and one that leaves no room for a response is refused; remove it",
    "max_tokens": "give max_completion_length",
    "no_cuda": "give use_cpu",
    "overwrite_output_dir": "give overwrite",
    "per_gpu_train_batch_size": "give per_device_train_batch_size",
    "push_to_hub_model_id": "give hub_model_id",
    "push_to_hub_token": "give hub_token",
    "ref_model": "the reference is the model at the start; give beta alone",
    "reward_funcs": "the vote is the only reward; remove it",
    "reward_model_name_or_path": "the vote is the only reward; remove it",
    "save_safetensors": "weights are always saved as safetensors; remove it",
    "torch_dtype": "give dtype",
    "use_lora": "give use_peft",
    "use_mps_device": "a GPU is found by itself; remove it",
    "warmup_ratio": "give warmup_steps: a number below 1 is a share of all steps",
}


@functools.cache
def list_trl_fields() -> set[str]:
    """Names of all fields of `trl.GRPOConfig` and `trl.ModelConfig`, from their source."""
    return {name for source in _SOURCES for name, _ in _read_fields(*source)}


@functools.cache
def list_trl_switches() -> set[str]:
    """Names of those that are true or false."""
    fields = {name: kind for source in _SOURCES for name, kind in _read_fields(*source)}
    return {name for name, kind in fields.items() if kind in ("bool", "bool | None")}


def read_value(config: type, name: str, value: Any, where: str | None = None) -> Any:
    """A value as the type that its field is declared with.

    Args:
        config: The dataclass that has the field.
        name: The field's.
        value: As a YAML file has it, or as text: what can be read as the type without loss is.
        where: Where it stands, for the message.

    Raises:
        ConfigError: It is of another type.
    """
    if isinstance(value, str) and bool in get_args(_get_hints(config)[name]):  # beside text, which a word would stay
        truth = read_truth(value)
        value = value if truth is None else truth
    if isinstance(value, str) and _wants_mapping(config, name) and not _is_json_object(value):
        raise ConfigError(f"{where + ': ' if where else ''}{name}={value!r}: must be a mapping, as text in JSON")
    try:
        return _get_type(config, name).validate_python(value)
    except ValidationError as error:
        expected = error.errors()[0]["msg"].removeprefix("Input should be ").partition(", unable")[0]
        raise ConfigError(f"{where + ': ' if where else ''}{name}={value!r}: must be {expected}") from None


def read_texts(config: type, name: str, texts: list[str]) -> Any:
    """As `read_value`, of what a command line gives: no text is a switch that is turned on.

    Raises:
        ConfigError: A value is missing, of another type, or one of several where one is wanted.
    """
    type_ = _get_type(config, name)
    if not texts:
        try:
            return type_.validate_python(True, strict=True)
        except ValidationError:
            raise ConfigError(f"--{name} needs a value") from None
    if len(texts) == 1 and not _wants_mapping(config, name):
        with contextlib.suppress(ConfigError):
            return read_value(config, name, texts[0])
    with contextlib.suppress(ValidationError):
        return type_.validate_python(texts)
    return read_value(config, name, texts[0] if len(texts) == 1 else texts)


def select_fields(values: Mapping[str, Any], config: type) -> dict[str, Any]:
    """Those that are fields of a dataclass."""
    names = {field.name for field in dataclasses.fields(config)}
    return {name: value for name, value in values.items() if name in names}


def read_fields(config: type, given: Mapping[str, Any], where: Mapping[str, str]) -> dict[str, Any]:
    """What is given of a configuration's fields, as the types that these are declared with.

    Args:
        config: The dataclass.
        given: By name, the texts of a command line, or the value of a file.
        where: Where in the file, by name; a value without a place is the command line's.

    Raises:
        ConfigError: A value is of another type than its field.
    """
    return {
        name: read_value(config, name, value, where[name]) if name in where else read_texts(config, name, value)
        for name, value in select_fields(given, config).items()
    }


@contextlib.contextmanager
def refusals_in_one_line(*more: type[Exception]) -> Iterator[None]:
    """What TRL's and transformers' configurations refuse by ImportError, ValueError or one of `more`.

    Raises:
        ConfigError: Saying the same in one line.
    """
    try:
        yield
    except SpineError:
        raise
    except (ImportError, ValueError, *more) as error:
        raise ConfigError(" ".join(str(error).split())) from error


def to_json(value: Any) -> Any:
    """A value as a file keeps it."""
    return value.value if isinstance(value, Enum) else value


def _read_fields(package: str, file: str, name: str) -> Iterator[tuple[str, str]]:
    """Names and types, as they are written."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse((Path(spec.origin).parent / file).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    yield line.target.id, ast.unparse(line.annotation)


def _wants_mapping(config: type, name: str) -> bool:
    """Whether the field is a mapping, that no file holds."""
    kinds = (get_origin(kind) or kind for kind in get_args(_get_hints(config)[name]))
    return dict in kinds and name not in _FROM_FILES


def _is_json_object(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return isinstance(json.loads(text), dict)
    return False


@functools.cache
def _get_type(config: type, name: str) -> TypeAdapter:
    return TypeAdapter(_get_hints(config)[name])


_get_hints = functools.cache(get_type_hints)
