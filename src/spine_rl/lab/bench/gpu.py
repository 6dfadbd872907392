"""The rows that a GPU is for: update, memory, decoding and whole steps; run by `benchmarks/gpu.sh`."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from spine_rl.lab.bench import cases
from spine_rl.lab.bench.cases import Outcome
from spine_rl.lab.bench.run import run_cases
from spine_rl.lab.bench.shapes import SIZES, BatchShape, ModelShape


def list_gpu_cases(model: ModelShape, *, quick: bool) -> list[Callable[[], Outcome]]:
    """Cases with their goals on an H100; a quick run is a sixteenth of their size."""
    few, many, largest = (1, 1, 2) if quick else (4, 16, 64)
    update = BatchShape(few, 8, prompt_length=400, response_length=100, equal_lengths=False)
    long = BatchShape(many, 8, prompt_length=100, response_length=40 if quick else 400, equal_lengths=False)
    step = BatchShape(largest, 8, prompt_length=100, response_length=20 if quick else 320)
    name = f"update, {few} x 8, 400/100, unequal lengths"
    return [
        partial(cases.compare_update, name, model, update, goal=1.3, rounds=3, sides=("trl", "spine")),
        partial(cases.compare_memory, model, update, goal=0.25, rounds=1),
        partial(cases.check_update_memory, model, long, most_gib=45.0),
        partial(
            cases.compare_decoding, model, goal=4.0, rounds=1, warmups=1, prompts=2 if quick else 32, group_size=16,
            new_tokens=20 if quick else 200, prompt_length=100,
        ),
        partial(cases.compare_whole_step, model, step, goal=3.0, rounds=1, steps=2),
    ]  # fmt: skip


def main(size: str, quick: str, out: str) -> None:
    model, is_quick = SIZES[size], quick == "1"
    ran = run_cases(list_gpu_cases(model, quick=is_quick), Path(out), {"size": size, "quick": is_quick})
    sys.exit(not ran)


if __name__ == "__main__":
    main(*sys.argv[1:])
