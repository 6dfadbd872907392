"""Whether 16 bits are faster than 32 on this machine: measured, not told by a processor's name.

A CPU with matrix units multiplies bfloat16 six times as fast as float32, one with AVX-512 BF16 twice, others slower.
"""

import functools
import time

import torch
from torch import Tensor
from torch.nn.functional import linear

SMALLEST_WIDTH = 512  # of a model; in smaller ones products are not what takes the time
LEAST_GAIN = 1.5  # for which the rounding of 16 bits is taken
_ROWS, _LARGEST_WIDTH, _ROUNDS = 256, 2048, 5


def is_faster_in_16_bits(device: torch.device, hidden_size: int, *, casts: bool = True) -> bool:
    """Whether a model of this width is run faster in bfloat16 than in float32.

    On a CPU a product of this width is timed once a process, in alternation; at least `LEAST_GAIN` is asked for. It is
    timed on one thread and in that thread's own time, so that what else the machine does decides nothing. CUDA devices
    say so themselves; of others nothing is known.

    Args:
        device: Where the model runs.
        hidden_size: Of the model, in features.
        casts: Weights are in 32 bits and are cast for a product, as under autocast; else they are in 16 bits.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or hidden_size < SMALLEST_WIDTH:
        return False
    return _measure_gain(min(hidden_size, _LARGEST_WIDTH), casts) >= LEAST_GAIN


@functools.cache
def _measure_gain(width: int, casts: bool) -> float:
    """Seconds in 32 bits divided by seconds in 16, the best of some rounds of each."""
    inputs, weight = torch.ones(_ROWS, width), torch.ones(width, width)
    inputs_16, weight_16 = inputs.bfloat16(), weight if casts else weight.bfloat16()
    seconds_32, seconds_16 = [], []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            for _ in range(_ROUNDS):
                seconds_32.append(_time_product(inputs, weight))
                seconds_16.append(_time_product(inputs_16, weight_16))
    finally:
        torch.set_num_threads(threads)
    return min(seconds_32) / min(seconds_16)


def _time_product(inputs: Tensor, weight: Tensor) -> float:
    started = time.thread_time()
    linear(inputs, weight.to(inputs.dtype))
    return time.thread_time() - started
