"""The options of a run that this package declares itself, without torch, so that help and mistakes need no seconds.

`MethodOptions` are SPINE's own. `TrainingOptions` are the usual ones of TRL's and transformers' configurations under
their names, with bounds; `SpineConfig` adds all that are left of those.
"""

from dataclasses import dataclass
from typing import Literal

from spine_rl.answers import ANSWER_TYPES
from spine_rl.options import option
from spine_rl.options.declare import MAX_SEED
from spine_rl.presets import CONTROLS, FORK_FRACTION, PRESETS
from spine_rl.voting import LABEL_RULES, PROBLEM_RULES

FORK_SELECTORS = ("all", "top_fraction", "otsu", "low_entropy", "random_fraction")
BANDS = ("none", "quantile", "median_mad", "zero")
BAND_WEIGHTS = ("equal", "advantage")
ON_COLLAPSE = ("warn", "stop", "retry")
PROMPT_SHARING = ("auto", "packed", "two-calls", "off")
KEEP_BEST = ("label-free", "none")
# What decides which responses are drawn, beside the prompts, their number and their length; and how they are read.
DRAWING = {"temperature", "top_p", "top_k", "min_p", "repetition_penalty", "generation_kwargs", "use_vllm"}
DRAWING |= {"answer_type"}
IMPORTANCE_MODES = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")


@dataclass
class MethodOptions:
    """What SPINE adds to TRL's configuration. A field that is None is filled by the preset; one that is given wins."""

    preset: str = option(
        "spine", "Method to start from; fields that are given win over it.", choices=(*PRESETS, *CONTROLS)
    )
    fork_selector: str | None = option(
        None,
        "Rule that picks the tokens to update, the forks; low_entropy and random_fraction are for comparison.",
        choices=FORK_SELECTORS,
    )
    fork_fraction: float = option(
        FORK_FRACTION,
        "Share of each response's tokens that top_fraction, low_entropy and random_fraction pick.",
        above=0,
        at_most=1,
    )
    otsu_bins: int = option(100, "Bins of the histogram in which otsu looks for its threshold.", at_least=2)
    band: str | None = option(
        None,
        "Band that the entropy at forks is held in; zero, for comparison, drives the entropy down.",
        choices=BANDS,
    )
    band_low_quantile: float = option(
        0.1, "Lower edge of the quantile band, as a quantile of the forks' entropies.", at_least=0, at_most=1
    )
    band_high_quantile: float = option(
        0.5, "Upper edge of the quantile band, not below the lower one.", at_least=0, at_most=1
    )
    band_low_coef: float = option(1.0, "Weight of the pull on forks whose entropy is below the band.", at_least=0)
    band_high_coef: float = option(1.0, "Weight of the pull on forks whose entropy is above the band.", at_least=0)
    band_weight: str | None = option(
        None,
        "Weight of the band in each response: equal, or by advantage, so that it ends where all responses agree.",
        choices=BAND_WEIGHTS,
    )
    num_votes: int | None = option(
        None, "Responses that vote per problem, at least num_generations (default: those alone).", at_least=2
    )
    vote_wave_size: int = option(
        8,
        "Responses per problem that are drawn at once for the vote alone; none are drawn once no further one could "
        "change the label.",
        at_least=1,
    )
    vote_min_share: float = option(
        0.0, "Smallest share of a problem's responses with which an answer becomes its label.", at_least=0, at_most=1
    )
    vote_min_margin: float = option(
        0.0,
        "Smallest lead over the second answer, as a share, with which an answer becomes the label.",
        at_least=0,
        at_most=1,
    )
    leave_one_out: bool = option(False, "Reward each response by the vote of the others.")
    answer_type: str = option(
        "auto",
        "Way in which answers are read and compared where a problem does not say (docs/answers.md).",
        choices=("auto", *ANSWER_TYPES),
    )
    advantage_std: Literal["sample", "population"] = option(
        "sample", "Standard deviation that rewards are divided by.", choices=("sample", "population")
    )
    advantage_epsilon: float = option(1e-4, "Number that is added to that standard deviation.", above=0)
    label_rule: str | None = option(
        None,
        "Rule that turns a problem's responses into rewards (docs/methods.md); gold is the upper bound, none and "
        "random are for comparison.",
        choices=LABEL_RULES,
    )
    problem_rule: str | None = option(
        None,
        "Problems that a step updates on: all, or with flip-guard fewer of those whose label once changed.",
        choices=PROBLEM_RULES,
    )
    allow_gold_rewards: bool = option(
        False, "Confirmation that label_rule=gold needs: the run is no longer label-free."
    )
    prompt_sharing: str = option(
        "auto",
        "How the update runs each prompt once per problem: in one packed call with its responses or in two calls; auto "
        "takes packed where it can, on a GPU. off runs it once per response, in generation too (docs/speed.md).",
        choices=PROMPT_SHARING,
    )
    generation_dtype: str = option(
        "auto",
        "Weights that responses are drawn with: bfloat16 is a 16-bit copy, model the model itself, auto the faster of "
        "both; with vLLM, the type of its weights.",
        choices=("auto", "model", "bfloat16"),
    )
    profile_phases: bool = option(
        False, "Wait for a GPU at each phase's end, so that seconds/* are each phase's own; costs time."
    )
    freeze_vision: bool = option(True, "Leave the vision tower of an image-text model as it is.")
    on_collapse: str = option(
        "warn",
        "Action at the collapse monitor's first alarm; retry goes on from the best weights at half the learning rate.",
        choices=ON_COLLAPSE,
    )
    keep_best: str = option(
        "label-free",
        "Weights that the run ends with: those whose responses agree most with the first votes; with none, the last.",
        choices=KEEP_BEST,
    )
    probe_problems: int | None = option(
        None,
        "Problems whose votes are taken at the start and again on the way, so that the collapse monitor can judge a "
        "first epoch; 0 for none (default: 16 where an epoch has more than 16 steps, else none).",
        at_least=0,
    )
    probe_steps: int | None = option(
        None,
        "Steps between two votes of the probe's problems (default: at least 8, and so many that the probe adds at most "
        "an eighth to the responses).",
        at_least=1,
    )
    sample_steps: int = option(
        10, "Steps between two records of sample responses for spine report; 0 records none.", at_least=0
    )


