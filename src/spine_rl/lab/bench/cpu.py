"""The rows that two cores are for: `python -m spine_rl.lab.bench.cpu SIZE OUT`, half an hour on them.

`--only decoding` runs that case alone; it may be given again, and an unknown name is answered by the names there are.
"""

import sys
from dataclasses import replace
from functools import partial
from typing import Any

from spine_rl.lab.bench import cases
from spine_rl.lab.bench.command import run_command
from spine_rl.lab.bench.run import FULL, Cases, list_decoding_options, list_lab_cases, list_large_cases
from spine_rl.lab.bench.shapes import ModelShape

_FEW = replace(FULL, rounds=3, step_rounds=1, whole_steps=1, generation={"rounds": 2, "warmups": 0, "new_tokens": 100})


def plan_cpu_cases(model: ModelShape) -> tuple[Cases, dict[str, Any]]:
    """A real model's whole step, memory, update and decoding, then the lab's whole steps; and nothing to record."""
    decoding = partial(cases.compare_decoding, model, **list_decoding_options(model, _FEW))
    return {**list_large_cases(model, _FEW), "decoding": decoding, **list_lab_cases(FULL)}, {}


if __name__ == "__main__":
    run_command("spine_rl.lab.bench.cpu", (), sys.argv[1:], plan_cpu_cases)
