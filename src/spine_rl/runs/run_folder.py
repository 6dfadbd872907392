"""What a run leaves in its output folder, and the guard that nothing of an earlier run is lost.

- `spine_config.json`: the fields that were given, every field as resolved, the versions, and, once finished, how many
  responses were sampled
- `metrics.jsonl`: one row a logged step
- the model in Hugging Face format, with its tokenizer; `checkpoint-*` for resuming; `README.md`, the model card
"""

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_utils import get_last_checkpoint

from spine_rl.errors import RunFolderError
from spine_rl.runs.machine import list_versions
from spine_rl.runs.run_file import RUN_FILE
from spine_rl.runs.whole_file import write_whole

METRICS_FILE = "metrics.jsonl"
SAMPLES_FILE = "samples.jsonl"
_VERSIONED = ("torch", "transformers", "trl", "peft", "accelerate")


# Fields that a resumed run may change: how long and how it is shown, not what is learned.
_RESUMABLE = {"resume", "overwrite", "max_steps", "num_train_epochs", "save_steps", "save_total_limit", "logging_steps"}
_RESUMABLE |= {"report_to", "on_collapse", "keep_best", "sample_steps"}


def check_folder(folder: Path, *, overwrite: bool, resume: bool, given: Mapping[str, Any]) -> str | None:
    """Makes sure that a run may write into a folder, touching nothing, and says where it goes on.

    Args:
        folder: The run's.
        overwrite: An earlier run is to be replaced.
        resume: Go on with it.
        given: The fields that were given; a resumed run's must be the earlier run's, but for its length.

    Returns:
        The checkpoint to resume from, or None for a fresh run.

    Raises:
        RunFolderError: It holds a run and neither flag is given, holds something else, has nothing to resume, or the
            run to resume was another.
    """
    holds_run = (folder / RUN_FILE).exists()
    if overwrite and resume:
        raise RunFolderError(f"{folder}: overwrite and resume contradict each other; give one")
    if resume:
        checkpoint = get_last_checkpoint(str(folder)) if folder.is_dir() else None
        if checkpoint is None:
            raise RunFolderError(f"{folder}: no checkpoint to resume from; start a run without resume")
        _check_same_run(folder, given)
        return checkpoint
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{folder} is a file; give another output_dir")
    if holds_run and not overwrite:
        raise RunFolderError(f"{folder} already holds a run; give another output_dir, or --overwrite or --resume")
    if not holds_run and folder.exists() and any(folder.iterdir()):
        raise RunFolderError(f"{folder} is not empty and holds no run of ours; give another output_dir")
    return None


def open_folder(folder: Path, *, overwrite: bool) -> None:
    """Makes the folder; an earlier run in it, which `check_folder` has seen, is removed if it is to be replaced."""
    if overwrite and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)


def _check_same_run(folder: Path, given: Mapping[str, Any]) -> None:
    before = json.loads((folder / RUN_FILE).read_text())["given"]
    for name in sorted((before.keys() | given.keys()) - _RESUMABLE):
        if before.get(name) != given.get(name):
            raise RunFolderError(
                f"{folder}: resuming with another {name} ({before.get(name)!r} before, {given.get(name)!r} now); "
                "give the same fields, or start a new run"
            )


def write_config(folder: Path, given: Mapping[str, Any], resolved: Mapping[str, Any]) -> None:
    """Writes `spine_config.json`: `given` repeats the run, `resolved` says what each field was."""
    content = {
        "given": given,
        "resolved": resolved,
        "versions": list_versions(*_VERSIONED),
    }
    write_whole(folder / RUN_FILE, json.dumps(content, indent=2, default=str) + "\n")


def write_sampling(folder: Path, num_responses: int, num_problems: int) -> None:
    """Adds to `spine_config.json` what a finished run sampled: the budget that other methods may be given."""
    path = folder / RUN_FILE
    content = json.loads(path.read_text())
    content["sampling"] = {"responses": num_responses, "problems": num_problems}
    write_whole(path, json.dumps(content, indent=2) + "\n")


def count_responses(args: Any, num_steps: int) -> int:
    """Responses that so many optimiser steps asked for, vote-only ones and all processes' included.

    Votes that stopped early drew fewer: it is the most that was sampled.

    Args:
        args: A `SpineConfig`, resolved.
        num_steps: Optimiser steps done.
    """
    num_batches = math.ceil(
        num_steps * args.gradient_accumulation_steps / (args.steps_per_generation * args.num_iterations)
    )
    votes_a_problem = args.num_votes or args.num_generations
    return num_batches * args.generation_batch_size * votes_a_problem // args.num_generations


def drop_rows_after(path: Path, step: int) -> None:
    """Of a file of JSON rows, keeps those up to a step; a last row that was cut off while it was written is dropped."""
    if not path.exists():
        return
    rows = path.read_text(encoding="utf-8").split("\n")[:-1]
    write_whole(path, "".join(f"{row}\n" for row in rows if json.loads(row)["step"] <= step))


class MetricsFile(TrainerCallback):
    """Appends every log entry to `metrics.jsonl`; a resumed run first drops the rows after its checkpoint."""

    def __init__(self, folder: Path):
        self._path = folder / METRICS_FILE

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            drop_rows_after(self._path, state.global_step)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero and logs:
            with self._path.open("a") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")
