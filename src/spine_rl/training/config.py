"""`SpineConfig`: TRL's `GRPOConfig` plus SPINE's fields, less what SPINE's loss would silently ignore."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from trl import GRPOConfig

from spine_rl.engine.precision import is_faster_in_16_bits
from spine_rl.engine.sampler import Decoding
from spine_rl.errors import ConfigError
from spine_rl.objective import Objective
from spine_rl.options import check_options
from spine_rl.presets import get_preset
from spine_rl.training.options import MethodOptions, TrainingOptions
from spine_rl.training.unused_options import check_generation_kwargs, check_template_kwargs, refuse_unused
from spine_rl.voting import LabelRule, VoteRule, get_label_rule


@dataclass
class SpineConfig(MethodOptions, TrainingOptions, GRPOConfig):
    """Configuration of `SpineTrainer`: every field of `trl.GRPOConfig` that SPINE's loss honours, and its own.

    Fields of the preset (`fork_selector`, `band`, `label_rule` and others) are None until the preset fills them in;
    one that is given wins over the preset. `num_generations` is G, `beta` is λ_KL, `epsilon` and `epsilon_high` the
    clip.

    Raises:
        ConfigError: A value out of its bounds, an unknown name, or an option that this loss would ignore; always with
            the field, its value and what to do.
    """

    def __post_init__(self):
        for name, value in get_preset(self.preset).items():
            if getattr(self, name) is None:
                setattr(self, name, value)
        on_cpu = self.use_cpu or not torch.accelerator.is_available()
        self._precision_is_open = self.bf16 is None and not self.fp16 and on_cpu
        if self._precision_is_open:
            self.bf16 = False  # TRL would turn it on; until it is known how wide the model is, see `choose_precision`
        self.dataloader_pin_memory = self.dataloader_pin_memory and not on_cpu  # torch would warn at every run
        refuse_unused(self, GRPOConfig)
        _check_fields(self)
        if getattr(self, "activation_checkpointing", False) is None:  # the new name of transformers 5.2x, which warns
            self.activation_checkpointing = self.gradient_checkpointing
        super().__post_init__()
        _check_steps(self)

    def choose_precision(self, hidden_size: int) -> None:
        """On a CPU, where `bf16` was left open: 16-bit autocast where that is measured to be faster.

        Args:
            hidden_size: Of the model.
        """
        if not self._precision_is_open or self.use_transformers_continuous_batching:
            return
        if is_faster_in_16_bits(torch.device("cpu"), hidden_size):
            self.bf16, self.mixed_precision = True, "bf16"

    def take_measured(self, resolved: Mapping[str, Any]) -> None:
        """Takes what an earlier process of this run measured, where it is left open: measured anew it might differ.

        Args:
            resolved: The run's fields as they were resolved.
        """
        if self._precision_is_open and isinstance(resolved.get("bf16"), bool):
            self._precision_is_open = False
            if resolved["bf16"]:
                self.bf16, self.mixed_precision = True, "bf16"
        if self.generation_dtype == "auto" and resolved.get("generation_dtype") in ("model", "bfloat16"):
            self.generation_dtype = resolved["generation_dtype"]

    @property
    def ends_with_best(self) -> bool:
        """Whether a run ends with its best weights, and not with the last."""
        return self.keep_best != "none"

    @property
    def holds_best(self) -> bool:
        """Whether the best weights so far are held: to end with, or to go back to."""
        return self.ends_with_best or self.on_collapse == "retry"

    @property
    def objective(self) -> Objective:
        """The objective's settings, as the pure core takes them."""
        assert self.fork_selector is not None
        assert self.band is not None
        assert self.band_weight is not None
        return Objective(
            fork_selector=self.fork_selector,
            fork_fraction=self.fork_fraction,
            otsu_bins=self.otsu_bins,
            band=self.band,
            band_low_quantile=self.band_low_quantile,
            band_high_quantile=self.band_high_quantile,
            band_low_coef=self.band_low_coef,
            band_high_coef=self.band_high_coef,
            band_weight=self.band_weight,
            clip_low=self.epsilon,
            clip_high=self.epsilon if self.epsilon_high is None else self.epsilon_high,
            kl_coef=self.beta,
        )

    @property
    def problems_per_rollout(self) -> int:
        """Problems of one generation, over all processes; it may serve several optimiser steps."""
        assert self.generation_batch_size is not None
        return self.generation_batch_size // self.num_generations

    @property
    def responses_per_step(self) -> int:
        """Responses of one process that an optimiser step trains on."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps

    @property
    def steps_per_rollout(self) -> int:
        """Optimiser steps that a generation serves, as the problems of one are trained on by it; at least 1."""
        assert self.steps_per_generation is not None
        return max(1, self.num_iterations * self.steps_per_generation // self.gradient_accumulation_steps)

    def get_decoding(self, *, batch_size: int, seed: int) -> Decoding:
        """How its responses are drawn, for an engine of transformers outside of the run."""
        assert self.max_completion_length is not None
        more = {name: getattr(self, name) for name in ("top_k", "min_p", "repetition_penalty")}
        given = as_mapping(self.generation_kwargs)
        ends = given.get("stop_token_ids")
        if self.use_vllm:  # of its options only what ends a response has a counterpart
            given = {} if ends is None else {"eos_token_id": ends}
        return Decoding(self.max_completion_length, self.temperature, self.top_p, batch_size, seed, more | given)

    def count_steps(self, num_problems: int) -> int:
        """Optimiser steps of a run over so many problems; 0 where there are too few for one generation."""
        if num_problems < self.problems_per_rollout:
            return 0
        if self.max_steps > 0:
            return self.max_steps
        # As transformers counts: a part of an epoch may end between two steps that a generation serves.
        steps_an_epoch = num_problems // self.problems_per_rollout * self.steps_per_rollout
        return math.ceil(self.num_train_epochs * steps_an_epoch)

    @property
    def vote_rule(self) -> VoteRule:
        """How labels follow from votes."""
        return VoteRule(self.vote_min_share, self.vote_min_margin, self.leave_one_out)

    def get_label_rule(self) -> LabelRule:
        """What turns a problem's responses into rewards."""
        assert self.label_rule is not None
        return get_label_rule(self.label_rule)


