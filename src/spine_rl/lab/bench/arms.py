"""What an update costs by arm: settings of `SpineConfig` that take turns on one random model and batch."""

import functools
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from trl.kernels import ChunkedLogProbFunction

from spine_rl.engine.lm_head import VOCABULARY_CHUNK
from spine_rl.engine.models import get_device
from spine_rl.lab.adapt import build_config
from spine_rl.lab.bench.measure import alternate, autocast, timed
from spine_rl.lab.bench.memory import measure_peak
from spine_rl.lab.bench.shapes import BatchShape, ModelShape, build_model
from spine_rl.lab.bench.sides import prepare_update
from spine_rl.objective import Objective, compute_band_penalty, compute_band_thresholds, select_forks


def _count_added_product(_: Any, a: Sequence[int], b: Sequence[int], *__: Any, **___: Any) -> int:
    return 2 * a[0] * a[1] * b[1]


# The LM head's backward pass adds its products in place, which torch's own counter leaves out, or on a GPU in another
# type than theirs, which it cannot read.
_PRODUCTS: dict[Any, Any] = dict.fromkeys((torch.ops.aten.addmm_, torch.ops.aten.addmm), _count_added_product)
NUM_ROUNDS = 5  # of the short measurements


def measure_arms(
    model: ModelShape, batch: BatchShape, arms: Mapping[str, Mapping[str, Any]], rounds: int
) -> dict[str, Any]:
    """Times the arms in turn, counts their operations, and takes each one's memory in a process of its own.

    Returns:
        `parameters`; by arm `seconds` (a round each), `mebibytes` and `flops`; `parts`, what selection adds by itself.
    """
    updates, flops, mebibytes = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for arm, options in arms.items():
            update = prepare_update("spine", model, batch, f"{folder}/{len(updates)}", **options)
            with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=_PRODUCTS) as counter:
                update()  # attention is plain products there, which are counted whatever its heads
            flops[arm] = counter.get_total_flops()
            updates[arm] = timed(update)
            mebibytes[arm] = round(measure_peak("spine", model, batch, **options) / 2**20, 1)
        timings = alternate(updates, rounds)
    return {
        "parameters": sum(p.numel() for p in build_model(model).parameters()),
        "seconds": {arm: [round(value, 5) for value in values] for arm, values in timings.seconds.items()},
        "mebibytes": mebibytes,
        "flops": flops,
        "parts": _measure_parts(model, batch, arms),
    }


def _measure_parts(shape: ModelShape, batch: BatchShape, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds of what selection adds to an update, each by itself: entropies, and by arm choosing tokens and the band.

    `log_probs` and `with_entropies` are the LM head's forward pass over all response tokens without and with entropies.
    """
    generator = torch.Generator().manual_seed(0)
    rows, width, device = batch.prompts * batch.group_size, batch.response_length, get_device()
    entropies = torch.rand(rows, width, generator=generator).to(device)
    ids = torch.arange(rows * width, device=device).reshape(rows, width)
    mask = torch.ones_like(ids, dtype=torch.bool)

    def select(objective: Objective) -> None:
        forks = select_forks(entropies, mask, objective.fork_selector, fraction=objective.fork_fraction, token_ids=ids)
        low, high = compute_band_thresholds(entropies, forks, objective.band)
        compute_band_penalty(entropies, forks, low, high)

    hidden = torch.randn(rows * width, shape.hidden, generator=generator).to(device)
    weight = (torch.randn(shape.vocabulary, shape.hidden, generator=generator) / shape.hidden**0.5).to(device)
    targets = torch.randint(shape.vocabulary, (rows * width,), generator=generator).to(device)

    def score(*outputs: str) -> None:
        with torch.no_grad(), autocast(shape.hidden):
            ChunkedLogProbFunction.apply(hidden, weight, None, targets, 1.0, VOCABULARY_CHUNK, None, 1.0, outputs)

    objectives = {
        arm: build_config(given, steps=1, seed=0, folder="unused").objective for arm, given in settings.items()
    }
    calls = {arm: functools.partial(select, objective) for arm, objective in objectives.items()}
    heads = {"log_probs": lambda: score("log_probs"), "with_entropies": lambda: score("log_probs", "entropy")}
    return {
        name: {key: round(times.median(key), 6) for key in times.seconds}
        for name, times in (
            ("select", alternate({key: timed(call) for key, call in calls.items()}, NUM_ROUNDS)),
            ("head", alternate({key: timed(call) for key, call in heads.items()}, NUM_ROUNDS)),
        )
    }
