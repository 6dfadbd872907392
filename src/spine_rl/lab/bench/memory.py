"""Peak memory of an update, above what stood in memory before it.

A GPU's allocator counts tensors. A CPU's process counts all that it ever held at once, so there each side has a process
of its own: `python -m spine_rl.lab.bench.memory SIDE SHAPES` prints bytes; SHAPES is JSON of the two shapes' fields
and of options.
"""

import gc
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from spine_rl.lab.bench.shapes import BatchShape, ModelShape, build_batch


def measure_peak(side: str, model: ModelShape, batch: BatchShape, **options: Any) -> int:
    """Bytes; on a GPU its own memory, else the process's. Options are of the configuration."""
    if torch.cuda.is_available():
        return _measure_here(side, model, batch, options)
    shapes = json.dumps([asdict(model), asdict(batch), options])
    command = [sys.executable, "-m", "spine_rl.lab.bench.memory", side, shapes]
    done = subprocess.run(command, env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"measuring the memory of {side} failed:\n{done.stderr}")
    return int(done.stdout.split()[-1])


def _measure_here(side: str, model: ModelShape, batch: BatchShape, options: dict[str, Any]) -> int:
    from spine_rl.lab.bench.sides import (  # after the parent's quick imports
        build_update_trainer,
        move_batch,
        run_update,
    )

    smallest = BatchShape(batch.prompts, batch.group_size, prompt_length=2 + model.image_tokens, response_length=2)
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_update_trainer(side, model, batch, folder, **options)
        first, second = (move_batch(build_batch(model, shape), trainer) for shape in (smallest, batch))
        run_update(trainer, first)  # what is allocated once
        if not torch.cuda.is_available():
            before = _read_memory("VmRSS")
            run_update(trainer, second)
            return _read_memory("VmHWM") - before
        gc.collect()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run_update(trainer, second)
        return torch.cuda.max_memory_allocated() - before


def main(side: str, shapes: str) -> None:
    model, batch, options = json.loads(shapes)
    print(_measure_here(side, ModelShape(**model), BatchShape(**batch), options))


def _read_memory(field: str) -> int:
    """Bytes that Linux reports of this process: what is resident (VmRSS), or was at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


if __name__ == "__main__":
    main(*sys.argv[1:])
