"""`SpineConfig`: TRL's `GRPOConfig` plus SPINE's fields, less what SPINE's loss would silently ignore."""

import os
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import torch
from trl import GRPOConfig

from spine_rl.answers import ANSWER_TYPES
from spine_rl.errors import ConfigError
from spine_rl.objective import BANDS, FORK_SELECTORS, Objective
from spine_rl.presets import CONTROLS, PRESETS, get_preset
from spine_rl.training.collapse_guard import KEEP_BEST, ON_COLLAPSE
from spine_rl.training.election import REWARD_SOURCES
from spine_rl.voting import VoteRule

_USE_FORKS = "choose tokens with fork_selector and fork_fraction"
_USE_BAND = "hold the entropy with band, band_low_coef and band_high_coef"
_TOKEN_MEAN = "SPINE's loss is a clipped surrogate averaged over response tokens (TRL's 'dapo')"

# Options of GRPOConfig that SPINE's loss does not read: anything but TRL's default is refused.
UNUSED_OPTIONS = {
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
    "reward_weights": "the vote is the only reward",
    "multi_objective_aggregation": "the vote is the only reward",
    "use_bias_correction_kl": "the KL estimate is always corrected by the ratio",
    "eval_strategy": "TRL's evaluation would score samples by their own vote; evaluate with `spine eval`",
    "num_generations_eval": "evaluate with `spine eval --samples k`",
}


@dataclass
class SpineConfig(GRPOConfig):
    """Configuration of `SpineTrainer`: every field of `trl.GRPOConfig` that SPINE's loss honours, and these.

    Fields of the preset (`fork_selector`, `band`, `reward_source`) are None until the preset fills them in; one that is
    given wins over the preset. `num_generations` is G, `beta` is λ_KL, `epsilon` and `epsilon_high` the clip.

    Raises:
        ConfigError: A value out of its bounds, an unknown name, or an option that this loss would ignore; always with
            the field, its value and what to do.
    """

    num_generations: int = field(
        default=8, metadata={"help": "G: responses per problem that are trained on, at least 2."}
    )
    max_completion_length: int = field(default=512, metadata={"help": "Longest response, in tokens."})
    preset: str = field(
        default="spine",
        metadata={
            "help": "Starting point: "
            + ", ".join(PRESETS)
            + "; controls, for experiments: "
            + ", ".join(CONTROLS)
            + ". "
            "Explicit fields win over it."
        },
    )
    fork_selector: str | None = field(
        default=None,
        metadata={
            "help": "Tokens to update: " + ", ".join(FORK_SELECTORS) + " (from the preset). The last two are controls."
        },
    )
    fork_fraction: float = field(
        default=0.2,
        metadata={"help": "ρ of top_fraction (and controls): share of each response's tokens, in (0, 1]."},
    )
    otsu_bins: int = field(default=100, metadata={"help": "Histogram bins of otsu, at least 2."})
    band: str | None = field(
        default=None,
        metadata={
            "help": "Entropy band at forks: " + ", ".join(BANDS) + " (from the preset). zero, a control, minimises it."
        },
    )
    band_low_quantile: float = field(default=0.1, metadata={"help": "Lower edge of the quantile band, in [0, 1]."})
    band_high_quantile: float = field(
        default=0.5, metadata={"help": "Upper edge of the quantile band, in [band_low_quantile, 1]."}
    )
    band_low_coef: float = field(
        default=1.0, metadata={"help": "β_low ≥ 0: pull of forks below the band. The paper leaves it open."}
    )
    band_high_coef: float = field(
        default=1.0, metadata={"help": "β_high ≥ 0: pull of forks above the band. The paper leaves it open."}
    )
    num_votes: int | None = field(
        default=None,
        metadata={"help": "M: responses that vote per problem, at least num_generations (default: those alone)."},
    )
    vote_wave_size: int = field(
        default=8,
        metadata={
            "help": "Vote-only responses drawn at once per problem, until the outcome cannot change; label-exact."
        },
    )
    vote_min_share: float = field(
        default=0.0, metadata={"help": "Least share of a problem's responses that its label needs, in [0, 1]."}
    )
    vote_min_margin: float = field(
        default=0.0, metadata={"help": "Least lead of the label over the second answer, as a share, in [0, 1]."}
    )
    leave_one_out: bool = field(default=False, metadata={"help": "Reward each response by the vote without its own."})
    answer_type: str = field(
        default="auto",
        metadata={
            "help": f"How answers are read: {', '.join(ANSWER_TYPES)}; auto takes a problem's own type, choice where "
            "it has options, else math."
        },
    )
    advantage_std: Literal["sample", "population"] = field(
        default="sample",
        metadata={"help": "Standard deviation of the advantage: sample or population. The paper leaves it open."},
    )
    advantage_epsilon: float = field(
        default=1e-4, metadata={"help": "ε > 0 added to that standard deviation. The paper leaves it open."}
    )
    reward_source: str | None = field(
        default=None,
        metadata={
            "help": "vote, or gold for the oracle upper bound (from the preset). Controls: none, no reward; random, a "
            "random one of the answers is the label."
        },
    )
    allow_gold_rewards: bool = field(
        default=False, metadata={"help": "Must be set for reward_source=gold: this run is no longer label-free."}
    )
    share_prompts: bool = field(
        default=True,
        metadata={
            "help": "Run each prompt once per problem in the update: a third of the memory, and less time but where a "
            "GPU waits for its next kernels (docs/speed.md)."
        },
    )
    freeze_vision: bool = field(
        default=True,
        metadata={"help": "Of an image-text model, leave the vision tower as it is."},
    )
    on_collapse: str = field(
        default="warn",
        metadata={
            "help": "At the collapse monitor's first alarm: "
            + ", ".join(ON_COLLAPSE)
            + "; rollback takes up `best` and "
            "stops, retry takes it up, halves the learning rate and goes on, at every alarm."
        },
    )
    keep_best: str = field(
        default="none",
        metadata={
            "help": "label-free keeps in output_dir/best the weights whose responses agree most with the first votes, "
            "before an alarm, looked at every save_steps steps and after the last; or none."
        },
    )
    sample_steps: int = field(
        default=10,
        metadata={"help": "spine train records sample responses every so many steps, for spine report; 0: none."},
    )
    gradient_checkpointing: bool = field(
        default=False,
        metadata={
            "help": "Recompute activations in the backward pass. Without a key-value cache, prompts are run once "
            "per response instead of once per problem."
        },
    )
    logging_steps: float = field(default=1, metadata={"help": "Log every so many steps."})
    save_steps: float = field(default=50, metadata={"help": "Save a checkpoint every so many steps."})
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints kept, the last ones."})

    def __post_init__(self):
        for name, value in get_preset(self.preset).items():
            if getattr(self, name) is None:
                setattr(self, name, value)
        if self.bf16 is None and (self.use_cpu or not torch.accelerator.is_available()):
            self.bf16 = False  # TRL would turn bf16 autocast on; on a CPU that is slower and less exact
        _refuse_unused_options(self)
        _check_fields(self)
        super().__post_init__()
        _check_steps(self)

    @property
    def objective(self) -> Objective:
        """The objective's settings, as the pure core takes them."""
        assert self.fork_selector is not None
        assert self.band is not None
        return Objective(
            fork_selector=self.fork_selector,
            fork_fraction=self.fork_fraction,
            otsu_bins=self.otsu_bins,
            band=self.band,
            band_low_quantile=self.band_low_quantile,
            band_high_quantile=self.band_high_quantile,
            band_low_coef=self.band_low_coef,
            band_high_coef=self.band_high_coef,
            clip_low=self.epsilon,
            clip_high=self.epsilon if self.epsilon_high is None else self.epsilon_high,
            kl_coef=self.beta,
        )

    @property
    def problems_per_step(self) -> int:
        """Problems of one generation batch, over all processes."""
        assert self.generation_batch_size is not None
        return self.generation_batch_size // self.num_generations

    @property
    def vote_rule(self) -> VoteRule:
        """How labels follow from votes."""
        return VoteRule(self.vote_min_share, self.vote_min_margin, self.leave_one_out)


