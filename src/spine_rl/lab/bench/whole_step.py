"""Whole optimiser steps of a random model: sampling, vote, update, optimiser; seconds of the last, and peak memory.

Each side has a process of its own, as two models with their optimisers do not fit beside each other:
`python -m spine_rl.lab.bench.whole_step SIDE SHAPES` prints both; SHAPES is JSON of the shapes' fields and of options.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from typing import Any

from spine_rl.lab.bench.shapes import BatchShape, ModelShape

MICRO_BATCH = 8  # rows, on both sides


@dataclass(frozen=True)
class StepCost:
    """What a step took."""

    seconds: float
    peak_bytes: int


def measure_step(side: str, model: ModelShape, batch: BatchShape, *, steps: int, **options: Any) -> StepCost:
    """In a process of its own. `options` are of the configuration; the first of two steps or more warms up."""
    shapes = json.dumps([asdict(model), asdict(batch), steps, options])
    command = [sys.executable, "-m", "spine_rl.lab.bench.whole_step", side, shapes]
    done = subprocess.run(command, env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"a whole step of {side} failed:\n{done.stderr}")
    return StepCost(**json.loads(done.stdout.splitlines()[-1]))


def main(side: str, shapes: str) -> None:
    from datasets import Dataset

    from spine_rl.lab.bench.measure import StepClock
    from spine_rl.lab.bench.shapes import build_model
    from spine_rl.lab.bench.sides import build_trainer
    from spine_rl.training.phases import measure_peak_memory

    model, batch, steps, options = json.loads(shapes)
    shape = BatchShape(**batch)
    texts = [f"{i}+" * shape.prompt_length for i in range(shape.prompts * steps)]
    rows = [{"prompt": text[: shape.prompt_length], "problem_id": str(i)} for i, text in enumerate(texts)]
    arguments = {
        "num_generations": shape.group_size,
        "per_device_train_batch_size": MICRO_BATCH,
        "gradient_accumulation_steps": shape.prompts * shape.group_size // MICRO_BATCH,
        "max_completion_length": shape.response_length,
        "max_steps": steps,
        "learning_rate": 1e-9,
    }
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(
            side, build_model(ModelShape(**model)), folder, dataset=Dataset.from_list(rows), **arguments | options
        )
        clock = StepClock()
        trainer.add_callback(clock)
        trainer.train()
    peak = measure_peak_memory(trainer.accelerator.device)
    print()
    print(json.dumps({"seconds": clock.last, "peak_bytes": int(peak * 2**30)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
