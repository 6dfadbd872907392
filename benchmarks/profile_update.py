"""Where an update's time goes on a GPU: seconds, seconds of its kernels, and how many are launched.

python benchmarks/profile_update.py [SIZE [PROMPTS]]
"""

import sys
import tempfile

import torch
from torch.profiler import ProfilerActivity, profile

from spine_rl.lab.bench.measure import timed
from spine_rl.lab.bench.shapes import SIZES, BatchShape
from spine_rl.lab.bench.sides import prepare_update

NUM_RUNS = 6


def main(size: str = "qwen2.5-0.5b", prompts: str = "4") -> None:
    batch = BatchShape(int(prompts), 8, prompt_length=400, response_length=100)
    print(f"{size}, {batch}")
    for side in ("trl", "spine", "ttrl"):
        with tempfile.TemporaryDirectory() as folder:
            update = timed(prepare_update(side, SIZES[size], batch, folder))
            seconds = [round(update(), 3) for _ in range(NUM_RUNS)]
            with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
                update()
        events = profiler.key_averages()
        kernels = sum(e.self_device_time_total for e in events if e.device_type == torch.autograd.DeviceType.CUDA)
        launches = sum(e.count for e in events if "LaunchKernel" in e.key)
        print(f"{side}: {seconds} s, the first with warming up; kernels {kernels / 1e6:.3f} s, {launches} launches")


if __name__ == "__main__":
    main(*sys.argv[1:])
