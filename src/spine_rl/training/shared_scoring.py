"""From TRL's padded rows to the shared forward, and when not to take it."""

import warnings
from collections.abc import Iterator
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from peft import PeftModel
from torch import Tensor
from trl.trainer.utils import split_pixel_values_by_grid

from spine_rl.engine.forward import add_shared_forward, score_in_pieces
from spine_rl.engine.groups import group_by_id, group_rows
from spine_rl.engine.models import learns_prompt
from spine_rl.engine.packed import find_packing_obstacle
from spine_rl.engine.progress import tell
from spine_rl.engine.shared_batch import TOKEN_TYPES, Piece, SharedBatch, list_uncached_types
from spine_rl.training.config import SpineConfig

# What the two paths' log-probabilities may differ by, in nats, where both are computed once to compare them.
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_LOW_PRECISION_TOLERANCE = 0.05


class SharedScoring:
    """Scores rows of TRL's batches by the shared forward, if the model allows it; else says why, once.

    Args:
        args: The run's.
        accelerator: The run's: a sharded model makes the same calls on every process.
        balances_router: There is an auxiliary loss of a mixture of experts.
    """

    def __init__(self, args: SpineConfig, accelerator: Accelerator, *, balances_router: bool = False):
        self._args, self._accelerator, self._balances_router = args, accelerator, balances_router
        self.is_sharded = accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)
        self._ways: dict[int, str] = {}
        self._checked: set[int] = set()

    def add_to(self, model: Any) -> None:
        """Prepares a model that is not yet wrapped; one that cannot be served exactly is left as it is."""
        asked = self._args.prompt_sharing
        if asked == "off":
            self._take(model, "off")
            return
        packing = self._find_packing_obstacle(model)
        if asked != "two-calls" and packing is None:
            self._take(model, "packed")
        else:
            if asked == "packed":
                warnings.warn(f"prompt_sharing=packed: two calls are taken, as {packing}", stacklevel=2)
            obstacle = self._find_obstacle(model)
            if obstacle is not None:
                self.refuse(model, obstacle)
                return
            self._take(model, "two-calls")
        float32_head = self._args.cast_lm_head_to_fp32
        add_shared_forward(unwrap_model(model), self._args.temperature, float32_head=float32_head)

    def _take(self, model: Any, way: str) -> None:
        self._ways[id(unwrap_model(model))] = way
        tell(f"prompts in the update: {way}", 1, 1)

    def _find_packing_obstacle(self, model: Any) -> str | None:
        if self.is_sharded:
            return "its weights are sharded"
        return self._find_obstacle(model, packed=True) or find_packing_obstacle(
            unwrap_model(model), self._accelerator.device
        )

    def _find_obstacle(self, model: Any, *, packed: bool = False) -> str | None:
        fsdp = getattr(self._accelerator.state, "fsdp_plugin", None)
        return find_obstacle(
            model,
            self._args,
            checkpoints_layers=getattr(fsdp, "activation_checkpointing", None) is True,
            balances_router=self._balances_router,
            packed=packed,
        )

    def serves(self, model: Any) -> bool:
        """Whether `model`, wrapped or not, is scored by the shared forward."""
        return self._ways[id(unwrap_model(model))] != "off"

    def is_packed(self, model: Any) -> bool:
        """Whether `model` runs prompts and responses in one call."""
        return self._ways[id(unwrap_model(model))] == "packed"

    def awaits_comparison(self, model: Any) -> bool:
        """Whether both paths are still to be compared, as they are before the shared one is first used."""
        return self.serves(model) and id(unwrap_model(model)) not in self._checked

    def compare(self, model: Any, shared: Tensor, plain: Tensor, failure: str | None = None) -> None:
        """Refuses the model if log-probabilities (N,) of the same tokens differ by more than rounding, on any process.

        To be called as the model is run, within autocast or without; by every process, as they decide together.

        Args:
            model: Wrapped or not.
            shared: By the shared forward.
            plain: By TRL's.
            failure: Why this process has none by the shared forward.
        """
        self._checked.add(id(unwrap_model(model)))
        difference = (shared - plain).abs().mean() if len(plain) > 0 else shared.new_zeros(())
        difference = difference if failure is None else torch.full_like(difference, torch.inf)
        everywhere = cast(Tensor, self._accelerator.gather(difference.float().reshape(1)))
        difference = everywhere.nan_to_num(nan=torch.inf).max().item()
        device = shared.device.type
        autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        precision = autocast or next(model.parameters()).dtype
        if difference > _TOLERANCE.get(precision, _LOW_PRECISION_TOLERANCE):
            differs = f"its log-probabilities differ by {difference:.2g} nats from the plain forward's"
            self.refuse(model, failure or differs)

    def scores_in_pieces(self, model: Any) -> bool:
        """Whether the backward pass may come in pieces on prompts that are run once: no other process waits for it."""
        alone = self._accelerator.num_processes == 1 and not self.is_sharded
        return alone and self.serves(model) and not self.is_packed(model)

    def score_in_pieces(self, model: Any, *rows: Any, max_tokens: int, **options: Any) -> Iterator[Piece]:
        """As `score`, for `spine_rl.engine.forward.score_in_pieces`; autocast is the caller's."""
        batch = self._build_batch(model, *rows, max_tokens=max_tokens, **options)
        return score_in_pieces(
            unwrap_model(model), batch, self._args.temperature, float32_head=self._args.cast_lm_head_to_fp32
        )

    def score(self, model: Any, *rows: Any, **options: Any) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies (B, T) of the last T tokens of each row.

        Args:
            model: Wrapped or not.
            rows: And `options`, as of `_build_batch`.
            options: The same.
        """
        output = model(shared_batch=self._build_batch(model, *rows, **options))
        return output["log_probs"], output["entropy"]

    def _build_batch(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        num_response_tokens: int,
        *,
        with_gradient: Tensor | None = None,
        group_ids: Tensor | None = None,
        max_tokens: int | None = None,
        **images: Any,
    ) -> SharedBatch:
        """Rows by prompt.

        Args:
            model: Wrapped or not.
            input_ids: (B, P + T): prompts padded on the left, responses on the right.
            attention_mask: (B, P + T).
            num_response_tokens: T.
            with_gradient: (B,) false at rows whose statistics need no gradient; default all need it.
            group_ids: (B,) the same number of rows with the same prompt; default these are found by content.
            max_tokens: Run together at most.
            images: Further inputs, as in TRL's batches.
        """
        width = input_ids.size(1) - num_response_tokens
        types = {name: images.pop(name)[:, :width] for name in TOKEN_TYPES if images.get(name) is not None}
        images = split_images(images)
        if group_ids is not None:
            groups = group_by_id(group_ids)
        else:
            groups = group_rows(input_ids[:, :width], attention_mask[:, :width], list(images.values()))
        first = groups.first
        if with_gradient is None:
            with_gradient = torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)
        return SharedBatch(
            prompt_ids=input_ids[first, :width],
            prompt_mask=attention_mask[first, :width],
            completion_ids=input_ids[:, width:],
            completion_mask=attention_mask[:, width:],
            group_index=groups.index,
            with_gradient=with_gradient,
            prompt_inputs={name: [rows[row] for row in first.tolist()] for name, rows in images.items()},
            token_types={name: types_[first] for name, types_ in types.items()},
            max_tokens=max_tokens,
            one_call=self.is_sharded,
            packed=self.is_packed(model),
        )

    def refuse(self, model: Any, obstacle: str) -> None:
        """Has a model scored by the plain forward from now on; one that was packed by two calls, if it can be."""
        was_packed = self._ways.get(id(unwrap_model(model))) == "packed"
        if was_packed and self._find_obstacle(model) is None:
            self._checked.discard(id(unwrap_model(model)))
            warnings.warn(f"prompts and responses are run in two calls: {obstacle}", stacklevel=3)
            self._take(model, "two-calls")
        else:
            warnings.warn(f"prompts are run once per response, not once per problem: {obstacle}", stacklevel=3)
            self._take(model, "off")


def find_obstacle(
    model: Any,
    args: SpineConfig,
    *,
    checkpoints_layers: bool = False,
    balances_router: bool = False,
    packed: bool = False,
) -> str | None:
    """What keeps the shared forward from being exact for this model and run, or None; `packed` needs no cache."""
    config = unwrap_model(model).config
    uncached = list_uncached_types(config.get_text_config())
    obstacles = {
        "gradient_checkpointing=True leaves no key-value cache; set it to False, sharing saves memory as well": (
            args.gradient_checkpointing and not packed
        ),
        "its layers are checkpointed, which leaves no key-value cache; call its gradient_checkpointing_disable(), as "
        "sharing saves memory as well": not packed and _checkpoints_layers(model),
        f"layers of type {', '.join(uncached)} keep no key-value cache": bool(uncached),
        "FSDP's activation_checkpointing runs layers twice, and a key-value cache takes them once": checkpoints_layers
        and not packed,
        "it is split over several devices": is_split(model),
        "it is an encoder-decoder": config.is_encoder_decoder,
        "prompt tuning puts learned tokens before the prompt": learns_prompt(model),
        "a mixture of experts balances its router over whole sequences; set router_aux_loss_coef to 0": balances_router,
    }
    return next((reason for reason, found in obstacles.items() if found), None)


def _checkpoints_layers(model: Any) -> bool:
    """Whether a model came so, as `prepare_model_for_kbit_training` leaves it; a run's own option acts later."""
    return any(getattr(module, "gradient_checkpointing", False) for module in unwrap_model(model).modules())


def is_split(model: Any) -> bool:
    """Whether a model's layers lie on several devices, as `device_map="auto"` has it."""
    return len(set((getattr(unwrap_model(model), "hf_device_map", None) or {}).values())) > 1


def split_images(images: dict[str, Any]) -> dict[str, list[Tensor]]:
    """TRL's image inputs by row: name → a tensor for each row, to be concatenated."""
    given = {name: value for name, value in images.items() if value is not None}
    return {
        name: rows if isinstance(rows, list) else list(rows.split(1))
        for name, rows in split_pixel_values_by_grid(given).items()
        if name not in ("num_images", "num_tiles")  # they say how the others are split
    }


def unwrap_model(model: Any) -> Any:
    """The model of transformers within wrappers (of processes, of `torch.compile`) and adapters."""
    while True:
        if "_orig_mod" in getattr(model, "_modules", ()):
            model = model._orig_mod
        elif hasattr(model, "module"):
            model = model.module
        elif isinstance(model, PeftModel):
            model = model.get_base_model()
        else:
            return model
