"""What a run leaves in its output folder, where it goes on, and the guard that nothing of an earlier run is lost.

- `spine_config.json`: the fields that were given, every field as resolved, digests of problems and model, the versions,
  and, once finished, after how many steps and how many responses were sampled
- `metrics.jsonl`: one row a logged step; `samples.jsonl`
- the model in Hugging Face format, with its tokenizer, and `spine_manifest.json`, its files with their digests
- `last`, the weights after the last step, where the model is of an earlier one
- `checkpoint-*` for resuming, each with a manifest of its own; `README.md`, the model card
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spine_rl.errors import ConfigError, RunFolderError, show_setting
from spine_rl.runs.checkpoints import PREFIX, choose_checkpoint, read_step
from spine_rl.runs.kinds import Kind
from spine_rl.runs.machine import list_versions
from spine_rl.runs.manifest import MANIFEST_FILE, find_damage, read_manifest, write_manifest
from spine_rl.runs.may_write import remove_own
from spine_rl.runs.run_file import LAST_FOLDER, RUN_FILE, read_run
from spine_rl.runs.whole_file import TEMPORARY, write_whole

METRICS_FILE = "metrics.jsonl"
SAMPLES_FILE = "samples.jsonl"
_VERSIONED = ("torch", "transformers", "trl", "peft", "accelerate")
_PATTERNS = (METRICS_FILE, SAMPLES_FILE, "README.md", MANIFEST_FILE, f"{PREFIX}[0-9]*", f"{TEMPORARY}*")
_PATTERNS += (LAST_FOLDER, "completions")

# Fields that a resumed run may change: how long, where and how it is shown, not what is learned.
_LENGTH = {"max_steps", "num_train_epochs"}
_RESUMABLE = _LENGTH | {"resume", "overwrite", "save_steps", "save_strategy", "save_total_limit", "logging_steps"}
_RESUMABLE |= {"push_to_hub", "hub_model_id", "hub_strategy", "hub_private_repo", "hub_revision", "hub_always_push"}
_RESUMABLE |= {"report_to", "on_collapse", "keep_best", "sample_steps", "output_dir", "run_name", "logging_dir"}
# What they name is compared by what it holds: it may have moved, and may not have changed.
_BY_CONTENT = {"data", "split", "model", "limit"}


def _list_own(folder: Path) -> list[Path]:
    files = [folder / name for name in read_manifest(folder) or {}]
    found = [path for pattern in _PATTERNS for path in folder.glob(pattern)]
    return [*dict.fromkeys((*filter(os.path.lexists, files), *found))]


RUN = Kind("a run", lambda folder: (folder / RUN_FILE).is_file(), _list_own, RUN_FILE)


@dataclass(frozen=True)
class Start:
    """Where a run begins.

    Attributes:
        checkpoint: What is gone on from; None begins at the first step.
        is_finished: All is done and whole; there is nothing to do.
        notes: What the user should know of it, a line each.
        resolved: What the run that is gone on with resolved its fields of training to.
    """

    checkpoint: Path | None = None
    is_finished: bool = False
    notes: tuple[str, ...] = ()
    resolved: Mapping[str, Any] = field(default_factory=dict)

    @property
    def steps_done(self) -> int:
        return 0 if self.checkpoint is None else read_step(self.checkpoint)


def find_start(folder: Path, *, overwrite: bool, resume: bool, given: Mapping[str, Any]) -> Start:
    """Says where a run in this folder begins, touching nothing.

    Args:
        folder: The run's.
        overwrite: An earlier run is to be replaced.
        resume: Go on with it.
        given: The fields that were given; a resumed run's must be the earlier run's, but for its length.

    Raises:
        RunFolderError: It holds a run and neither flag is given, has nothing to resume, no checkpoint of it is whole,
            or the run to resume was another.
        ConfigError: What it says of the run cannot be read.
    """
    if overwrite and resume:
        raise RunFolderError(f"{folder}: overwrite and resume contradict each other; give one")
    content = read_run(folder)
    if not resume:
        if content is not None and not overwrite:
            raise RunFolderError(f"{folder} already holds a run; give another output_dir, or --overwrite or --resume")
        return Start()
    if content is None:
        raise RunFolderError(f"{folder}: no run to resume, it has no {RUN_FILE}; start a run without resume")
    _check_same_run(folder, content, given)
    finished = content.get("finished")
    damage = find_damage(folder) if finished is not None else None
    if finished is not None and damage is None and _has_same_length(content, given):
        return Start(is_finished=True, notes=(f"{folder}: finished after {finished['steps']} steps; nothing to do",))
    choice = choose_checkpoint(folder)
    notes = [f"{folder / passed}; it is passed over" for passed in choice.passed_over]
    if damage is not None:
        notes.insert(0, f"{folder}: of the finished model, {damage}; it is saved again")
    if choice.path is None and choice.passed_over:
        raise RunFolderError(
            f"{folder}: no checkpoint is whole ({'; '.join(choice.passed_over)}); begin anew with --overwrite"
        )
    if choice.path is None and finished is not None:
        raise RunFolderError(f"{folder}: finished, and without a checkpoint to go on from; give another output_dir")
    where = "the first step, no checkpoint was written yet" if choice.path is None else str(choice.path)
    return Start(choice.path, notes=(*notes, f"going on from {where}"), resolved=_read_resolved(content))


def _read_resolved(content: Mapping[str, Any]) -> Mapping[str, Any]:
    resolved = content.get("resolved")
    training = resolved.get("training") if isinstance(resolved, Mapping) else None
    return training if isinstance(training, Mapping) else {}


def open_folder(folder: Path, start: Start, *, overwrite: bool) -> None:
    """Clears what a killed process left half-written, and an earlier run that is to be replaced, but for its mark."""
    if overwrite and RUN.is_ours(folder):
        remove_own(folder, RUN)
    for path in folder.glob(f"{TEMPORARY}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if start.checkpoint is None:  # begun again before the first checkpoint
        for name in (METRICS_FILE, SAMPLES_FILE):
            (folder / name).unlink(missing_ok=True)


def write_config(
    folder: Path, given: Mapping[str, Any], resolved: Mapping[str, Any], inputs: Mapping[str, Any]
) -> None:
    """Writes `spine_config.json`: `given` repeats the run, `resolved` is every field, `inputs` says what was read."""
    content = {"given": given, "resolved": resolved, "inputs": inputs, "versions": list_versions(*_VERSIONED)}
    write_whole(folder / RUN_FILE, json.dumps(content, indent=2, default=str) + "\n")


def check_same_inputs(folder: Path, inputs: Mapping[str, Any]) -> None:
    """Of a run that is resumed.

    Raises:
        RunFolderError: Problems or model are not what the run began with.
    """
    before = (read_run(folder) or {}).get("inputs", {})
    for name, now in inputs.items():
        if name in before and before[name] != now:
            raise RunFolderError(
                f"{folder}: the run began with other contents of {name}, whatever the file's name; give "
                "the same, or start a new run"
            )


def write_finished(
    folder: Path, num_steps: int, num_responses: int, num_problems: int, kept: Mapping[str, Any]
) -> None:
    """Adds to `spine_config.json` that the run is finished, and what it sampled: the budget others may be given.

    Args:
        folder: The run's.
        num_steps: That it did.
        num_responses: That it sampled.
        num_problems: That it was of.
        kept: Which weights are the model, and why.
    """
    content = read_run(folder)
    assert content is not None
    content["finished"] = {"steps": num_steps, "kept": dict(kept)}
    content["sampling"] = {"responses": num_responses, "problems": num_problems}
    write_whole(folder / RUN_FILE, json.dumps(content, indent=2) + "\n")


def move_model(aside: Path, folder: Path) -> None:
    """Gives a model that was saved aside its place; the manifest comes last, and with it the model is whole.

    File by file: a folder, as of further chat templates, may be there of an earlier end of the run.
    """
    write_manifest(aside)
    (folder / MANIFEST_FILE).unlink(missing_ok=True)
    files = (path for path in aside.rglob("*") if path.is_file())
    for path in sorted(files, key=lambda path: path.name == MANIFEST_FILE):
        place = folder / path.relative_to(aside)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, place)
    shutil.rmtree(aside)


def _check_same_run(folder: Path, content: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    before = content.get("given")
    if not isinstance(before, Mapping):
        raise ConfigError(f"{folder / RUN_FILE}: it does not say what was given; begin anew with --overwrite")
    now = json.loads(json.dumps(given, default=str))
    for name in sorted((before.keys() | now.keys()) - _RESUMABLE - _BY_CONTENT):
        if before.get(name) != now.get(name):
            raise RunFolderError(
                f"{folder}: resuming with another {name} ({show_setting(before.get(name))} before, "
                f"{show_setting(now.get(name))} now); "
                "give the same fields, or start a new run"
            )


def _has_same_length(content: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    now = json.loads(json.dumps(given, default=str))
    return all(content["given"].get(name) == now.get(name) for name in _LENGTH)
