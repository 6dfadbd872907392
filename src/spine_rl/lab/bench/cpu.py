"""The rows that two cores are for: `python -m spine_rl.lab.bench.cpu SIZE OUT`, half an hour on them."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from spine_rl.lab.bench import cases
from spine_rl.lab.bench.cases import Outcome
from spine_rl.lab.bench.run import FULL, list_decoding_options, list_lab_cases, list_large_cases, run_cases
from spine_rl.lab.bench.shapes import SIZES, ModelShape

_FEW = replace(FULL, rounds=3, step_rounds=1, whole_steps=1, generation={"rounds": 2, "warmups": 0, "new_tokens": 100})


def list_cpu_cases(model: ModelShape) -> list[Callable[[], Outcome]]:
    """A real model's whole step, memory, update and decoding, then the lab's whole steps."""
    decoding = partial(cases.compare_decoding, model, **list_decoding_options(model, _FEW))
    return [*list_large_cases(model, _FEW), decoding, *list_lab_cases(FULL)]


def main(size: str, out: str) -> None:
    sys.exit(not run_cases(list_cpu_cases(SIZES[size]), Path(out), {"size": size}))


if __name__ == "__main__":
    main(*sys.argv[1:])