@dataclass
class TrainingOptions:
    """The usual options of `trl.GRPOConfig`, under its names."""

    output_dir: str | None = option(None, "Folder of the run: model, checkpoints, metrics and report.")
    max_steps: int = option(-1, "Optimiser steps; -1 goes by num_train_epochs.", at_least=1, unless=-1)
    num_train_epochs: float = option(3.0, "Passes over the problems, where max_steps is not given.", above=0)
    learning_rate: float = option(1e-6, "Learning rate at its highest.", at_least=0)
    lr_scheduler_type: str = option("linear", "Course of the learning rate: linear, constant, cosine and others.")
    warmup_steps: float = option(
        0, "Steps in which the learning rate rises to its highest; a number below 1 is a share of all.", at_least=0
    )
    per_device_train_batch_size: int = option(8, "Responses of one micro-batch, per process.", at_least=1)
    gradient_accumulation_steps: int = option(1, "Micro-batches of one optimiser step.", at_least=1)
    num_generations: int = option(8, "Responses per problem that are trained on; a vote needs two.", at_least=2)
    max_completion_length: int = option(512, "Tokens of the longest response.", at_least=1)
    temperature: float = option(1.0, "Temperature that responses are sampled at.", above=0)
    top_p: float = option(1.0, "Smallest probability mass of tokens that sampling draws from.", above=0, at_most=1)
    top_k: int = option(0, "Number of likeliest tokens that sampling draws from; 0 takes all.", at_least=0)
    min_p: float | None = option(
        None, "Least probability of a token, as a share of the likeliest one's, to be drawn.", at_least=0, at_most=1
    )
    repetition_penalty: float = option(1.0, "Factor against tokens that were used already; 1 is none.", above=0)
    beta: float = option(0.0, "Weight of the KL anchor, which holds the model near its start.", at_least=0)
    epsilon: float = option(0.2, "Clip of the probability ratio, below 1 and above it.", above=0)
    epsilon_high: float | None = option(None, "Clip above 1, where it differs from epsilon.", above=0)
    num_iterations: int = option(1, "Updates with each batch of responses.", at_least=1)
    steps_per_generation: int | None = option(
        None, "Micro-batches that one generation of responses is for (default: one optimiser step's).", at_least=1
    )
    generation_batch_size: int | None = option(
        None, "Responses of one generation, over all processes (default: steps_per_generation's).", at_least=1
    )
    max_grad_norm: float = option(1.0, "Norm that gradients are clipped to; 0 clips none.", at_least=0)
    weight_decay: float = option(0.0, "Weight decay of AdamW.", at_least=0)
    adam_beta1: float = option(0.9, "Decay of Adam's mean of the gradient.", at_least=0, below=1)
    adam_beta2: float = option(0.999, "Decay of Adam's mean of the gradient's square.", at_least=0, below=1)
    adam_epsilon: float = option(1e-8, "Number that is added to Adam's divisor.", above=0)
    seed: int = option(42, "Seed of sampling and of the order of problems.", at_least=0, at_most=MAX_SEED)
    data_seed: int | None = option(
        None, "Seed of the order of problems, where it differs from seed.", at_least=0, at_most=MAX_SEED
    )
    logging_steps: float = option(1, "Steps between two log entries.", above=0)
    save_steps: float = option(50, "Steps between two checkpoints; a number below 1 is a share of all.", above=0)
    save_total_limit: int | None = option(2, "Checkpoints that are kept, the last ones.", at_least=1)
    gradient_checkpointing: bool = option(
        False, "Compute activations anew in the backward pass: less memory, more time (docs/speed.md)."
    )
    use_vllm: bool = option(False, "Generate with vLLM, where it is installed.")
    vllm_importance_sampling_mode: str = option(
        "token_truncate",
        "How the update corrects for responses that another engine, or other weights, drew: per token and cut at "
        "vllm_importance_sampling_clip_max by default; sequence modes drop or shrink long responses.",
        choices=IMPORTANCE_MODES,
    )
    use_cpu: bool = option(False, "Train on the CPU even where there is a GPU.")
