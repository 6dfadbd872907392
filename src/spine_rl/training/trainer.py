"""`SpineTrainer`: TRL's GRPOTrainer with the vote as its reward and SPINE's objective as its loss.

TRL samples, buffers, shuffles and splits; the seams used, each by extension:

- the reward callable holds the vote (`majority_vote`);
- `_generate_and_score_completions` is extended, never copied: the advantages it returns are replaced by SPINE's;
- `_prepare_inputs` orders the rows of a generation batch, so that a problem's responses stay together;
- `_get_per_token_logps_and_entropies` runs each prompt once per problem (`spine_rl.engine`);
- `compute_loss` is SPINE's objective on per-token log-probabilities and entropies;
- `training_step` is timed;
- `_get_train_sampler` is told its epoch, and `_get_dataloader` reads the rows it repeats once.
"""

import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils.memory import clear_device_cache
from datasets import Dataset, IterableDataset
from peft import PeftConfig, PeftModel
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin, TrainerCallback
from trl import GRPOTrainer
from trl.trainer.utils import RepeatSampler, split_pixel_values_by_grid, split_tensor_dict, unsplit_pixel_values_by_grid

from spine_rl.answers import response_key
from spine_rl.engine.budget import TokenBudget
from spine_rl.engine.generation import Generator, add_shared_generation
from spine_rl.engine.gguf import is_gguf
from spine_rl.engine.models import get_hidden_size
from spine_rl.engine.own_sampling import sampling_as_asked
from spine_rl.engine.processing import OncePerPrompt
from spine_rl.engine.progress import tell
from spine_rl.errors import ConfigError
from spine_rl.monitor import RESPONSES
from spine_rl.objective import (
    TokenBatch,
    compute_group_advantages,
    compute_loss,
    count_forks,
    select_forks,
    select_rows_with_gradient,
)
from spine_rl.training.checkpoints import CheckpointingTrainer
from spine_rl.training.collapse_guard import CollapseGuard
from spine_rl.training.config import SpineConfig
from spine_rl.training.dataset import (
    AnswerFormat,
    check_gold,
    check_problems,
    compute_gold_keys,
    get_answer_format,
    strip_dataset,
)
from spine_rl.training.election import (
    Election,
    Response,
    hold_election,
    make_label_choice,
    summarize_lengths,
)
from spine_rl.training.epochs import EpochSampler, number_epochs
from spine_rl.training.finite_steps import FiniteSteps
from spine_rl.training.first_labels import FirstLabels, compare_with_first_labels, forget_later
from spine_rl.training.micro_batches import arrange_rows, select_rows
from spine_rl.training.model_card import write_model_card
from spine_rl.training.phases import PhaseClock, measure_peak_memory
from spine_rl.training.pieces import cut_inputs, select_token_inputs
from spine_rl.training.read_once import ReadOnce
from spine_rl.training.samples import TokenRecorder
from spine_rl.training.shared_scoring import SharedScoring, eval_mode, is_split, unwrap_model
from spine_rl.training.step_statistics import StepStatistics, measure_sampler_gap
from spine_rl.training.vision import (
    adapt_language_only,
    allow_no_images,
    count_pixel_rows,
    freeze_vision_tower,
    outline_model,
)
from spine_rl.training.vote_only import ExtraVotes, draw_extra_votes
from spine_rl.voting import Key, judge_ballots, summarize_ballots


