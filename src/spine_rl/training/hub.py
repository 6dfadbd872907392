"""A run on the hub: the model, its card and how it was made go there; what is for going on stays.

transformers pushes a run's folder as it stands, with locks, other weights and pickled states, and pickles the token
with the arguments of every checkpoint.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers.trainer_utils import HubStrategy
from transformers.utils.hub import PushInProgress, hf_api
from trl import GRPOTrainer

from spine_rl.errors import HubError, shorten
from spine_rl.runs.checkpoints import PREFIX
from spine_rl.runs.manifest import MANIFEST_FILE
from spine_rl.runs.run_file import LAST_FOLDER
from spine_rl.training.best_weights import FILE as BEST_WEIGHTS

_OF_THIS_MACHINE = (".*", "_*", "*.bin", "*.pt", "*.pth")  # transformers' states and arguments are pickles
_OF_A_RUN = (f"{PREFIX}*", f"{LAST_FOLDER}/*", "completions/*", MANIFEST_FILE)
_OF_A_CHECKPOINT = ("spine_*", BEST_WEIGHTS, "trainer_state.json", "global_step*", "pytorch_model_fsdp*", "optimizer*")


class HubTrainer(GRPOTrainer):
    """GRPOTrainer that pushes by the rules of this file; its arguments lose the token, so that no file has it."""

    _token: str | None = None

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Raises HubError where the repository cannot be made."""
        self._token = token = token or self.args.hub_token or self._token
        self.args.hub_token = None
        with _naming(self.args.hub_model_id, "give a token by HF_TOKEN, or leave push_to_hub out"):
            super().init_hf_repo(token, private)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """A checkpoint's model, in the background, as `hub_strategy` says."""
        args: Any = self.args
        running = self.push_in_progress is not None and not self.push_in_progress.is_done()
        if not self.is_world_process_zero() or args.hub_strategy == HubStrategy.END:
            return
        if running and not args.hub_always_push:
            return
        message = f"Training in progress, step {self.state.global_step}"
        left_out = (*_OF_THIS_MACHINE, *_OF_A_CHECKPOINT)
        jobs: Any = [self._upload(checkpoint_folder, message, left_out, run_as_future=True)]
        if args.hub_strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
            all_of_them = args.hub_strategy == HubStrategy.ALL_CHECKPOINTS
            name = Path(checkpoint_folder).name if all_of_them else "last-checkpoint"
            jobs.append(self._upload(checkpoint_folder, message, (), path_in_repo=name, run_as_future=True))
        self.push_in_progress = PushInProgress(jobs)

    def push_to_hub(self, *args: Any, token: str | None = None, **options: Any) -> Any:
        """transformers': saves the model once more, and pushes the folder."""
        return super().push_to_hub(*args, token=token or self._token, **options)

    def push_run(self, folder: Path) -> None:
        """The finished run, by the first process; an earlier push is waited for.

        Raises:
            HubError: It cannot be pushed; the folder is whole.
        """
        if not self.is_world_process_zero():
            return
        again = f"the run is whole in {folder}: hf upload {self.hub_model_id} {folder}"
        with _naming(self.hub_model_id, again):
            self._finish_current_push()
            message = f"Adapted model, step {self.state.global_step}"
            self._upload(str(folder), message, (*_OF_THIS_MACHINE, *_OF_A_RUN))

    def _upload(self, folder: str, message: str, left_out: Sequence[str], **options: Any) -> Any:
        return hf_api().upload_folder(
            repo_id=self.hub_model_id or "",
            folder_path=folder,
            commit_message=message,
            token=self._token,
            revision=self.args.hub_revision,
            ignore_patterns=[*left_out],
            **options,
        )


@contextmanager
def _naming(repository: str | None, remedy: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # huggingface_hub and its HTTP client raise of every kind: no connection is no OSError
        raise HubError(f"{repository or 'the hub'}: cannot be pushed to ({shorten(error)}); {remedy}") from error
