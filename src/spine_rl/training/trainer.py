"""`SpineTrainer`: TRL's GRPOTrainer with the vote as its reward and SPINE's objective as its loss.

TRL samples, buffers, shuffles and splits. Each layer extends a few of its methods, never copies them; from TRL up:

- `hub`, `checkpoints`: what is pushed and saved is whole, and a resumed run goes on as if it had never stopped
- `logs`: votes, seconds and memory are logged (`log`)
- `scoring`: each prompt is run once per problem (`_get_per_token_logps_and_entropies`)
- `sampling`: rows are read once (`_get_dataloader`), epochs are numbered (`_get_train_sampler`), and responses keep
  the log-probabilities that they were drawn with (`_generate_single_turn`)
- `ballots`: the reward callable holds the vote (`majority_vote`)
- `probe`: some problems' votes are taken again on the way, for the collapse monitor
- `update`: the loss is SPINE's objective (`compute_loss`)

Here these make a step: sample, vote, advantage (`_generate_and_score_completions`), order the rows so that a problem's
responses stay together (`_prepare_inputs`), update (`training_step`).
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset, IterableDataset
from peft import PeftConfig, PeftModel
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin, TrainerCallback
from trl.trainer.utils import split_pixel_values_by_grid, split_tensor_dict, unsplit_pixel_values_by_grid

from spine_rl.engine.gguf import is_gguf
from spine_rl.engine.own_sampling import sampling_as_asked
from spine_rl.errors import ConfigError
from spine_rl.objective import compute_group_advantages
from spine_rl.training.checkpoints import gather_to_save
from spine_rl.training.collapse_guard import CollapseGuard
from spine_rl.training.config import SpineConfig
from spine_rl.training.dataset import check_gold, check_problems, compute_gold_keys, strip_dataset
from spine_rl.training.finite_steps import FiniteSteps
from spine_rl.training.micro_batches import arrange_rows, select_rows
from spine_rl.training.model_card import write_model_card
from spine_rl.training.phases import PhaseClock
from spine_rl.training.shared_scoring import unwrap_model
from spine_rl.training.step_statistics import StepStatistics
from spine_rl.training.update import UpdatingTrainer
from spine_rl.training.vision import (
    adapt_language_only,
    count_pixel_rows,
    freeze_vision_tower,
    outline_model,
    read_config,
)
from spine_rl.training.vllm_weights import completing_engine


class SpineTrainer(UpdatingTrainer):
    """Adapts a model to unlabelled problems by test-time reinforcement learning.

    Example:
        ```python
        question = [{"role": "user", "content": "What is 2+3? Answer in \\boxed{}."}]
        trainer = SpineTrainer(
            "Qwen/Qwen2.5-0.5B-Instruct",
            args=SpineConfig(output_dir="out", preset="spine"),
            train_dataset=Dataset.from_list([{"prompt": question}, ...]),
        )
        trainer.train()
        ```

    Args:
        model: A causal or image-text-to-text model, its folder, or its hub id. With a KL anchor (`beta` > 0) it
            is loaded a second time, as it was at the start, so its folder must stay there during the run.
        args: Configuration.
        train_dataset: Has a column `prompt`: chat messages, or text that the model reads without its chat template. A
            unique `problem_id` groups responses; without one, rows are problems. Of other columns only `image` and
            `images` are read.
        processing_class: Tokenizer or processor; by default the model's own.
        gold_answers: Problem id → gold answer, for diagnosis: the accuracy of pseudo-labels and rewards is logged. They
            take no part in training, but for `label_rule="gold"`.
        callbacks: As in transformers.
        optimizers: As in transformers.
        peft_config: Trains this adapter instead of the whole model.

    Raises:
        DataError: The data set has no `prompt`, an id twice, or too few problems for one step.
        ConfigError: Gold rewards are asked for and gold answers are missing.
    """

    _tag_names = ["spine", "test-time-rl"]
    _name = "SPINE"
    args: SpineConfig

    def __init__(
        self,
        model: str | PreTrainedModel,
        args: SpineConfig | None = None,
        train_dataset: Dataset | IterableDataset | None = None,
        processing_class: PreTrainedTokenizerBase | ProcessorMixin | None = None,
        *,
        gold_answers: Mapping[str, str] | None = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[torch.optim.Optimizer | None, torch.optim.lr_scheduler.LambdaLR | None] = (None, None),
        peft_config: PeftConfig | None = None,
    ):
        args = SpineConfig() if args is None else args
        train_dataset = strip_dataset(train_dataset)
        check_problems(train_dataset, args)
        self.objective = args.objective
        self.gold_keys = compute_gold_keys(train_dataset, gold_answers or {}, args)
        if "gold_key" in args.get_label_rule().needs:
            check_gold(train_dataset, self.gold_keys)
        _check_reference(model, args, peft_config)
        if peft_config is not None:
            adapt_language_only(peft_config, outline_model(model, args) if isinstance(model, str) else model)
        config = read_config(model, args) if isinstance(model, str) else model.config
        args.choose_precision(config.get_text_config().hidden_size)
        self.clock = PhaseClock(synchronizes=args.profile_phases)
        self._statistics = StepStatistics()
        self._vote_signals = {}
        with completing_engine(self, train_dataset):
            super().__init__(
                model=model,
                reward_funcs=self.majority_vote,
                args=args,
                train_dataset=train_dataset,
                processing_class=processing_class,
                callbacks=callbacks,
                optimizers=optimizers,
                peft_config=peft_config,
            )
        gather_to_save(self.accelerator)
        if args.freeze_vision:
            freeze_vision_tower(unwrap_model(self.model))
        _check_trains(self.model)
        if not isinstance(self.model, PeftModel):
            _warn_of_16_bits(unwrap_model(self.model))
        self.add_callback(_OptimizerTimer(self.clock))
        self.share_prompts()
        self.share_generation()
        folder = Path(cast(str, args.output_dir))
        self.guard = CollapseGuard(self, folder, args)
        self.finite_steps = FiniteSteps(self)
        self.add_callback(self.guard)
        self.add_callback(self.finite_steps)

    @property
    def unwrapped_model(self) -> Any:
        """The model that is trained, or its adapter, without wrappers of processes."""
        return self.accelerator.unwrap_model(self.model)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        own = sampling_as_asked(unwrap_model(self.model))
        with self._processing_once(), own:
            probed = self._probe_if_due(len(inputs))
            with self.clock.phase("generate"):
                batch = count_pixel_rows(super()._generate_and_score_completions(inputs))
        if self._needed_statistics:
            self._measure_and_elect(batch)
        assert self._election is not None
        self._vote_signals |= probed
        advantages = compute_group_advantages(
            self._election.rewards,
            self._election.group_ids,
            std=self.args.advantage_std,
            epsilon=self.args.advantage_epsilon,
        )
        batch["advantages"] = advantages[self._election.local].to(batch["advantages"].device)
        if self.objective.kl_coef > 0:
            batch["num_forks"] = self._count_forks(batch)
        return batch

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        """TRL's, with rows in another order than shuffled ones."""
        assert self.args.steps_per_generation is not None
        micro_batches = self.args.steps_per_generation
        if self._begins_anew:
            assert self._buffered_inputs is not None
            return cast(list[Any], self._buffered_inputs)[self._step % micro_batches]
        buffered = self._buffered_inputs is not None and self._step % (micro_batches * self.num_iterations) != 0
        if not self.model.training or buffered:  # pyright: ignore[reportOptionalMemberAccess]
            return super()._prepare_inputs(generation_batch)
        batch = self._generate_and_score_completions(generation_batch)
        assert self._election is not None
        batch["group_ids"] = self._election.group_ids[self._election.local].to(batch["prompt_ids"].device)
        order = arrange_rows(
            self._election.group_ids[self._election.local].tolist(),
            batch["completion_mask"].sum(1).tolist(),
            num_windows=max(1, micro_batches // self.args.gradient_accumulation_steps),
        )
        slices: list[Any] = split_tensor_dict(select_rows(split_pixel_values_by_grid(batch), order), micro_batches)
        self._buffered_inputs = [unsplit_pixel_values_by_grid(part) for part in slices]
        return self._buffered_inputs[self._step % micro_batches]

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        # What `_prepare_inputs` and `compute_loss` do counts for their own phases; what is left is the backward pass.
        with self.clock.phase("backward", tells=False):
            loss = self._step_within_memory(model, inputs, num_items_in_batch)
        self.finite_steps.add_loss(loss)
        if self.accelerator.sync_gradients and not self.is_deepspeed_enabled:
            self._judge_step()
        return loss

    def compute_loss(self, *args: Any, **kwargs: Any) -> Tensor:
        loss = super().compute_loss(*args, **kwargs)
        if self.accelerator.sync_gradients and self.is_deepspeed_enabled:
            self._judge_step()  # its backward pass ends with the optimiser's step
        return loss

    def _judge_step(self) -> None:
        """With the step's loss computed, and its update not done."""
        statistics = self._statistics.pop(self.accelerator, kl=self.objective.kl_coef > 0)
        self.log_values(statistics)
        if self.weight_check is not None:
            self.weight_check.look(statistics.get("sampling/logp_gap"), self.state.global_step + 1)
        self._steps_since_log += 1
        self._steps_timed += 1
        if self._vote_signals:  # of a new generation: its responses are of the weights as they are
            self.guard.observe({**self._vote_signals, **statistics})
            self._vote_signals = {}

    def _save_rng_state(self, output_dir: str) -> None:
        """transformers', within the writing of a checkpoint: the best weights are part of what a run resumes with."""
        super()._save_rng_state(output_dir)
        if self.is_world_process_zero():
            self.guard.save(Path(output_dir))

    def create_model_card(self, model_name: str | None = None, dataset_name: str | None = None, tags: Any = None):
        if self.is_world_process_zero():
            name, history = model_name or "spine-adapted", self.state.log_history
            write_model_card(self.args, name, dataset_name, history, self.guard.kept)


def _check_reference(model: str | PreTrainedModel, args: SpineConfig, peft_config: PeftConfig | None) -> None:
    """Raises ConfigError where the KL anchor's reference could not be read."""
    is_loaded = isinstance(model, PreTrainedModel)
    if is_loaded and args.beta > 0 and peft_config is None and is_gguf(model.name_or_path or ""):
        raise ConfigError(
            f"beta={args.beta}: its reference is read again, which cannot be from a .gguf file; "
            "give use_peft=True, whose base is the reference, or a folder in which the model was saved"
        )


def _check_trains(model: Any) -> None:
    """Raises ConfigError where no step would change anything."""
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ConfigError(
            "model: all its weights are fixed, and nothing would be trained; load an adapter by "
            "PeftModel.from_pretrained(..., is_trainable=True)"
        )


def _warn_of_16_bits(model: Any) -> None:
    types = {weight.dtype for weight in model.parameters() if weight.requires_grad}
    if types & {torch.bfloat16, torch.float16}:
        warnings.warn(
            f"weights are trained in {', '.join(sorted(map(str, types)))}, which rounds small updates away; load them "
            "with dtype=float32, autocast computes in 16 bits all the same",
            stacklevel=3,
        )


class _OptimizerTimer(TrainerCallback):
    def __init__(self, clock: PhaseClock):
        self._clock = clock

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        self._clock.start("optimise")

    def on_optimizer_step(self, args, state, control, **kwargs):
        self._clock.stop()
