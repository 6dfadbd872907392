"""What the light declarations say is what TRL and the objective have."""

import dataclasses
import subprocess
import sys
import warnings
from types import SimpleNamespace
from typing import get_args, get_origin, get_type_hints

import pytest
import torch
from trl import GRPOConfig, ModelConfig, TrlParser

from paths import ROOT
from spine_rl.diagnose.planned_run import plan_run
from spine_rl.errors import ConfigError
from spine_rl.objective import BANDS, FORK_SELECTORS
from spine_rl.training import SpineConfig, options
from spine_rl.training.arguments import Arguments, RunArguments, build_peft_config
from spine_rl.training.checkpoints import CheckpointingTrainer
from spine_rl.training.options import MethodOptions, TrainingOptions
from spine_rl.training.run import _load_model
from spine_rl.training.trl_fields import read_texts, read_value, to_json
from spine_rl.training.unused_options import BESIDE, NEEDED, UNUSED, _get_default, leave_out_unneeded, refuse_unused

# Where the package's default is another than TRL's, on purpose.
OWN_DEFAULTS = {"logging_steps", "save_steps", "save_total_limit", "gradient_checkpointing"}
OWN_DEFAULTS |= {"vllm_importance_sampling_mode"}
BASE = ROOT / "src" / "spine_rl" / "lab" / "bases" / "arithmetic"


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


def take(**fields):
    return SpineConfig(output_dir="unused", use_cpu=True, **fields)


OTHER = {bool: lambda default: not default, int: lambda default: (default or 0) + 1, str: lambda _: "other"}
OTHER |= {float: lambda default: (default or 0) + 0.5, dict: lambda _: {"a": 1}, list: lambda _: ["other"]}


def change(config, name):
    """Another value of a field than its default, of the first type that it is declared with."""
    entry, hint = config.__dataclass_fields__[name], get_type_hints(config)[name]
    kinds = [get_origin(kind) or kind for kind in get_args(hint) or (hint,)]
    if get_origin(hint) in (list, dict):
        kinds = [get_origin(hint)]
    return OTHER[next(kind for kind in kinds if kind in OTHER)](
        None if entry.default is dataclasses.MISSING else entry.default
    )


@pytest.mark.parametrize("name", UNUSED)
def test_options_that_would_have_no_effect_are_refused(name):
    value = {"eval_strategy": "epoch", "include_for_metrics": ["loss"]}.get(name) or change(GRPOConfig, name)
    with pytest.raises(ConfigError, match=f"^{name}=.* would have no effect: .*; remove it$"):
        take(**{name: value})


VLLM = [
    entry.name
    for entry in dataclasses.fields(GRPOConfig)
    if entry.name.startswith("vllm_") and not entry.name.startswith("vllm_importance_sampling_")
]


@pytest.mark.parametrize("name", [*NEEDED, *VLLM])
def test_options_that_need_another_are_refused_without_it(name):
    needed = NEEDED.get(name, ("use_vllm",))[0]
    config = GRPOConfig if name in GRPOConfig.__dataclass_fields__ else ModelConfig
    given = {name: change(config, name)}
    with pytest.raises(ConfigError, match=f"^{name}=.* would have no effect without {needed}; give that too, or rem"):
        take(**given) if config is GRPOConfig else refuse_unused(ModelConfig(**given), ModelConfig)
    if config is ModelConfig:
        refuse_unused(ModelConfig(**given, **{needed: True}), ModelConfig)
    elif needed not in ("use_vllm", "use_liger_kernel", "use_transformers_continuous_batching"):  # not installed here
        take(**given, **({"beta": 0.1} if needed == "beta" else {needed: True, "beta": 0.1}))


@pytest.mark.parametrize("name", BESIDE)
def test_options_that_are_read_beside_one_value_of_another_are_refused_beside_others(name):
    defaults = {entry.name: _get_default(entry) for entry in dataclasses.fields(GRPOConfig)}
    for other, wanted in BESIDE[name]:
        needed = {"use_vllm": True} if name.startswith("vllm_") else {}
        given = SimpleNamespace(**defaults | dict(BESIDE[name]) | needed | {name: change(GRPOConfig, name)})
        refuse_unused(given, GRPOConfig)
        setattr(given, other, {"server": "colocate", "colocate": "server", None: "http://x", False: True}[wanted])
        line = f"^{name}=.* would have no effect with {other}=.*, only with {wanted!r}; change or remove one$"
        with pytest.raises(ConfigError, match=line):
            refuse_unused(given, GRPOConfig)


