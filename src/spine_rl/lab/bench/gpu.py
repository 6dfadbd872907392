"""The rows that a GPU is for: update, memory, decoding and whole steps; run by `benchmarks/gpu.sh`.

`python -m spine_rl.lab.bench.gpu SIZE QUICK OUT`, with `--only NAME` as the module `cpu` has it.
"""

import sys
from functools import partial
from typing import Any

from spine_rl.lab.bench import cases
from spine_rl.lab.bench.command import run_command
from spine_rl.lab.bench.run import Cases
from spine_rl.lab.bench.shapes import BatchShape, ModelShape


def plan_gpu_cases(model: ModelShape, quick: str) -> tuple[Cases, dict[str, Any]]:
    """Cases with their goals on an H100, and what is recorded; a quick run (`1`) is a sixteenth of their size."""
    is_quick = quick == "1"
    few, many, largest = (1, 1, 2) if is_quick else (4, 16, 64)
    update = BatchShape(few, 8, prompt_length=400, response_length=100, equal_lengths=False)
    long = BatchShape(many, 8, prompt_length=100, response_length=40 if is_quick else 400, equal_lengths=False)
    step = BatchShape(largest, 8, prompt_length=100, response_length=20 if is_quick else 320)
    name = f"update, {few} x 8, 400/100, unequal lengths"
    planned = {
        "update": partial(cases.compare_update, name, model, update, goal=1.3, rounds=3, sides=("trl", "spine")),
        "peak memory": partial(cases.compare_memory, model, update, goal=0.25, rounds=1),
        "peak memory, long": partial(cases.check_update_memory, model, long, most_gib=45.0),
        "decoding": partial(
            cases.compare_decoding, model, goal=4.0, rounds=1, warmups=1, prompts=2 if is_quick else 32, group_size=16,
            new_tokens=20 if is_quick else 200, prompt_length=100,
        ),
        "whole step": partial(cases.compare_whole_step, model, step, goal=3.0, rounds=1, steps=2),
    }  # fmt: skip
    return planned, {"quick": is_quick}


if __name__ == "__main__":
    run_command("spine_rl.lab.bench.gpu", ("quick",), sys.argv[1:], plan_gpu_cases)
