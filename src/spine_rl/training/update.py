"""The update: SPINE's loss, in pieces as large as memory allows."""

from typing import Any, cast

import torch
from accelerate.utils.memory import clear_device_cache
from torch import Tensor

from spine_rl.engine.generation import Generator
from spine_rl.engine.progress import tell
from spine_rl.objective import TokenBatch, compute_loss, select_rows_with_gradient
from spine_rl.training.pieces import cut_inputs, select_token_inputs
from spine_rl.training.probe import ProbingTrainer
from spine_rl.training.samples import TokenRecorder
from spine_rl.training.step_statistics import StepStatistics, measure_sampler_gap


class UpdatingTrainer(ProbingTrainer):
    """Computes the loss of a micro-batch, and its gradient piece by piece; out of memory, in smaller ones."""

    token_recorder: TokenRecorder | None = None  # set it, and micro-batches are recorded
    _statistics: StepStatistics
    _begins_anew = False  # an optimiser step that ran out of memory, with the responses that it has

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
            # Out of the handler, which holds the graph that did not fit.
            model.zero_grad()
            self._statistics, self._step, self._begins_anew = StepStatistics(), first, True
            clear_device_cache(garbage_collection=True)
            self.budget.halve()  # by what is free now: a graph in a cycle is memory until it is collected

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
        logps, entropies, aux_loss = self.score_tokens(
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
        """TRL's with vLLM; else what corrects for responses that 16-bit weights drew, by TRL's options for vLLM.

        (B, T), or (B, 1) in the modes that weigh whole responses.
        """
        args = self.args
        if "importance_sampling_ratio" in inputs:
            return inputs["importance_sampling_ratio"]
        corrects = args.vllm_importance_sampling_correction and self.generator is not None
        if gap is None or not corrects or not cast(Generator, self.generator).copies:
            return None
        mode, low, high = (
            args.vllm_importance_sampling_mode,
            args.vllm_importance_sampling_clip_min,
            args.vllm_importance_sampling_clip_max,
        )
        gap = gap.nan_to_num(nan=0.0)
        ratio = (gap.sum(1, keepdim=True) if mode.startswith("sequence") else gap).exp()
        cut = ratio if low is None and high is None else ratio.clamp(low, high)
        return cut if mode.endswith("truncate") else torch.where(cut == ratio, ratio, 0.0)

    def _run_backward(self, loss: Tensor) -> None:
        with self.clock.phase("backward"):
            self.accelerator.backward(loss)

    def _window_share(self) -> float:
        """What turns a count over the generation batch and all processes into this process's denominator.

        A generation batch may serve several optimiser steps, each taking its share; gradients are averaged over
        processes.
        """
        assert self.args.steps_per_generation is not None
        share = self.current_gradient_accumulation_steps / self.args.steps_per_generation
        return share / self.accelerator.num_processes