def _check_fields(config: SpineConfig) -> None:
    def check(name: str, valid: bool, requirement: str) -> None:
        if not valid:
            raise ConfigError(f"{name}={getattr(config, name)!r}: {requirement}")

    check_options(config)
    check(
        "band_high_quantile",
        config.band_low_quantile <= config.band_high_quantile,
        f"must be in [band_low_quantile, 1] = [{config.band_low_quantile}, 1]",
    )
    check(
        "num_votes",
        config.num_votes is None or config.num_votes >= config.num_generations,
        f"must be at least num_generations={config.num_generations}",
    )
    check(
        "lr_scheduler_type",
        config.lr_scheduler_type not in ("reduce_lr_on_plateau", "greedy"),
        "follows an evaluation, of which there is none in a run; give linear, constant or cosine",
    )
    check(
        "save_strategy",
        config.save_strategy != "best",
        "judges by an evaluation; give steps, epoch or no, and keep_best chooses the weights to end with",
    )
    check(
        "save_only_model",
        not config.save_only_model,
        "a checkpoint is there to go on from; keep fewer with save_total_limit, or none with save_strategy=no",
    )
    _check_batch(config)
    _check_label_rule(config, check)


def _check_label_rule(config: SpineConfig, check: Callable[[str, bool, str], None]) -> None:
    """What a rule cannot take, and what it alone may."""
    rule, named = config.get_label_rule(), f"label_rule={config.label_rule!r}"
    if "gold_key" in rule.needs:
        check("allow_gold_rewards", config.allow_gold_rewards, f"{named} trains on labels; set it to True to confirm")
    contradicts = f"contradicts {named}; remove one"
    check("leave_one_out", rule.leaves_one_out or not config.leave_one_out, contradicts)
    check("num_votes", rule.counts_extra or config.num_votes is None, contradicts)
    if not rule.learns:
        holds_entropy = config.band != "none" and max(config.band_low_coef, config.band_high_coef) > 0
        check("label_rule", holds_entropy or config.beta > 0, "nothing is left to learn; give a band")


def as_mapping(value: dict[str, Any] | str | None) -> dict[str, Any]:
    """An option that TRL's types allow as a text, too; once a configuration is made it is none any more."""
    return value if isinstance(value, dict) else {}


def _check_steps(config: SpineConfig) -> None:
    """What is known once TRL has filled its fields."""
    assert config.steps_per_generation is not None
    check_generation_kwargs(as_mapping(config.generation_kwargs), use_vllm=config.use_vllm)
    check_template_kwargs(as_mapping(config.chat_template_kwargs))
    if config.steps_per_generation % config.gradient_accumulation_steps:
        raise ConfigError(
            f"steps_per_generation={config.steps_per_generation}: must be a multiple of gradient_accumulation_steps="
            f"{config.gradient_accumulation_steps}, so that a step's responses are of one generation"
        )
    if config.use_transformers_continuous_batching and (config.bf16 or config.fp16):
        raise ConfigError(
            "use_transformers_continuous_batching=True turns the trained weights themselves into 16 bits, in which "
            "small updates are lost; give bf16=False, or use_vllm=True"
        )


def _check_batch(config: SpineConfig) -> None:
    """Before TRL does: its message does not say which of the user's fields make the batch."""
    if config.generation_batch_size is None and config.steps_per_generation is None:
        num_processes = int(os.environ.get("WORLD_SIZE", "1"))  # the launcher's; TRL's own is known only later
        responses = config.per_device_train_batch_size * config.gradient_accumulation_steps * num_processes
        if responses % config.num_generations:
            raise ConfigError(
                f"per_device_train_batch_size={config.per_device_train_batch_size} x gradient_accumulation_steps="
                f"{config.gradient_accumulation_steps} x {num_processes} process(es) = {responses} responses a step: "
                f"must be a multiple of num_generations={config.num_generations}"
            )
