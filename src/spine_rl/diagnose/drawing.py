"""How responses are drawn and read where nothing is trained: as in the run whose model is looked at, unless told
otherwise."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from spine_rl.engine.sampler import list_given_ends
from spine_rl.engine.say import say
from spine_rl.runs.run_file import read_resolved
from spine_rl.training.config import SpineConfig
from spine_rl.training.options import DRAWING

_DEFAULTS = {entry.name: entry.default for entry in dataclasses.fields(SpineConfig)}


def settle_drawing(model: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `DRAWING`: those that were given, else those of the model's run; and a line about what is the run's.

    Args:
        model: Folder, of a run or not, or hub id.
        given: Fields of `SpineConfig` that were given; others than `DRAWING` are left out.
    """
    run = dict((read_resolved(model) or {}).get("training", {}))
    if run.pop("use_vllm", False) or given.get("use_vllm"):  # what ends a response has a counterpart, by another name
        ends = list_given_ends(run.get("generation_kwargs") or {})
        name = "stop_token_ids" if given.get("use_vllm") else "eos_token_id"
        run["generation_kwargs"] = {name: ends} if ends else None
    taken = {name: run[name] for name in DRAWING if name not in given and run.get(name) is not None}
    said = ", ".join(f"{name} {value!r}" for name, value in taken.items() if value != _DEFAULTS[name])
    if said:
        say(f"drawn as in the run {model}, where no option says otherwise: {said}")
    return taken | {name: given[name] for name in DRAWING if name in given}
