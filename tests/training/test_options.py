"""What the light declarations say is what TRL and the objective have."""

import dataclasses
import subprocess
import sys
import warnings
from typing import get_type_hints

import pytest
from trl import GRPOConfig, ModelConfig, TrlParser

from spine_rl.errors import ConfigError
from spine_rl.objective import BANDS, FORK_SELECTORS
from spine_rl.training import SpineConfig, options
from spine_rl.training.arguments import build_peft_config
from spine_rl.training.options import MethodOptions, TrainingOptions
from spine_rl.training.trl_fields import read_texts, read_value, to_json

# Where the package's default is another than TRL's, on purpose.
OWN_DEFAULTS = {"logging_steps", "save_steps", "save_total_limit", "gradient_checkpointing"}
OWN_DEFAULTS |= {"vllm_importance_sampling_mode"}


def test_usual_options_are_trls_with_its_defaults():
    theirs = {entry.name: entry for entry in dataclasses.fields(GRPOConfig)}
    types = get_type_hints(GRPOConfig)
    for entry in dataclasses.fields(TrainingOptions):
        if entry.name not in OWN_DEFAULTS:
            assert entry.default == theirs[entry.name].default, entry.name
        annotation = get_type_hints(TrainingOptions)[entry.name]
        assert annotation == types[entry.name] or annotation | None == types[entry.name] or annotation is str


def test_spines_options_are_none_of_trls():
    assert not {entry.name for entry in dataclasses.fields(MethodOptions)} & set(GRPOConfig.__dataclass_fields__)


def test_choices_are_what_there_is():
    assert tuple(FORK_SELECTORS) == options.FORK_SELECTORS
    assert tuple(BANDS) == options.BANDS


def test_every_option_says_what_it_is_in_one_sentence():
    for entry in (*dataclasses.fields(MethodOptions), *dataclasses.fields(TrainingOptions)):
        text = entry.metadata["help"]
        assert text[0].isupper(), text
        assert text.endswith("."), text
        assert not text.startswith("Of "), text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", float("nan")), ("learning_rate", -1.0), ("max_steps", 0), ("max_steps", -5),
        ("save_steps", float("nan")), ("max_grad_norm", float("nan")), ("max_grad_norm", -1.0), ("adam_beta1", 2.0),
        ("per_device_train_batch_size", 0), ("gradient_accumulation_steps", 0), ("seed", -1), ("seed", 2**70),
        ("temperature", 0.0), ("vllm_gpu_memory_utilization", float("inf")), ("fork_fraction", 0.0), ("num_votes", 1),
        ("save_total_limit", 0), ("num_train_epochs", 0.0), ("logging_steps", 0.0), ("num_iterations", 0),
    ],
)  # fmt: skip
def test_values_out_of_bounds_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"^{name}="):
        SpineConfig(output_dir="unused", use_cpu=True, **{name: value})


def test_trls_own_parser_takes_the_configuration():
    (config,) = TrlParser([SpineConfig]).parse_args_into_dataclasses(["--output_dir=unused", "--fork_fraction=0.3"])
    assert config.fork_fraction == 0.3


def test_the_declarations_need_no_torch():
    code = "import sys, spine_rl.training.options; print(*({'torch', 'trl', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_configuration_warns_of_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert SpineConfig(output_dir=str(tmp_path), use_cpu=True).gradient_checkpointing is False
        assert SpineConfig(output_dir=str(tmp_path), use_cpu=True, gradient_checkpointing=True).gradient_checkpointing


@pytest.mark.parametrize(
    ("config", "name", "texts", "value"),
    [
        (GRPOConfig, "dataloader_num_workers", ["2"], 2),
        (GRPOConfig, "bf16", [], True),
        (GRPOConfig, "bf16", ["false"], False),
        (GRPOConfig, "log_completions", ["true"], True),
        (GRPOConfig, "report_to", ["none"], "none"),
        (GRPOConfig, "report_to", ["wandb", "trackio"], ["wandb", "trackio"]),
        (GRPOConfig, "optim", ["sgd"], "sgd"),
        (GRPOConfig, "model_init_kwargs", ['{"a": 1}'], '{"a": 1}'),
        (GRPOConfig, "fsdp_config", ["fsdp.json"], "fsdp.json"),
        (ModelConfig, "lora_modules_to_save", ["lm_head"], ["lm_head"]),
        (ModelConfig, "load_in_4bit", [], True),
    ],
)
def test_texts_become_what_trl_declares(config, name, texts, value):
    found = read_texts(config, name, texts)
    assert to_json(found) == value
    assert type(to_json(found)) is type(value)


@pytest.mark.parametrize(
    ("name", "texts", "message"),
    [
        ("dataloader_num_workers", ["two"], "dataloader_num_workers='two': must be a valid integer"),
        ("dataloader_num_workers", ["2.5"], "dataloader_num_workers='2.5': must be a valid integer"),
        ("dataloader_num_workers", [], "--dataloader_num_workers needs a value"),
        ("log_completions", ["perhaps"], "log_completions='perhaps': must be a valid boolean"),
        ("adam_epsilon", ["1", "2"], "must be a valid number"),
        ("lr_scheduler_kwargs", ["nope"], "lr_scheduler_kwargs='nope': must be a mapping, as text in JSON"),
        ("model_init_kwargs", ["[1]"], "must be a mapping"),
    ],
)
def test_texts_that_are_of_no_such_type(name, texts, message):
    with pytest.raises(ConfigError) as caught:
        read_texts(GRPOConfig, name, texts)
    assert message in str(caught.value)


def test_a_files_values_are_read_with_their_place():
    assert read_value(GRPOConfig, "model_init_kwargs", {"a": 1}) == {"a": 1}
    with pytest.raises(ConfigError, match=r"^run.yaml, line 2: ddp_timeout=\[1\]: must be a valid integer"):
        read_value(GRPOConfig, "ddp_timeout", [1], "run.yaml, line 2")


def test_the_name_of_one_layer_is_a_name_and_no_pattern():
    def targets(*names):
        return build_peft_config(ModelConfig(use_peft=True, lora_target_modules=[*names])).target_modules

    assert targets("q_proj") == {"q_proj"}
    assert targets("all-linear") == "all-linear"
    assert targets("q_proj", "v_proj") == {"q_proj", "v_proj"}
