"""16 bits are taken where they are measured to be faster, and nowhere else."""

import pytest
import torch

from spine_rl.engine import precision
from spine_rl.engine.precision import is_faster_in_16_bits

CPU = torch.device("cpu")


@pytest.mark.parametrize(("gain", "expected"), [(6.0, True), (2.0, True), (1.2, False), (0.2, False)])
def test_a_cpu_is_measured_by_its_products(monkeypatch, gain, expected):
    precision._measure_gain.cache_clear()
    asked = []
    monkeypatch.setattr(
        precision, "_time_product", lambda x, w: asked.append(x.dtype) or (gain if x.dtype == torch.float32 else 1.0)
    )
    assert is_faster_in_16_bits(CPU, 896) is expected
    assert is_faster_in_16_bits(CPU, 896) is expected
    assert asked == [torch.float32, torch.bfloat16] * 5  # in turn, and once a process
    precision._measure_gain.cache_clear()


def test_a_measurement_is_of_real_products_and_finite():
    precision._measure_gain.cache_clear()
    threads = torch.get_num_threads()
    for casts in (True, False):
        assert 0 < precision._measure_gain(512, casts) < 1000
    assert torch.get_num_threads() == threads
    precision._measure_gain.cache_clear()


def test_small_models_and_unknown_devices_stay_in_32_bits(monkeypatch):
    monkeypatch.setattr(precision, "_measure_gain", lambda *_: 100.0)
    assert not is_faster_in_16_bits(CPU, 128)
    assert not is_faster_in_16_bits(torch.device("meta"), 4096)
    assert is_faster_in_16_bits(CPU, 576)
