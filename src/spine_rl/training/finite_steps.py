"""A step whose loss, gradient or weights are not finite is not taken, on all processes alike."""

import warnings
from typing import Any, cast

import torch
from torch import Tensor
from transformers import TrainerCallback

from spine_rl.training.best_weights import BestWeights, reset_moments
from spine_rl.training.whole_weights import get_local

MOST_IN_A_ROW = 3


class FiniteSteps(TrainerCallback):
    """Looks at every step before and after it changes the weights.

    Before, at the loss and the gradient: where one is not finite, the optimiser gets none. After, at the weights: where
    one is not finite, the last good ones that were kept come back. After three such steps in a row training ends; what
    the model then holds is finite.

    Attributes:
        skipped: Steps that were not taken so far.
        failure: Why training ended, in a sentence; None where it did not for this.
    """

    def __init__(self, trainer: Any):
        self._trainer = trainer
        self.failure: str | None = None
        self._loss: Tensor | None = None
        self._is_skipping = False
        self._scale: float | None = None  # before the step

    @property
    def _scaler(self) -> Any:
        """Of float16's gradients; None where there is none."""
        return getattr(self._trainer.accelerator, "scaler", None)

    @property
    def skipped(self) -> int:
        return self._counts["skipped"]

    @property
    def _counts(self) -> dict[str, int]:
        """Kept where transformers writes it with a checkpoint, so that a resumed run counts on."""
        nothing = {"skipped": 0, "in_a_row": 0}
        return cast(dict[str, Any], self._trainer.state.stateful_callbacks).setdefault("finite_steps", nothing)

    def add_loss(self, loss: Tensor) -> None:
        """A micro-batch's."""
        self._loss = loss.detach() if self._loss is None else self._loss + loss.detach()

    def on_train_begin(self, args, state, control, **kwargs):
        self.failure, self._loss = None, None

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        model, loss, self._loss = self._trainer.model, self._loss, None
        if self._trainer.is_deepspeed_enabled:  # its optimiser steps with the backward pass: the weights tell, after it
            return
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        # A scaler of float16 finds gradients that overflow by itself, and lowers its scale.
        self._scale = None if self._scaler is None else self._scaler.get_scale()
        self._is_skipping = not self._agree([] if loss is None else [loss]) or (
            self._scaler is None and not self._agree(gradients)
        )
        if self._is_skipping:
            self._drop_gradients(gradients)
            self._count("its loss or gradient is not finite", state, control)

    def _drop_gradients(self, gradients: list[Tensor]) -> None:
        if self._scaler is not None and self._trainer.args.max_grad_norm <= 0:
            for gradient in gradients:  # the scaler has not looked at them yet, and fails where there are none
                gradient.fill_(torch.nan)
        else:
            self._trainer.model.zero_grad(set_to_none=True)  # an optimiser leaves weights without a gradient alone

    def on_optimizer_step(self, args, state, control, **kwargs):
        if self._is_skipping:
            return
        if self._scale is not None and self._scaler.get_scale() < self._scale:
            if self._scaler.get_scale() < 1:
                self._count("its gradient is not finite at any scale", state, control)
            else:  # a run finds its scale so, and goes on
                self._counts["skipped"] += 1
            return
        if self._agree([weight for weight in self._trainer.model.parameters() if weight.requires_grad]):
            self._counts["in_a_row"] = 0
            return
        weights: BestWeights | None = self._trainer.guard.weights
        if weights is None:
            self.failure = f"step {state.global_step + 1} left weights that are not finite, and none were kept"
            control.should_training_stop = True
            return
        weights.put_back(self._trainer.optimizer)
        reset_moments(self._trainer.optimizer)
        self._count("it would leave weights that are not finite; the best ones so far are back", state, control)

    def _count(self, reason: str, state: Any, control: Any) -> None:
        counts = self._counts
        counts["skipped"] += 1
        counts["in_a_row"] += 1
        warnings.warn(f"step {state.global_step + 1} is not taken: {reason}", stacklevel=3)
        if counts["in_a_row"] >= MOST_IN_A_ROW:
            self.failure = (
                f"{MOST_IN_A_ROW} steps in a row were not taken, the last because {reason}; lower learning_rate"
            )
            control.should_training_stop = True

    def _agree(self, tensors: list[Tensor]) -> bool:
        """Whether all are finite, on every process; one collective, where there are several."""
        accelerator = self._trainer.accelerator
        parts = [part for part in map(get_local, tensors) if part.numel() > 0]
        norms = torch._foreach_norm(parts, torch.inf) if parts else []
        largest = [norm.to(accelerator.device, torch.float32) for norm in norms]  # a split model's are on several
        finite = not largest or bool(torch.stack(largest).isfinite().all())
        if accelerator.num_processes == 1:
            return finite
        flag = torch.tensor(float(not finite), device=accelerator.device)
        return cast(Tensor, accelerator.reduce(flag, reduction="sum")).item() == 0
