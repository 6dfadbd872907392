"""Log-probabilities and entropies of responses, each prompt run once per problem where that is exact."""

import inspect
from typing import Any, cast

import torch
from torch import Tensor
from trl import GRPOTrainer

from spine_rl.engine.budget import TokenBudget
from spine_rl.engine.models import eval_mode
from spine_rl.errors import shorten
from spine_rl.objective import Objective, count_forks, select_forks
from spine_rl.training.logs import LoggingTrainer
from spine_rl.training.pieces import cut_inputs
from spine_rl.training.shared_scoring import SharedScoring, unwrap_model
from spine_rl.training.vision import allow_no_images, count_pixel_rows

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


class ScoringTrainer(LoggingTrainer):
    """Scores rows by the shared forward; before a model's first use it must agree with TRL's."""

    objective: Objective

    @property
    def is_sharded(self) -> bool:
        """Whether processes hold parts of the weights, and so must make the same calls."""
        return self.sharing.is_sharded

    def share_prompts(self) -> None:
        """Prepares the models, before they are wrapped for the first step."""
        self.budget = TokenBudget(unwrap_model(self.model), self.accelerator.device)
        self.sharing = SharedScoring(self.args, self.accelerator, balances_router=self.aux_loss_enabled)
        for scored in (self.model, self.ref_model):
            if scored is not None:
                if self._is_vlm:
                    allow_no_images(unwrap_model(scored))
                self.sharing.add_to(scored)

    def score_tokens(self, model: Any, inputs: dict[str, Any], **options: Any) -> tuple[Tensor, Any, Tensor | None]:
        """Log-probabilities and entropies (B, T) of the responses, at the sampling temperature."""
        return self._get_per_token_logps_and_entropies(
            *self._list_rows(model, inputs), compute_entropy=True, **self._select_options(inputs), **options
        )

    def score_plainly(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """Log-probabilities (B, T) by TRL's own forward, each prompt once per response."""
        images = {name: value for name, value in self._select_options(inputs).items() if name != "group_ids"}
        size = self.args.per_device_train_batch_size
        return super()._get_per_token_logps_and_entropies(*self._list_rows(model, inputs), batch_size=size, **images)[0]

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
        while self.sharing.awaits_comparison(model):
            some = len(input_ids) if images else max(2, _CHECKED_TOKENS // input_ids.size(1))
            self._compare_paths(model, input_ids[:some], attention_mask[:some], logits_to_keep, None, **images)
        if not self.sharing.serves(model):
            options = {"compute_entropy": compute_entropy, "compute_aux_loss": compute_aux_loss}
            size = batch_size or self.args.per_device_train_batch_size  # the rows may be a whole generation's
            return super()._get_per_token_logps_and_entropies(*rows, size, **options, **images)
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
        while self.sharing.awaits_comparison(model):
            some = cut_inputs(inputs, _CHECKED_TOKENS, shares=True)[0]
            options = self._select_options(some)
            self._compare_paths(*self._list_rows(model, some), options.pop("group_ids"), **options)

    def _compare_paths(
        self, model: Any, ids: Tensor, attention_mask: Tensor, width: int, group_ids: Tensor | None, **images: Any
    ) -> None:
        mask, rows = attention_mask[:, -width:].bool(), (model, ids, attention_mask, width)
        failure = None
        with torch.no_grad(), self.accelerator.autocast(), eval_mode(model):
            plain = super()._get_per_token_logps_and_entropies(*rows, **images)[0]
            try:
                shared = self.sharing.score(*rows, group_ids=group_ids, **images)[0]
            except Exception as error:
                if not self.sharing.is_packed(model):
                    raise
                shared, failure = plain, f"{type(error).__name__}: {shorten(error, 200)}"
            self.sharing.compare(model, shared[mask], plain[mask], failure)

    def _count_forks(self, batch: dict[str, Any]) -> Tensor:
        """Forks of the generation batch over all processes: the KL anchor's denominator, fixed before any update.

        Otsu's count depends on the entropies, which costs a forward pass of its own.
        """
        objective, mask = self.objective, batch["completion_mask"].bool()
        counts = count_forks(mask.sum(1), objective.fork_selector, fraction=objective.fork_fraction)
        if counts is None:
            with self.clock.phase("forward"), torch.no_grad():
                _, entropies, _ = self.score_tokens(self.model, batch)
            counts = select_forks(entropies, mask, objective.fork_selector, num_bins=objective.otsu_bins).sum(1)
        return cast(Tensor, self.accelerator.reduce(counts.sum(), reduction="sum"))
