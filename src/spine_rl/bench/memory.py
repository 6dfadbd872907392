"""Peak memory of an update, above what stood in memory before it: a process of its own for each side.

`python -m spine_rl.bench.memory SIDE SHAPES` prints bytes; SHAPES is JSON of the two shapes' fields and of options.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from spine_rl.bench.shapes import BatchShape, ModelShape, build_batch, build_model


def measure_peak(side: str, model: ModelShape, batch: BatchShape, **options: Any) -> int:
    """Bytes; on an accelerator its own memory, else the process's. Options are of the configuration."""
    shapes = json.dumps([asdict(model), asdict(batch), options])
    command = [sys.executable, "-m", "spine_rl.bench.memory", side, shapes]
    done = subprocess.run(command, env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"measuring the memory of {side} failed:\n{done.stderr}")
    return int(done.stdout.split()[-1])


def main(side: str, shapes: str) -> None:
    from spine_rl.bench.sides import build_trainer, run_update  # after the parent's quick imports

    model_fields, batch_fields, options = json.loads(shapes)
    model_shape, batch_shape = ModelShape(**model_fields), BatchShape(**batch_fields)
    rows = batch_shape.prompts * batch_shape.group_size
    sizes = {"per_device_train_batch_size": rows, "num_generations": batch_shape.group_size}
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(side, build_model(model_shape), folder, **{**sizes, **options})
        smallest = BatchShape(
            batch_shape.prompts,
            batch_shape.group_size,
            prompt_length=2 + model_shape.image_tokens,
            response_length=2,
        )
        device = trainer.accelerator.device
        run_update(trainer, _move(build_batch(model_shape, smallest), device))  # what is allocated once
        batch = _move(build_batch(model_shape, batch_shape), device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            run_update(trainer, batch)
            print(torch.cuda.max_memory_allocated() - before)
        else:
            before = _read_memory("VmRSS")
            run_update(trainer, batch)
            print(_read_memory("VmHWM") - before)


def _read_memory(field: str) -> int:
    """Bytes that Linux reports of this process: what is resident (VmRSS), or was at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def _move(batch: dict, device: torch.device) -> dict:
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}


if __name__ == "__main__":
    main(*sys.argv[1:])