class SpineTrainer(CheckpointingTrainer):
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
            take no part in training, but for `reward_source="gold"`.
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
        if args.reward_source == "gold":
            check_gold(train_dataset, self.gold_keys)
        is_loaded = isinstance(model, PreTrainedModel)
        if is_loaded and args.beta > 0 and peft_config is None and is_gguf(model.name_or_path or ""):
            raise ConfigError(
                f"beta={args.beta}: its reference is read again, which cannot be from a .gguf file; "
                "give use_peft=True, whose base is the reference, or a folder in which the model was saved"
            )
        if peft_config is not None:
            adapt_language_only(peft_config, outline_model(model, args) if isinstance(model, str) else model)
        args.choose_precision(get_hidden_size(model))
        self.clock = PhaseClock(synchronizes=args.profile_phases)
        self.token_recorder: TokenRecorder | None = None  # set it, and micro-batches are recorded
        self._statistics = StepStatistics()
        self._election: Election | None = None
        self._steps_since_log = 0
        self._vote_signals: dict[str, float] = {}  # of the generation whose first update is being computed
        self._begins_anew = False  # an optimiser step that ran out of memory, with the responses that it has
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
        if args.freeze_vision:
            freeze_vision_tower(unwrap_model(self.model))
        if not isinstance(self.model, PeftModel):
            _warn_of_16_bits(unwrap_model(self.model))
        self.add_callback(_OptimizerTimer(self.clock))
        self.budget = TokenBudget(unwrap_model(self.model), self.accelerator.device)
        self.sharing = SharedScoring(args, self.accelerator, self.budget, balances_router=self.aux_loss_enabled)
        for scored in (self.model, self.ref_model):
            if scored is not None:
                if self._is_vlm:
                    allow_no_images(unwrap_model(scored))
                self.sharing.add_to(scored)
        other_engine = args.use_vllm or args.use_transformers_continuous_batching
        self.generator: Generator | None = None  # TRL's own way without one
        if args.prompt_sharing != "off" and not other_engine and not self.is_sharded and not is_split(self.model):
            self.generator = add_shared_generation(unwrap_model(self.model), args.generation_dtype)
        folder = Path(cast(str, args.output_dir))
        self.guard = CollapseGuard(self, folder, on_collapse=args.on_collapse, keep_best=args.keep_best != "none")
        self.finite_steps = FiniteSteps(self)
        self.add_callback(self.guard)
        self.add_callback(self.finite_steps)

    @property
    def unwrapped_model(self) -> Any:
        """The model that is trained, or its adapter, without wrappers of processes."""
        return self.accelerator.unwrap_model(self.model)

    @property
    def is_sharded(self) -> bool:
        """Whether processes hold parts of the weights, and so must make the same calls."""
        return self.sharing.is_sharded

    # ---- sample, vote, advantage

    def majority_vote(
        self, prompts: list, completions: list, completion_ids: list[list[int]], problem_id: list[str], **columns: Any
    ) -> list[float | None]:
        """TRL's reward callable: this process's completions in, their rewards out; the vote is over all processes."""
        problem_ids = [*map(str, problem_id)]
        nothing = [None] * len(prompts)
        formats = [
            get_answer_format(answer_type, options, self.args)
            for answer_type, options in zip(
                columns.get("answer_type", nothing), columns.get("options", nothing), strict=True
            )
        ]
        with self.clock.phase("vote"):
            cut_off = [*map(self._is_cut_off, completion_ids)]
            keys = [*map(self._key, completions, formats, cut_off)]
        extra = self._draw_extra_votes(prompts, problem_ids, keys, formats)
        with self.clock.phase("vote"):
            responses = [
                Response(id_, key, len(ids), truncated, tuple(more.keys), more.length)
                for id_, key, ids, truncated, more in zip(
                    problem_ids, keys, completion_ids, cut_off, extra, strict=True
                )
            ]
            self._election = hold_election(
                responses,
                process_index=self.accelerator.process_index,
                num_processes=self.accelerator.num_processes,
                rule=self.args.vote_rule,
                choose_label=make_label_choice(
                    self.args.reward_source or "vote",
                    self.gold_keys,
                    seed=self.args.seed,
                    step=self.state.global_step,
                ),
            )
            self._log_election(self._election)
        return self._election.rewards[self._election.local].tolist()

    def _is_cut_off(self, completion_ids: list[int]) -> bool:
        return not completion_ids or completion_ids[-1] not in (*self.eos_token_ids, self._tokenizer.pad_token_id)

    def _key(self, completion: str | list[dict[str, Any]], answer_format: AnswerFormat, cut_off: bool) -> Key:
        text = completion if isinstance(completion, str) else completion[-1]["content"]
        return response_key(text, *answer_format, complete=not cut_off)

    def _draw_extra_votes(
        self, prompts: list, problem_ids: list[str], keys: list[Key], formats: list[AnswerFormat]
    ) -> list[ExtraVotes]:
        num_votes = self.args.num_votes
        if num_votes is None or num_votes == self.num_generations:
            return [ExtraVotes() for _ in prompts]

        def answer(prompts: list, rows: list[int]) -> list[tuple[Key, int]]:
            num_generations, self.num_generations = self.num_generations, 1  # rows are no whole groups
            trained = {name: [*values] for name, values in self._metrics["train"].items() if "completions/" in name}
            try:
                _, ids, _, completions, *_ = self._generate(prompts)
            finally:
                self.num_generations = num_generations
                self._metrics["train"].update(trained)  # what TRL says of completions is of those trained on
            return [
                (self._key(completions[i], formats[row], self._is_cut_off(ids[i])), len(ids[i]))
                for i, row in enumerate(rows)
            ]

        return draw_extra_votes(
            prompts,
            problem_ids,
            keys,
            answer,
            num_votes=num_votes,
            wave_size=self.args.vote_wave_size,
            rule=self.args.vote_rule,
            process_index=self.accelerator.process_index,
        )

    @contextmanager
    def _processing_once(self) -> Iterator[None]:
        """TRL gives a processor every row, twice a batch."""
        processor = self.processing_class
        if isinstance(processor, ProcessorMixin):
            self.processing_class = cast(ProcessorMixin, OncePerPrompt(processor, unwrap_model(self.model)))
        try:
            yield
        finally:
            self.processing_class = processor

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> tuple[list[list[int]], list[list[float]] | None]:
        """TRL's, and the log-probabilities that its `generate` drew with, where it is ours."""
        completion_ids, logps = super()._generate_single_turn(*args, **kwargs)
        if logps is None and self.generator is not None and self.generator.logps is not None:
            rows = zip(self.generator.logps.tolist(), completion_ids, strict=True)
            logps = [row[: len(ids)] for row, ids in rows]
        return completion_ids, logps

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        own = sampling_as_asked(unwrap_model(self.model))
        with self.clock.phase("generate"), self._processing_once(), own:
            batch = count_pixel_rows(super()._generate_and_score_completions(inputs))
        assert self._election is not None
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

    def _get_dataloader(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._get_dataloader(ReadOnce(dataset) if isinstance(dataset, Dataset) else dataset, *args, **kwargs)

    def _get_train_sampler(self, dataset: Dataset | None = None) -> EpochSampler:
        return number_epochs(cast(RepeatSampler, super()._get_train_sampler(dataset)))

    # ---- update

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

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """The loss, in pieces as large as memory allows: when it returns, gradients of all but the last are added."""
        if return_outputs:
            raise ValueError("SpineTrainer does not return outputs")
        self._is_updating = True
        with self.clock.phase("forward"):
            self._check_sharing(model, inputs)
            if self.sharing.scores_in_pieces(model) and torch.is_grad_enabled():
                return self._run_pieces(model, inputs)
            sharded = self.sharing.is_sharded  # then every process makes the same calls
            most = self.budget.count_tokens(self.optimizer)
            *parts, last = [inputs] if sharded else cut_inputs(inputs, most, shares=self.sharing.serves(model))
            total = 0.0
            for part in parts:
                with self.accelerator.no_sync(model):
                    loss = self._score_and_compute_loss(
                        model, part, share=len(part["advantages"]) / len(inputs["advantages"])
                    )
                    self._run_backward(loss)
                total = total + loss.detach()
            return total + self._score_and_compute_loss(
                model, last, share=len(last["advantages"]) / len(inputs["advantages"])
            )

    def _run_pieces(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """Forward and backward of every piece, on prompts that are run once: what is returned has no graph left."""
        mask, done = inputs["completion_mask"], 0
        device, num_tokens = mask.device, int(mask.sum())
        total = torch.zeros((), device=device)
        with self.accelerator.autocast():  # held over all pieces: weights are cast once
            for piece in self.sharing.score_in_pieces(
                *self._list_rows(model, inputs),
                with_gradient=select_rows_with_gradient(inputs["advantages"], self.objective),
                max_tokens=self.budget.count_tokens(self.optimizer),
                **self._select_options(inputs),
            ):
                part = select_token_inputs(inputs, piece.rows)
                with torch.autocast(device.type, enabled=False):
                    loss = self._compute_loss(part, piece.logps, piece.entropies)
                    if loss.requires_grad:
                        self._run_backward(loss)
                total += loss.detach()
                done += int(part["completion_mask"].sum())
                tell("update", done, num_tokens, "tokens")
        return total.requires_grad_()

    def _score_and_compute_loss(self, model: Any, inputs: dict[str, Any], share: float) -> Tensor:
        """Of a part of a micro-batch, `share` of its rows."""
        logps, entropies, aux_loss = self._score_tokens(
            model,
            inputs,
            compute_aux_loss=self.aux_loss_enabled,
            with_gradient=select_rows_with_gradient(inputs["advantages"], self.objective),
        )
        loss = self._compute_loss(inputs, logps, entropies)
        if aux_loss is not None:  # a mixture of experts' load balance, averaged over micro-batches as TRL does
            loss = loss + share * self.router_aux_loss_coef * aux_loss / self.current_gradient_accumulation_steps
        return loss

    def _compute_loss(self, inputs: dict[str, Any], logps: Tensor, entropies: Tensor) -> Tensor:
        gap = measure_sampler_gap(logps, inputs)
        batch = TokenBatch(
            logps=logps,
            entropies=entropies,
            completion_mask=inputs["completion_mask"],
            advantages=inputs["advantages"],
            old_logps=inputs.get("old_per_token_logps"),
            ref_logps=inputs.get("ref_per_token_logps"),
            importance_ratio=self._importance_ratio(gap, inputs),
            token_ids=inputs["completion_ids"],
        )
        share = self._window_share()
        output = compute_loss(
            batch,
            self.objective,
            num_response_tokens=inputs["num_items_in_batch"] * share,
            num_forks=inputs.get("num_forks", 0) * share,
        )
        self._statistics.add(batch, output, gap)
        if self.token_recorder is not None and self.is_world_process_zero():
            self.token_recorder.record(self.state.global_step + 1, inputs, batch, output)
        return output.loss

    def _importance_ratio(self, gap: Tensor | None, inputs: dict[str, Any]) -> Tensor | None:
        """TRL's with vLLM; else what corrects for responses that 16-bit weights drew, by TRL's options for vLLM."""
        if "importance_sampling_ratio" in inputs:
            return inputs["importance_sampling_ratio"]
        corrects = self.args.vllm_importance_sampling_correction and self.generator is not None
        if gap is None or not corrects or not cast(Generator, self.generator).copies:
            return None
        return gap.exp().clamp(max=self.args.vllm_importance_sampling_clip_max)

    def _run_backward(self, loss: Tensor) -> None:
        with self.clock.phase("backward"):
            self.accelerator.backward(loss)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        # What `_prepare_inputs` and `compute_loss` do counts for their own phases; what is left is the backward pass.
        with self.clock.phase("backward"):
            loss = self._step_within_memory(model, inputs, num_items_in_batch)
        self.finite_steps.add_loss(loss)
        if self.accelerator.sync_gradients:
            statistics = self._statistics.pop(self.accelerator, kl=self.objective.kl_coef > 0)
            self.log_values(statistics)
            self._steps_since_log += 1
            if self._vote_signals:  # of a new generation: its responses are of the weights as they are
                self.guard.observe({**self._vote_signals, **statistics})
                self._vote_signals = {}
        return loss

    def _step_within_memory(self, model: Any, inputs: Any, num_items_in_batch: Any) -> Tensor:
        """TRL's step; out of memory in the update, this optimiser step's micro-batches anew, in smaller pieces."""
        first, last = self._step - self._step % self.current_gradient_accumulation_steps, self._step
        while True:
            self._is_updating = False
            try:
                while True:
                    loss = super().training_step(model, inputs, num_items_in_batch)
                    if self._step > last:
                        self._begins_anew = False
                        return loss
            except torch.OutOfMemoryError:
                if not self._is_updating or self.accelerator.num_processes > 1:
                    raise
            self.budget.halve()  # out of the handler, which holds the graph that did not fit
            model.zero_grad()
            self._statistics, self._step, self._begins_anew = StepStatistics(), first, True
            clear_device_cache(garbage_collection=True)

    def _window_share(self) -> float:
        """What turns a count over the generation batch and all processes into this process's denominator.

        A generation batch may serve several optimiser steps, each taking its share; gradients are averaged over
        processes.
        """
        assert self.args.steps_per_generation is not None
        share = self.current_gradient_accumulation_steps / self.args.steps_per_generation
        return share / self.accelerator.num_processes

    def _score_tokens(self, model: Any, inputs: dict[str, Any], **options: Any) -> tuple[Tensor, Any, Tensor | None]:
        """Log-probabilities and entropies (B, T) of the responses, at the sampling temperature."""
        return self._get_per_token_logps_and_entropies(
            *self._list_rows(model, inputs), compute_entropy=True, **self._select_options(inputs), **options
        )

    def _list_rows(self, model: Any, inputs: dict[str, Any]) -> tuple[Any, Tensor, Tensor, int]:
        """Model, prompts with responses, their mask, and the width of the responses: as TRL scores rows."""
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
        mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
        return model, ids, mask, inputs["completion_ids"].size(1)

    def _select_options(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """What else is known of the rows: pictures, and whose prompt is whose."""
        images = {name: inputs[name] for name in _SCORING_PARAMETERS & inputs.keys()}
        return {**count_pixel_rows(images), "group_ids": inputs.get("group_ids")}

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        with_gradient: Tensor | None = None,
        group_ids: Tensor | None = None,
        **images: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """TRL's, by the shared forward where that is exact: in the update, and for old and reference ones."""
        images = count_pixel_rows(images)
        rows = (model, input_ids, attention_mask, logits_to_keep)
        while self.sharing.serves(model) and self.sharing.must_check(model):
            some = len(input_ids) if images else max(2, _CHECKED_TOKENS // input_ids.size(1))
            self._compare_paths(model, input_ids[:some], attention_mask[:some], logits_to_keep, None, **images)
        if not self.sharing.serves(model):
            options = {"compute_entropy": compute_entropy, "compute_aux_loss": compute_aux_loss}
            return super()._get_per_token_logps_and_entropies(*rows, batch_size, **options, **images)
        graph = torch.is_grad_enabled()
        with self.accelerator.autocast():
            return *self.sharing.score(
                *rows,
                with_gradient=with_gradient,
                group_ids=group_ids,
                max_tokens=None if graph else self.budget.count_tokens(with_gradient=False),
                **images,
            ), None

    def _check_sharing(self, model: Any, inputs: dict[str, Any]) -> None:
        """Before a model's first use: a few responses by the shared path and the plain one, which must agree."""
        while self.sharing.serves(model) and self.sharing.must_check(model):
            some = cut_inputs(inputs, _CHECKED_TOKENS)[0]
            options = self._select_options(some)
            self._compare_paths(*self._list_rows(model, some), options.pop("group_ids"), **options)

    def _compare_paths(
        self, model: Any, ids: Tensor, attention_mask: Tensor, width: int, group_ids: Tensor | None, **images: Any
    ) -> None:
        mask, rows = attention_mask[:, -width:].bool(), (model, ids, attention_mask, width)
        with torch.no_grad(), self.accelerator.autocast(), eval_mode(model):
            plain = super()._get_per_token_logps_and_entropies(*rows, **images)[0]
            try:
                shared = self.sharing.score(*rows, group_ids=group_ids, **images)[0]
            except Exception as error:
                if not self.sharing.is_packed(model):
                    raise
                return self.sharing.refuse(model, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
            return self.sharing.compare(model, shared[mask], plain[mask])

    def _count_forks(self, batch: dict[str, Any]) -> Tensor:
        """Forks of the generation batch over all processes: the KL anchor's denominator, fixed before any update.

        Otsu's count depends on the entropies, which costs a forward pass of its own.
        """
        objective, mask = self.objective, batch["completion_mask"].bool()
        counts = count_forks(mask.sum(1), objective.fork_selector, fraction=objective.fork_fraction)
        if counts is None:
            with self.clock.phase("forward"), torch.no_grad():
                _, entropies, _ = self._score_tokens(self.model, batch)
            counts = select_forks(entropies, mask, objective.fork_selector, num_bins=objective.otsu_bins).sum(1)
        return cast(Tensor, self.accelerator.reduce(counts.sum(), reduction="sum"))

    # ---- what a run shows and keeps

    def _log_election(self, election: Election) -> None:
        if self.accelerator.is_main_process and all(ballot.pseudo_label is None for ballot in election.ballots):
            warnings.warn(
                f"no response of step {self.state.global_step + 1} has a readable answer (answer_type="
                f"{self.args.answer_type!r}): no update from the vote; check answer_type, max_completion_length and "
                "whether the prompts ask for the answer's format",
                stacklevel=2,
            )
        votes = summarize_ballots(election.ballots)
        votes |= compare_with_first_labels(self._first_labels, election.ballots, self.state.global_step)
        signals = {f"vote/{name}": value for name, value in votes.items()} | summarize_lengths(election.responses)
        signals[RESPONSES] = float(len(election.responses))
        self.log_values(signals)
        step = self.state.global_step + 1
        self._vote_signals = {**signals, "step": step}
        if self._steps_an_epoch is not None:
            self._vote_signals["epoch"] = step / self._steps_an_epoch
        judged = judge_ballots(election.ballots, self.gold_keys)  # diagnosis: no part of what the guard sees
        self.log_values({f"vote/{name}": value for name, value in judged.items()})
        generated = sum(response.length + response.extra_length for response in election.responses)
        self.log_values({"tokens_generated": float(generated)})

    @property
    def _steps_an_epoch(self) -> int | None:
        """Optimiser steps in which every problem is seen once, but for those left over; None of a stream."""
        args = self.args
        if not isinstance(self.train_dataset, Dataset):
            return None
        assert args.steps_per_generation is not None
        steps_a_generation = args.num_iterations * args.steps_per_generation // args.gradient_accumulation_steps
        return max(1, len(self.train_dataset) // args.problems_per_step) * max(1, steps_a_generation)

    @property
    def _first_labels(self) -> FirstLabels:
        """Kept where transformers writes it with a checkpoint, and reads it when a run is resumed."""
        return cast(dict[str, Any], self.state.stateful_callbacks).setdefault("first_labels", {})

    def _save_rng_state(self, output_dir: str) -> None:
        """transformers', within the writing of a checkpoint: the best weights are part of what a run resumes with."""
        super()._save_rng_state(output_dir)
        if self.is_world_process_zero():
            self.guard.save(Path(output_dir))

    def forget_after(self, step: int) -> None:
        """Of a run that goes back to a step's weights: first labels that later ones voted, responses they gave."""
        forget_later(self._first_labels, step)
        self._buffered_inputs = None

    def log_values(self, values: Mapping[str, float]) -> None:
        """Adds metrics to what the next logged step reports."""
        for name, value in values.items():
            self._metrics["train"][name].append(value)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if self._steps_since_log > 0:
            seconds = self.clock.pop()
            logs = logs | {f"seconds/{phase}": value / self._steps_since_log for phase, value in seconds.items()}
            logs["memory/peak_gib"] = measure_peak_memory()
            logs["skipped_steps"] = float(self.finite_steps.skipped)
            self._steps_since_log = 0
        super().log(logs, start_time)

    def create_model_card(self, model_name: str | None = None, dataset_name: str | None = None, tags: Any = None):
        if self.is_world_process_zero():
            kept = self.guard.kept
            write_model_card(self.args, model_name or "spine-adapted", dataset_name, self.state.log_history, kept)


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


_CHECKED_TOKENS = 1024  # of the first micro-batch, for which both paths are compared
_SCORING_PARAMETERS = inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters.keys() - {
    "self",
    "model",
    "input_ids",
    "attention_mask",
    "logits_to_keep",
    "batch_size",
    "compute_entropy",
    "compute_aux_loss",
}
