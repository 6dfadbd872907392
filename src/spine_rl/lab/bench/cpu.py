"""The rows that two cores are for: `python -m spine_rl.lab.bench.cpu SIZE OUT`, half an hour on them."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from spine_rl.lab.bench import cases
from spine_rl.lab.bench.cases import Outcome
from spine_rl.lab.bench.run import FULL, list_lab_cases, run_cases
from spine_rl.lab.bench.shapes import SIZES, BatchShape, ModelShape


def list_cpu_cases(model: ModelShape) -> list[Callable[[], Outcome]]:
    """The lab's whole steps, then a real model's decoding, update, memory and whole step."""
    update = BatchShape(1, 8, prompt_length=100, response_length=200, equal_lengths=False)
    step = BatchShape(8, 8, prompt_length=100, response_length=200)
    name = "update, 1 x 8, 100/200, unequal lengths"
    return [
        *list_lab_cases(FULL),
        partial(cases.compare_decoding, model, goal=3.0, rounds=2, warmups=0, new_tokens=136),
        partial(cases.compare_update, name, model, update, goal=2.5, rounds=3, sides=("trl", "spine")),
        partial(cases.check_step_memory, model, step, most_gib=11.0),
        partial(cases.compare_whole_step, model, step, goal=3.0, rounds=1, steps=1),
    ]


def main(size: str, out: str) -> None:
    sys.exit(not run_cases(list_cpu_cases(SIZES[size]), Path(out), {"size": size}))


if __name__ == "__main__":
    main(*sys.argv[1:])