def test_options_of_one_that_is_turned_off_are_left_out():
    refuse_unused(ModelConfig(lora_r=8), ModelConfig, turned_off={"use_peft"})
    given = {"use_vllm": False, "vllm_mode": "server", "beta": 0.0, "sync_ref_model": True, "lora_r": 8}
    assert leave_out_unneeded(given) == {"use_vllm": False, "beta": 0.0, "lora_r": 8}
    for one in ("use_transformers_continuous_batching", "use_transformers_paged"):
        given = {"use_transformers_continuous_batching": False, "transformers_continuous_batching_config": {}}
        kept = leave_out_unneeded({**given, one: True})
        assert "transformers_continuous_batching_config" in kept


# Read by TRL, transformers or this package in a run, as somebody found who looked at each.
HONOURED = """
accelerator_config activation_checkpointing adam_beta1 adam_beta2 adam_epsilon beta bf16
cache_implementation cast_lm_head_to_fp32 chat_template_kwargs data_seed dataloader_drop_last dataloader_in_order
dataloader_multiprocessing_context dataloader_num_workers dataloader_persistent_workers dataloader_pin_memory
dataloader_prefetch_factor ddp_backend ddp_broadcast_buffers ddp_bucket_cap_mb ddp_find_unused_parameters
ddp_static_graph ddp_timeout debug deepspeed disable_dropout disable_tqdm do_train ds3_gather_for_generation epsilon
epsilon_high fp16 fsdp fsdp_config full_determinism generation_batch_size generation_kwargs
gradient_accumulation_steps gradient_checkpointing hub_always_push hub_model_id hub_private_repo hub_revision
hub_strategy hub_token ignore_data_skip learning_rate local_rank log_completions
log_completions_hub_repo log_level log_level_replica log_on_each_node logging_first_step
logging_nan_inf_filter logging_steps logging_strategy lr_scheduler_kwargs lr_scheduler_type mask_truncated_completions
max_completion_length max_grad_norm max_steps min_p model_init_kwargs neftune_noise_alpha num_generations
num_iterations num_train_epochs optim optim_args optim_target_modules output_dir pad_to_multiple_of
parallelism_config per_device_train_batch_size project push_to_hub repetition_penalty report_to
restore_callback_states_from_checkpoint resume_from_checkpoint router_aux_loss_coef run_name save_on_each_node
save_only_model save_steps save_strategy save_total_limit seed shuffle_dataset skip_memory_metrics
steps_per_generation temperature tf32 top_k top_p torch_compile torch_compile_backend torch_compile_mode
torch_empty_cache_steps trackio_bucket_id trackio_space_id trackio_static_space_id trust_remote_code use_cache use_cpu
use_liger_kernel use_transformers_continuous_batching use_transformers_paged use_vllm
vllm_importance_sampling_cap vllm_importance_sampling_clip_max vllm_importance_sampling_clip_min
vllm_importance_sampling_correction vllm_importance_sampling_mode warmup_steps weight_decay
"""


def test_every_field_of_trls_configuration_was_looked_at():
    honoured, fields = set(HONOURED.split()), set(GRPOConfig.__dataclass_fields__)
    refused = set(UNUSED) | set(NEEDED) | set(VLLM)
    assert not honoured & refused
    assert fields - refused == honoured


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "follows an evaluation, of which there is none in a run"),
        ({"save_strategy": "best"}, "save_strategy='best': judges by an evaluation"),
        ({"save_only_model": True}, "save_only_model=True: a checkpoint is there to go on from"),
        ({"generation_kwargs": {"temperature": 0.5}}, "generation_kwargs has temperature: give temperature, which th"),
        ({"generation_kwargs": '{"max_new_tokens": 5}'}, "generation_kwargs has max_new_tokens: give max_completion"),
        ({"generation_kwargs": {"num_return_sequences": 2}}, "give num_generations; remove it there"),
        ({"generation_kwargs": {"do_sample": False}}, "responses are sampled, so that they can vote"),
        ({"generation_kwargs": {"stop_strings": ["x"]}}, "stop_strings: it needs a tokenizer"),
        ({"generation_kwargs": {"eos_token_id": "</s>"}}, "eos_token_id='</s>': must be a token id, or a list of them"),
        ({"generation_kwargs": {"eos_token_id": 2}, "use_vllm": True}, "give stop_token_ids there"),
        (
            {"generation_kwargs": {"no_repeat_ngram": 2}},
            "'no_repeat_ngram', which generation ignores; did you mean 'no",
        ),
        ({"chat_template_kwargs": {"tokenize": False}}, "chat_template_kwargs has tokenize, which a run gives itself"),
    ],
)
def test_values_that_a_run_cannot_honour_are_refused(fields, message):
    with pytest.raises(ConfigError) as caught:
        take(**fields)
    assert message in str(caught.value)