def _refuse_unused_options(config: SpineConfig) -> None:
    defaults = {field.name: field.default for field in fields(GRPOConfig)}
    for name, instead in UNUSED_OPTIONS.items():
        value = getattr(config, name)
        if value != defaults[name] and getattr(value, "value", value) != defaults[name]:
            raise ConfigError(f"{name}={value!r} would have no effect: {instead}; remove it")


def _check_fields(config: SpineConfig) -> None:
    def check(name: str, valid: bool, requirement: str) -> None:
        if not valid:
            raise ConfigError(f"{name}={getattr(config, name)!r}: {requirement}")

    def check_choice(name: str, choices: Any) -> None:
        check(name, getattr(config, name) in choices, "must be one of " + ", ".join(choices))

    check_choice("fork_selector", FORK_SELECTORS)
    check_choice("band", BANDS)
    check_choice("answer_type", (*ANSWER_TYPES, "auto"))
    check_choice("advantage_std", ("sample", "population"))
    check_choice("reward_source", REWARD_SOURCES)
    check_choice("on_collapse", ON_COLLAPSE)
    check_choice("keep_best", KEEP_BEST)
    check("sample_steps", config.sample_steps >= 0, "must not be negative")
    check("fork_fraction", 0 < config.fork_fraction <= 1, "must be in (0, 1]")
    check("vote_wave_size", config.vote_wave_size >= 1, "must be at least 1")
    for name in ("vote_min_share", "vote_min_margin"):
        check(name, 0 <= getattr(config, name) <= 1, "must be in [0, 1]")
    check("otsu_bins", config.otsu_bins >= 2, "must be at least 2")
    check("band_low_quantile", 0 <= config.band_low_quantile <= 1, "must be in [0, 1]")
    check(
        "band_high_quantile",
        config.band_low_quantile <= config.band_high_quantile <= 1,
        f"must be in [band_low_quantile, 1] = [{config.band_low_quantile}, 1]",
    )
    for name in ("band_low_coef", "band_high_coef", "beta"):
        check(name, getattr(config, name) >= 0, "must not be negative")
    for name in ("epsilon", "advantage_epsilon", "temperature"):
        check(name, getattr(config, name) > 0, "must be positive")
    check("num_generations", config.num_generations >= 2, "a vote needs at least 2 responses per problem")
    check(
        "num_votes",
        config.num_votes is None or config.num_votes >= config.num_generations,
        f"must be at least num_generations={config.num_generations}",
    )
    _check_batch(config)
    if config.reward_source == "gold":
        check(
            "allow_gold_rewards",
            config.allow_gold_rewards,
            "reward_source='gold' trains on labels; set it to True to confirm",
        )
    if config.reward_source != "vote":
        contradicts = f"contradicts reward_source={config.reward_source!r}; remove one"
        check("leave_one_out", not config.leave_one_out, contradicts)
        check("num_votes", config.num_votes is None, contradicts)
    if config.reward_source == "none":
        holds_entropy = config.band != "none" and max(config.band_low_coef, config.band_high_coef) > 0
        check("reward_source", holds_entropy or config.beta > 0, "nothing is left to learn; give a band")


def _check_steps(config: SpineConfig) -> None:
    """What is known once TRL has filled its fields."""
    assert config.steps_per_generation is not None
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
