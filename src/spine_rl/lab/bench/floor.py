"""The least time an update can take: the arithmetic it needs, at the machine's own matrix-product rate."""

import time

import torch

from spine_rl.engine.models import get_device
from spine_rl.lab.bench.measure import synchronize
from spine_rl.lab.bench.shapes import BatchShape, ModelShape

FORK_SHARE = 0.2  # of the response tokens, whose logits have a gradient


def count_update_flops(model: ModelShape, batch: BatchShape) -> float:
    """Floating-point operations of the matrix products that one update of SPINE cannot do without.

    Prompts count once a group. A product costs two operations a weight and token forward, and twice that backward.
    The LM head runs forward on every response token, for its entropy, and backward at forks; keeping no logits, as
    every fused head, costs another forward product there, which is not counted as needed.
    """
    assert batch.equal_lengths
    assert not model.image_tokens
    d, kv = model.hidden, model.head * model.num_kv_heads
    block = 2 * d * d + 2 * d * kv + 3 * d * model.feed_forward
    prompt, response = batch.prompt_length, batch.response_length
    responses = batch.prompts * batch.group_size
    tokens = batch.prompts * prompt + responses * response
    products = 6 * model.layers * block * tokens
    contexts = batch.prompts * prompt**2 / 2 + responses * response * (prompt + response / 2)
    attention = 3 * model.layers * 4 * d * contexts
    head = responses * response * 2 * d * model.vocabulary * (1 + 2 * FORK_SHARE)
    return products + attention + head


def measure_matmul_rate(size: int = 2048, repeats: int = 5) -> float:
    """Operations a second of the best of some square products, in the precision that training uses here."""
    device = get_device()
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(repeats + 1):
        synchronize()
        started = time.perf_counter()
        for _ in range(5):
            torch.mm(a, b)
        synchronize()
        best = max(best, 5 * 2 * size**3 / (time.perf_counter() - started))
    return best