def test_what_trl_takes_for_the_default_is_taken():
    assert take(scale_rewards=True, loss_type="dapo", eval_strategy="no").scale_rewards == "group"


def test_arguments_of_generation_that_have_no_option_are_taken():
    kwargs = {"no_repeat_ngram_size": 3, "typical_p": 0.9, "min_new_tokens": 2}
    assert take(generation_kwargs=kwargs).generation_kwargs == kwargs


def give(training=None, model=None):
    run = RunArguments("d", None, None, None, None, None, None, False, None, "", False, False)
    return Arguments(run, take(**(training or {})), ModelConfig(model_name_or_path=str(BASE), **(model or {})), {})


@pytest.mark.parametrize(
    ("training", "model", "message"),
    [
        (
            {"resume_from_checkpoint": "x"},
            {},
            "resume_from_checkpoint='x': a run goes on from its own last whole check",
        ),
        ({"hub_model_id": "me/x"}, {}, "hub_model_id='me/x' would have no effect without push_to_hub"),
        ({"hub_strategy": "end"}, {}, "would have no effect without push_to_hub"),
        ({}, {"lora_r": 64}, "lora_r=64 would have no effect without use_peft; give that too, or remove it"),
    ],
)
def test_a_commands_run_refuses_what_only_a_script_can_use(training, model, message):
    with pytest.raises(ConfigError) as caught:
        give(training, model)
    assert message in str(caught.value)


def test_an_adapter_names_the_revision_of_its_base():
    for training, model, revision in (
        ({}, {}, None),
        ({}, {"model_revision": "v2"}, "v2"),
        ({"model_init_kwargs": {"revision": "v3"}}, {}, "v3"),
    ):
        arguments = give(training, {"use_peft": True, **model})
        config = build_peft_config(arguments.model, arguments.load_options["revision"])
        assert config is not None
        assert config.revision == revision


def test_preflight_loads_the_model_as_the_run_will():
    fields = {"use_cpu": True, "trust_remote_code": True, "model_init_kwargs": {"rope_theta": 1.0}}
    planned = plan_run(str(BASE), fields, {"model_revision": "v2"}, num_processes=1, sharding="none")
    asked = {"revision": "v2", "trust_remote_code": True, "rope_theta": 1.0}
    assert asked.items() <= planned.load_options.items()
    with pytest.raises(ConfigError, match="lora_r=64 would have no effect without use_peft"):
        plan_run(str(BASE), fields, {"lora_r": 64}, num_processes=1, sharding="none")


def test_a_run_whose_reference_moves_is_not_gone_on_with():
    trainer = SimpleNamespace(args=SimpleNamespace(sync_ref_model=True))
    with pytest.raises(ConfigError, match="sync_ref_model=True moves the reference, which no checkpoint holds"):
        CheckpointingTrainer._load_rng_state(trainer, "checkpoint-2")


def test_a_commands_run_loads_the_model_as_asked():
    model, _ = _load_model(give({"model_init_kwargs": {"dtype": "bfloat16", "attn_implementation": "eager"}}))
    assert (model.dtype, model.config._attn_implementation) == (torch.bfloat16, "eager")
    assert _load_model(give())[0].dtype == torch.float32


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
    assert read_value(GRPOConfig, "bf16", "off") is False
    assert to_json(read_value(GRPOConfig, "save_strategy", "no")) == "no"
    assert read_value(GRPOConfig, "model_init_kwargs", {"a": 1}) == {"a": 1}
    with pytest.raises(ConfigError, match=r"^run.yaml, line 2: ddp_timeout=\[1\]: must be a valid integer"):
        read_value(GRPOConfig, "ddp_timeout", [1], "run.yaml, line 2")


def test_the_name_of_one_layer_is_a_name_and_no_pattern():
    def targets(*names):
        return build_peft_config(ModelConfig(use_peft=True, lora_target_modules=[*names]), "main").target_modules

    assert targets("q_proj") == {"q_proj"}
    assert targets("all-linear") == "all-linear"
    assert targets("q_proj", "v_proj") == {"q_proj", "v_proj"}
