"""Options of TRL's configurations that a run would not read: refused, since what is silently ignored misleads.

Some have no effect in this package at all (`UNUSED`), some have none without another one (`NEEDED`), or beside another
value of one (`BESIDE`). A value that is the default asks for nothing, and is taken.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from transformers import GenerationConfig
from trl import GRPOConfig

from spine_rl.errors import ConfigError, suggest_nearest

_USE_FORKS = "choose tokens with fork_selector and fork_fraction"
_USE_BAND = "hold the entropy with band, band_low_coef and band_high_coef"
_TOKEN_MEAN = "SPINE's loss is a clipped surrogate averaged over response tokens (TRL's 'dapo')"
_ONLY_REWARD = "the vote is the only reward"
_EVALUATE = "TRL's evaluation would score samples by their own vote; evaluate with `spine eval`"
_KEEP_BEST = "the weights to end with are chosen without labels, by keep_best"
_ORDER = "a step's responses are put in order by problem and length in any case"

UNUSED: dict[str, str] = {
    "loss_type": _TOKEN_MEAN,
    "delta": "clip with epsilon and epsilon_high",
    "importance_sampling_level": "the ratio is per token",
    "sapo_temperature_neg": _TOKEN_MEAN,
    "sapo_temperature_pos": _TOKEN_MEAN,
    "vespo_k_pos": _TOKEN_MEAN,
    "vespo_lambda_pos": _TOKEN_MEAN,
    "vespo_k_neg": _TOKEN_MEAN,
    "vespo_lambda_neg": _TOKEN_MEAN,
    "off_policy_mask_threshold": "bound the ratio with epsilon and epsilon_high",
    "top_entropy_quantile": _USE_FORKS,
    "entropy_coef": _USE_BAND,
    "use_adaptive_entropy": _USE_BAND,
    "entropy_coef_min": _USE_BAND,
    "entropy_coef_max": _USE_BAND,
    "entropy_coef_delta": _USE_BAND,
    "entropy_target": _USE_BAND,
    "scale_rewards": "choose the standard deviation with advantage_std and advantage_epsilon",
    "reward_weights": _ONLY_REWARD,
    "multi_objective_aggregation": _ONLY_REWARD,
    "use_bias_correction_kl": "the KL estimate is always corrected by the ratio",
    "label_smoothing_factor": _TOKEN_MEAN,
    "average_tokens_across_devices": "the loss is always averaged over the tokens of all processes",
    "max_tool_calling_iterations": "there are no tools to call",
    "remove_unused_columns": "the vote reads the columns that it would remove",
    "label_names": "there are no labels",
    "train_sampling_strategy": _ORDER,
    "length_column_name": _ORDER,
    "eval_strategy": _EVALUATE,
    "eval_steps": _EVALUATE,
    "eval_delay": _EVALUATE,
    "eval_on_start": _EVALUATE,
    "eval_accumulation_steps": _EVALUATE,
    "eval_do_concat_batches": _EVALUATE,
    "eval_use_gather_object": _EVALUATE,
    "per_device_eval_batch_size": _EVALUATE,
    "prediction_loss_only": _EVALUATE,
    "include_for_metrics": _EVALUATE,
    "batch_eval_metrics": _EVALUATE,
    "bf16_full_eval": _EVALUATE,
    "fp16_full_eval": _EVALUATE,
    "do_eval": _EVALUATE,
    "do_predict": _EVALUATE,
    "num_generations_eval": "evaluate with `spine eval --num-generations k`",
    "load_best_model_at_end": _KEEP_BEST,
    "metric_for_best_model": _KEEP_BEST,
    "greater_is_better": _KEEP_BEST,
    "auto_find_batch_size": "an update that does not fit into memory is cut into smaller pieces in any case",
    "include_num_input_tokens_seen": "num_tokens is logged in any case",
    "enable_jit_checkpoint": "SIGTERM has a checkpoint written in any case",
}

_SAME = {("scale_rewards", "True"): "group", ("include_num_input_tokens_seen", "False"): "no"}  # as TRL's defaults
_CHECKPOINTING = ("gradient_checkpointing", "activation_checkpointing")
NEEDED: dict[str, tuple[str, ...]] = {
    "ref_model_mixup_alpha": ("sync_ref_model",),
    "ref_model_sync_steps": ("sync_ref_model",),
    "sync_ref_model": ("beta",),
    "liger_kernel_config": ("use_liger_kernel",),
    "transformers_continuous_batching_config": ("use_transformers_continuous_batching", "use_transformers_paged"),
    "gradient_checkpointing_kwargs": _CHECKPOINTING,
    "activation_checkpointing_kwargs": _CHECKPOINTING,
    "num_completions_to_print": ("log_completions",),
    "log_unique_prompts": ("log_completions",),
    "log_multimodal": ("log_completions",),
    "lora_r": ("use_peft",),
    "lora_alpha": ("use_peft",),
    "lora_dropout": ("use_peft",),
    "lora_target_modules": ("use_peft",),
    "lora_target_parameters": ("use_peft",),
    "lora_modules_to_save": ("use_peft",),
    "use_rslora": ("use_peft",),
    "use_dora": ("use_peft",),
    "bnb_4bit_quant_type": ("load_in_4bit",),
    "bnb_4bit_quant_storage": ("load_in_4bit",),
    "use_bnb_nested_quant": ("load_in_4bit",),
}

# Another option, and the one value of it beside which they are read.
_SERVER, _COLOCATE = ("vllm_mode", "server"), ("vllm_mode", "colocate")
_BY_HOST, _HERE = ("vllm_server_base_url", None), ("use_vllm", False)
BESIDE: dict[str, tuple[tuple[str, Any], ...]] = {
    "vllm_server_base_url": (_SERVER,),
    "vllm_server_host": (_SERVER, _BY_HOST),
    "vllm_server_port": (_SERVER, _BY_HOST),
    "vllm_server_timeout": (_SERVER,),
    "vllm_group_port": (_SERVER,),
    "vllm_gpu_memory_utilization": (_COLOCATE,),
    "vllm_tensor_parallel_size": (_COLOCATE,),
    "vllm_max_model_length": (_COLOCATE,),
    "vllm_enable_sleep_mode": (_COLOCATE,),
    "vllm_model_impl": (_COLOCATE,),
    "use_transformers_continuous_batching": (_HERE,),
    "use_transformers_paged": (_HERE,),
    "cache_implementation": (_HERE, ("use_transformers_continuous_batching", False)),
}

_OF_A_PUSH = ("hub_model_id", "hub_private_repo", "hub_revision", "hub_strategy", "hub_always_push")

# Of `generation_kwargs`: what has an option of its own, which the update reads too, and what no step can do with.
_OTHERWISE = {name: f"give {name}, which the update reads too" for name in ("temperature", "top_p", "top_k", "min_p")}
_OTHERWISE |= {name: f"give {name}" for name in ("repetition_penalty", "cache_implementation", "seed")}
_OTHERWISE |= dict.fromkeys(("max_new_tokens", "max_tokens", "max_length"), "give max_completion_length")
_OTHERWISE |= dict.fromkeys(("num_return_sequences", "n"), "give num_generations")
_OTHERWISE |= dict.fromkeys(("do_sample", "num_beams"), "responses are sampled, so that they can vote")
_OTHERWISE |= dict.fromkeys(("return_dict_in_generate", "logprobs"), "it would change what generation returns")
_OTHERWISE["stop_strings"] = "it needs a tokenizer, which TRL does not hand on; end with eos_token_id"

_ENDS = ("eos_token_id", "stop_token_ids")  # tokens that end responses beside the model's own

_OF_THE_CALL = {"conversation", "tools", "chat_template", "add_generation_prompt", "continue_final_message", "tokenize"}
_OF_THE_CALL |= {"padding", "truncation", "max_length", "return_tensors", "return_dict", "processor_kwargs"}


def refuse_unused(config: Any, declared: type, turned_off: Collection[str] = ()) -> None:
    """Looks at every field that was given another value than its default.

    Args:
        config: What was given.
        declared: `GRPOConfig` or `ModelConfig`, whose fields and defaults are meant.
        turned_off: Options that were given as off: what belongs to one of them is off with it.

    Raises:
        ConfigError: One would have no effect; with what to give instead.
    """
    for name, value in _list_given(config, declared):
        if name in UNUSED:
            raise ConfigError(f"{name}={value!r} would have no effect: {UNUSED[name]}; remove it")
        _check_needed(config, name, value, _list_needed(name), turned_off)
        for other, wanted in BESIDE.get(name, ()):
            if getattr(config, other) != wanted:
                raise ConfigError(
                    f"{name}={value!r} would have no effect with {other}={getattr(config, other)!r}, only with "
                    f"{wanted!r}; change or remove one"
                )


def refuse_without_push(config: Any) -> None:
    """For a command, which pushes a run only by itself; in Python `push_to_hub()` can be called at any time.

    Raises:
        ConfigError: An option of a push was given, and there is none.
    """
    for name, value in _list_given(config, GRPOConfig):
        if name in _OF_A_PUSH:
            _check_needed(config, name, value, ("push_to_hub",))


def leave_out_unneeded(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, without options of one that was turned off: `--use_vllm false` beside a file that has it on."""
    off = {name for name, value in given.items() if not value}
    return {
        name: value
        for name, value in given.items()
        if not (off.intersection(_list_needed(name)) and not any(given.get(each) for each in _list_needed(name)))
    }


