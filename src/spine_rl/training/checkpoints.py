"""Checkpoints that are whole or absent, and from which a run goes on as if it had never stopped.

TRL and transformers write a checkpoint in place, and without what a generation batch has left to be trained on. Here
they write it aside, what they leave out is added, and then it gets its manifest and its name
(`spine_rl.runs.checkpoints`). Added, as JSON and safetensors, for each process: the rows of the generation batch, the
place in it, and what was summed since the last logged step.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from trl import GRPOConfig

from spine_rl.errors import ConfigError, ModelError, RunFolderError, shorten
from spine_rl.runs.checkpoints import PREFIX, publish, rotate
from spine_rl.runs.whole_file import TEMPORARY
from spine_rl.training.hub import HubTrainer

_ASIDE = f"{TEMPORARY}saving"


class CheckpointingTrainer(HubTrainer):
    """GRPOTrainer with such checkpoints; a run that has done its steps trains no more."""

    args: GRPOConfig
    _aside: Path | None = None
    _steps_since_log = 0

    # ---- saving

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """transformers'; but for a checkpoint, which may hold a part for each process, always a whole model."""
        plugin: Any = getattr(self.accelerator.state, "fsdp_plugin", None)
        if plugin is None or self._aside is not None or "FULL" in str(plugin.state_dict_type):
            super().save_model(output_dir, _internal_call)
        else:
            self._save(output_dir, state_dict=self.accelerator.get_state_dict(self.model))

    def _get_output_dir(self, trial: Any) -> str:
        return super()._get_output_dir(trial) if self._aside is None else str(self._aside)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(super()._get_output_dir(trial))
        name = f"{PREFIX}{self.state.global_step}"
        with naming_the_last(folder / name):
            with self._writing_aside(folder) as aside:
                super()._save_checkpoint(model, trial)
                _save_memory(aside / name, self.args.process_index, self._recall())
                self.accelerator.wait_for_everyone()
                if self.args.should_save:
                    publish(aside / name, folder / name)
                    rotate(folder, self.args.save_total_limit, folder / name)
            self.accelerator.wait_for_everyone()
        if self.args.push_to_hub:
            super()._push_from_checkpoint(str(folder / name))

    @contextmanager
    def _writing_aside(self, folder: Path) -> Iterator[Path]:
        self._aside = folder / _ASIDE
        try:
            yield self._aside
        finally:
            if self.args.should_save:
                shutil.rmtree(self._aside, ignore_errors=True)
            self._aside = None

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        if self._aside is None:  # else it is pushed once it has its name
            super()._push_from_checkpoint(checkpoint_folder)

    def _recall(self) -> dict[str, Any]:
        """What this process has in memory and no file of transformers' has."""
        every = (self.args.steps_per_generation or 1) * self.num_iterations
        return {
            "processes": self.args.world_size,
            "micro_step": self._step,
            "metrics": dict(self._metrics["train"]),
            "loss": self._tr_loss.item(),
            "last_logged": self._globalstep_last_logged,
            "steps_since_log": self._steps_since_log,
            "rows": self._buffered_inputs if self._step % every else None,
        }

    # ---- resuming

    def _run_epoch(self, **place: Any) -> None:
        """Where a resumed run is done, or has been told to stop, transformers' would take one step more."""
        if self.control.should_training_stop or self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            cast(Any, self.model).train()  # what was not logged yet is logged at the end, as a training step's
            self._load_rng_state(place["resume_from_checkpoint"])
            self._tr_loss.zero_()  # the closing row's mean is over this call's steps, and there is none
            return
        super()._run_epoch(**place)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Called once, just before a resumed run's first step.

        Raises:
            ConfigError: A part of the run is in no checkpoint.
            RunFolderError: The checkpoint is of another number of processes.
        """
        if checkpoint is not None and self.args.sync_ref_model:
            raise ConfigError("sync_ref_model=True moves the reference, which no checkpoint holds; begin a new run")
        if checkpoint is not None:
            check_processes(Path(checkpoint), self.args.world_size)
        super()._load_rng_state(checkpoint)
        memory = None if checkpoint is None else _load_memory(Path(checkpoint), self.args.process_index)
        if memory is None:
            return
        self._step = memory["micro_step"]
        self._metrics["train"].update(memory["metrics"])
        self._tr_loss.fill_(memory["loss"])
        self._globalstep_last_logged = memory["last_logged"]
        self._steps_since_log = memory["steps_since_log"]
        if memory["rows"] is not None:
            self._buffered_inputs = [_move(row, self.args.device) for row in memory["rows"]]

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        """Tied weights are saved once; any other that is missing is not passed over.

        Raises:
            ModelError: The checkpoint's weights are not the model's.
        """
        missing = _find_missing(self.model, load_result.missing_keys)  # pyright: ignore[reportArgumentType]
        for names, what in ((missing, "lacks"), (load_result.unexpected_keys, "has, and the model has not,")):
            if names:
                raise ModelError(
                    f"the checkpoint {what} {names[0]} (and {len(names) - 1} more); resume with the model that it is of"
                )


def check_processes(checkpoint: Path, num_processes: int) -> None:
    """Each process goes on with its own part of the responses, and their number makes a step.

    Raises:
        RunFolderError: The checkpoint is of another number of processes.
    """
    for path in sorted(checkpoint.glob("spine_memory_*.json"))[:1]:
        wrote = json.loads(path.read_text(encoding="utf-8")).get("processes", num_processes)
        if wrote != num_processes:
            raise RunFolderError(
                f"{checkpoint}: {wrote} process(es) wrote it, and {num_processes} would go on, with steps of another "
                f"size; resume with {wrote}, or start a new run"
            )


def gather_to_save(accelerator: Any) -> None:
    """Has DeepSpeed's ZeRO-3, where its configuration does not, save whole models; before it takes the model."""
    plugin = getattr(accelerator.state, "deepspeed_plugin", None)
    if plugin is not None and plugin.zero_stage == 3:
        plugin.deepspeed_config["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] = True


@contextmanager
def naming_the_last(path: Path) -> Iterator[None]:
    """A save that fails says which, and what is left.

    Raises:
        RunFolderError: It could not be written: a full disk, mostly; torch and safetensors have errors of their own.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or shorten(error, 200)
        free = shutil.disk_usage(path.parent).free >> 20
        raise RunFolderError(
            f"{path} could not be written ({reason}; {free} MiB are free); what was saved before is whole: make room, "
            "and go on with --resume"
        ) from error


def _find_missing(model: nn.Module, missing: list[str]) -> list[str]:
    parameters = dict(model.named_parameters(remove_duplicate=False))
    loaded = {id(parameter) for name, parameter in parameters.items() if name not in missing}
    return [name for name in missing if id(parameters.get(name)) not in loaded]


# ---- what a process remembers, as files


def _save_memory(folder: Path, process: int, memory: dict[str, Any]) -> None:
    tensors: dict[str, Tensor] = {}
    rows = memory["rows"]
    if rows is not None:
        memory = memory | {"rows": [_take_tensors(row, f"{index}.", tensors) for index, row in enumerate(rows)]}
    folder.mkdir(parents=True, exist_ok=True)  # a process may be here before the first has saved the model
    (folder / f"spine_memory_{process}.json").write_text(json.dumps(memory), encoding="utf-8")
    if tensors:
        save_file(tensors, folder / f"spine_rows_{process}.safetensors")


def _take_tensors(row: dict[str, Any], prefix: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """The row without its tensors, which are put beside; names of those are left as None."""
    plain = {}
    for name, value in row.items():
        if isinstance(value, Tensor):
            tensors[prefix + name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        plain[name] = {"tensor": prefix + name} if isinstance(value, Tensor) else {"value": value}
    return plain


def _load_memory(folder: Path, process: int) -> dict[str, Any] | None:
    """None of a checkpoint that another trainer wrote."""
    path = folder / f"spine_memory_{process}.json"
    if not path.is_file():
        return None
    memory = json.loads(path.read_text(encoding="utf-8"))
    if memory["rows"] is not None:
        with safe_open(folder / f"spine_rows_{process}.safetensors", framework="pt") as file:
            memory["rows"] = [
                {
                    name: file.get_tensor(entry["tensor"]).clone() if "tensor" in entry else entry["value"]
                    for name, entry in row.items()
                }
                for row in memory["rows"]
            ]
    return memory


def _move(row: dict[str, Any], device: torch.device) -> dict[str, Any]:
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in row.items()}