def check_generation_kwargs(given: Mapping[str, Any], *, use_vllm: bool) -> None:
    """What `generate` is given beside the options: names that it does not know are passed over there.

    Raises:
        ConfigError: A name that has an option, that no step can do with, or that nobody knows.
    """
    known = None if use_vllm else vars(GenerationConfig())
    for name, value in given.items():
        if use_vllm and name == "eos_token_id":
            raise ConfigError(f"generation_kwargs has {name}: vLLM has another name for it; give stop_token_ids there")
        if name in _ENDS and not _are_tokens(value):
            raise ConfigError(f"generation_kwargs has {name}={value!r}: must be a token id, or a list of them")
        if name in _OTHERWISE:
            raise ConfigError(f"generation_kwargs has {name}: {_OTHERWISE[name]}; remove it there")
        if known is not None and name not in known:
            raise ConfigError(
                f"generation_kwargs has {name!r}, which generation ignores; {suggest_nearest(name, known)}"
            )


def _are_tokens(value: Any) -> bool:
    return all(type(each) is int and each >= 0 for each in (value if isinstance(value, list) else [value]))


def check_template_kwargs(given: Mapping[str, Any]) -> None:
    """What the chat template is given beside the messages.

    Raises:
        ConfigError: A name that a run gives itself.
    """
    for name in given:
        if name in _OF_THE_CALL:
            raise ConfigError(f"chat_template_kwargs has {name}, which a run gives itself; remove it there")


def _list_given(config: Any, declared: type) -> Iterator[tuple[str, Any]]:
    """Fields that have another value than their default."""
    for entry in fields(declared):
        value, default = getattr(config, entry.name), _get_default(entry)
        value = _SAME.get((entry.name, str(value)), value)
        if value != default and getattr(value, "value", value) != default:
            yield entry.name, value


def _check_needed(
    config: Any, name: str, value: Any, needed: Collection[str], turned_off: Collection[str] = ()
) -> None:
    if needed and not any(getattr(config, each) or each in turned_off for each in needed):
        first = next(iter(needed))
        raise ConfigError(f"{name}={value!r} would have no effect without {first}; give that too, or remove it")


def _get_default(entry: Field) -> Any:
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


def _list_needed(name: str) -> tuple[str, ...]:
    """Options of which one must be on; vLLM's correction serves 16-bit weights too (`vllm_importance_sampling_*`)."""
    if name.startswith("vllm_") and not name.startswith("vllm_importance_sampling_"):
        return ("use_vllm",)
    return NEEDED.get(name, ())
